package check

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// parseDockerfile gives the stages; what BuildKit warns of is an error.
func parseDockerfile(t *testing.T) []instructions.Stage {
	t.Helper()
	parsed, err := parser.Parse(strings.NewReader(read(t, root+"/Dockerfile")))
	if err != nil {
		t.Fatal(err)
	}
	for _, warning := range parsed.Warnings {
		t.Errorf("Dockerfile: %s", warning.Short)
	}
	lint := linter.New(&linter.Config{Warn: func(rule, _, _, text string, at []parser.Range) {
		t.Errorf("Dockerfile:%v: %s: %s", at, rule, text)
	}})
	stages, _, err := instructions.Parse(parsed.AST, lint)
	if err != nil {
		t.Fatal(err)
	}
	return stages
}

// image is what a Dockerfile makes: files and how to start them.
type image struct {
	Root            string
	Labels          map[string]string
	User            string
	Entrypoint, Cmd []string
	Health          []string
	Dir             string
	Env             []string
}

// builder carries out a Dockerfile. Files of this machine stand in for every base image but scratch, Go's
// folder among them.
type builder struct {
	arguments map[string]string
	stages    map[string]*stage
	context   string // the build's context, without what .dockerignore names
	caches    map[string]string
	settings  []string // variables of Go that say where modules come from
}

type stage struct {
	image
	scratch bool
	known   map[string]string // arguments and variables
	shell   *shell.Lex
}

func newBuilder(t *testing.T, arguments map[string]string) *builder {
	t.Helper()
	b := &builder{arguments: arguments, stages: map[string]*stage{}, context: t.TempDir(), caches: map[string]string{
		"/go/pkg/mod":           output(t, nil, "go", "env", "GOMODCACHE"),
		"/root/.cache/go-build": output(t, nil, "go", "env", "GOCACHE"),
	}}
	for _, name := range []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE"} {
		b.settings = append(b.settings, name+"="+output(t, nil, "go", "env", name))
	}
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasSuffix(strings.ToUpper(name), "_PROXY") || name == "SSL_CERT_FILE" {
			b.settings = append(b.settings, variable)
		}
	}
	b.copyContext(t)
	return b
}

// copyContext copies what Git knows, less what .dockerignore names.
func (b *builder) copyContext(t *testing.T) {
	t.Helper()
	patterns, err := ignorefile.ReadAll(strings.NewReader(read(t, root+"/.dockerignore")))
	if err != nil {
		t.Fatal(err)
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	// New files are in as soon as they are there, as an engine would have it.
	for _, name := range strings.Split(output(t, nil, "git", "ls-files", "-co", "--exclude-standard"), "\n") {
		skip, err := ignored.MatchesOrParentMatches(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, gone := os.Stat(filepath.Join(root, name)); skip || gone != nil {
			continue
		}
		copyFile(t, filepath.Join(root, name), filepath.Join(b.context, name))
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	info, err := os.Stat(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, info.Mode().Perm()); err != nil {
		t.Fatal(err)
	}
}

// copyTree copies a file, or what is in a folder, with rights.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if !d.IsDir() {
			copyFile(t, p, target)
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		return os.Chmod(target, info.Mode())
	})
	if err != nil {
		t.Fatal(err)
	}
}

