package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"headgate/config"
	"headgate/config/yamlsrc"
	"headgate/internal/watch"
)

// sources is what a load depends on.
type sources struct {
	reads  []yamlsrc.Read // in the order of the load
	config *config.Config // says which route files there are
}

func sourcesOf(c *config.Config, report *yamlsrc.Report) sources { return sources{report.Reads(), c} }

// sum is of contents, as sumOf gives them, and of the list of route files.
func (s sources) sum(files []string, sumOf func(yamlsrc.Read) string) string {
	h := sha256.New()
	for _, r := range s.reads {
		fmt.Fprintf(h, "%s %s\n", r.Path, sumOf(r))
	}
	fmt.Fprintln(h, strings.Join(files, "\n"))
	return hex.EncodeToString(h.Sum(nil))
}

// taken is the sum of what was read.
func (s sources) taken() string {
	return s.sum(s.config.RouteFiles, func(r yamlsrc.Read) string { return r.Sum })
}

// now is the sum of what would be read.
func (s sources) now() string {
	return s.sum(s.config.FindRouteFiles(), func(r yamlsrc.Read) string { return fileSum(r.Path) })
}

// maxLooked bounds a file that is looked at; larger ones are none of ours.
const maxLooked = 64 << 20

// fileSum is a Read.Sum of now.
func fileSum(path string) string {
	// A pipe would never be read to its end.
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() > maxLooked {
		return ""
	}
	var report yamlsrc.Report
	_, _ = report.ReadFile(path) // what cannot be read has an empty sum
	return report.Reads()[0].Sum
}

// places are the files, and the folders in which route files may appear.
func (s sources) places() []string {
	var out []string
	for _, r := range s.reads {
		out = append(out, r.Path)
	}
	for _, pattern := range s.config.Routes {
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(s.config.Dir, pattern)
		}
		// Of teams/*/routes.yaml: the folders that fit teams/*, and teams.
		for dir := filepath.Dir(pattern); ; dir = filepath.Dir(dir) {
			if !strings.ContainsAny(dir, `*?[\`) {
				out = append(out, dir)
				break
			}
			found, _ := filepath.Glob(dir) // the pattern was checked when it was read
			out = append(out, found...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// newWatcher makes what notices changes of the files and has them read again.
func (a *App) newWatcher() *watch.Watcher {
	return watch.New(watch.Options{
		Log: a.log,
		Look: func() watch.Look {
			a.force.mu.Lock()
			look, on := a.force.look, a.force.config.Watch
			a.force.mu.Unlock()
			if !on {
				return watch.Look{}
			}
			return watch.Look{Sum: look.now(), Taken: look.taken(), Places: look.places()}
		},
		Changed: func(ctx context.Context) {
			_, _ = a.ReloadBy(ctx, ByFile) // it is told there
		},
	})
}

// watching says how changes of files are noticed.
func (a *App) watching() string {
	switch {
	case !a.Config().Watch:
		return "off"
	case a.watcher.Notified():
		return "events"
	}
	return "poll"
}