// build carries out all stages and gives the last one's image.
func (b *builder) build(t *testing.T, stages []instructions.Stage) *image {
	t.Helper()
	var last *stage
	for _, from := range stages {
		s := &stage{scratch: from.BaseName == "scratch", shell: shell.NewLex('\\'), known: map[string]string{}}
		s.Root, s.Dir, s.Labels = t.TempDir(), "/", map[string]string{}
		if err := os.Chmod(s.Root, 0o755); err != nil {
			t.Fatal(err)
		}
		if !s.scratch {
			// What the official image of Go sets.
			s.Env = append([]string{"GOPATH=/go", "GOTOOLCHAIN=local", "HOME=/root",
				"PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, b.settings...)
		}
		for _, c := range from.Commands {
			if expander, ok := c.(instructions.SupportsSingleWordExpansion); ok {
				if err := expander.Expand(s.expand); err != nil {
					t.Fatalf("%s: %v", c.Name(), err)
				}
			}
			b.carryOut(t, s, c)
		}
		b.stages[from.Name] = s
		last = s
	}
	return &last.image
}

func (s *stage) expand(word string) (string, error) {
	var list []string
	for name, value := range s.known {
		list = append(list, name+"="+value)
	}
	text, _, err := s.shell.ProcessWord(word, shell.EnvsFromSlice(list))
	return text, err
}

// files is where a stage's own files lie.
func (s *stage) files() string {
	if s.scratch {
		return s.Root
	}
	return filepath.Join(s.Root, "upper")
}

// at is where a path of the stage lies: its own file, or the base's.
func (s *stage) at(name string) string {
	own := filepath.Join(s.files(), name)
	if _, err := os.Stat(own); err != nil && !s.scratch {
		return name
	}
	return own
}

func (b *builder) carryOut(t *testing.T, s *stage, c instructions.Command) {
	t.Helper()
	switch c := c.(type) {
	case *instructions.WorkdirCommand:
		s.Dir = c.Path
		if err := os.MkdirAll(filepath.Join(s.files(), c.Path), 0o755); err != nil {
			t.Fatal(err)
		}
	case *instructions.ArgCommand:
		for _, arg := range c.Args {
			value, given := b.arguments[arg.Key]
			if !given && arg.Value != nil {
				value = *arg.Value
			}
			s.known[arg.Key] = value
			s.Env = append(s.Env, arg.Key+"="+value) // RUN sees it
		}
	case *instructions.CopyCommand:
		b.copy(t, s, c)
	case *instructions.RunCommand:
		b.run(t, s, c)
	case *instructions.LabelCommand:
		for _, l := range c.Labels {
			s.Labels[l.Key] = l.Value
		}
	case *instructions.UserCommand:
		s.User = c.User
	case *instructions.ExposeCommand: // for people
	case *instructions.HealthCheckCommand:
		s.Health = c.Health.Test
	case *instructions.EntrypointCommand:
		s.Entrypoint = c.CmdLine
	case *instructions.CmdCommand:
		s.Cmd = c.CmdLine
	default:
		t.Fatalf("the Dockerfile has %s, which this check does not carry out: teach it", c.Name())
	}
}

func (b *builder) copy(t *testing.T, s *stage, c *instructions.CopyCommand) {
	t.Helper()
	find := func(name string) string { return filepath.Join(b.context, name) }
	if c.From != "" {
		from := b.stages[c.From]
		if from == nil {
			t.Fatalf("COPY --from=%s: there is no such stage before", c.From)
		}
		find = from.at
	}
	dest := c.DestPath
	if !path.IsAbs(dest) {
		dest = path.Join(s.Dir, dest)
	}
	for _, name := range c.SourcePaths {
		from, to := find(name), filepath.Join(s.files(), dest)
		info, err := os.Stat(from)
		if err != nil {
			t.Fatalf("COPY %s: %v", name, err)
		}
		if !info.IsDir() && (strings.HasSuffix(c.DestPath, "/") || len(c.SourcePaths) > 1) {
			to = filepath.Join(to, path.Base(name))
		}
		copyTree(t, from, to)
		if c.Chown != "" {
			var user, group int
			if _, err := fmt.Sscanf(c.Chown, "%d:%d", &user, &group); err != nil {
				t.Fatalf("COPY --chown=%s: give numbers: there are no names in scratch", c.Chown)
			}
			if err := os.Chown(to, user, group); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (b *builder) run(t *testing.T, s *stage, c *instructions.RunCommand) {
	t.Helper()
	if s.scratch {
		t.Fatalf("RUN %s: there is no shell in scratch", strings.Join(c.CmdLine, " "))
	}
	box := container{
		Root: s.Root, Over: true, Dir: s.Dir, Env: s.Env, Capabilities: true,
		Argv:   append([]string{"/bin/sh", "-c"}, c.CmdLine...),
		Mounts: []mount{{Source: output(t, nil, "go", "env", "GOROOT"), Target: "/usr/local/go", ReadOnly: true}},
	}
	for _, m := range instructions.GetMounts(c) {
		source := b.caches[m.Target]
		if m.Type != instructions.MountTypeCache || source == "" {
			t.Fatalf("RUN --mount of type %s at %s: this check knows the caches at %v only", m.Type, m.Target, slices.Collect(mapKeys(b.caches)))
		}
		box.Mounts = append(box.Mounts, mount{Source: source, Target: m.Target})
	}
	var out bytes.Buffer
	cmd := box.command(t)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("RUN %s: %v\n%s", strings.Join(c.CmdLine, " "), err, out.String())
	}
}

func mapKeys[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for key := range m {
			if !yield(key) {
				return
			}
		}
	}
}
