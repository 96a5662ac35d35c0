package watch

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestLook goes through what the files may say from one look to the next: contents are taken
// when they have stayed the same, once, and what is in force already never.
func TestLook(t *testing.T) {
	for name, tc := range map[string]struct {
		sums    string // one letter a look; the start has taken a
		refuses string // these are taken badly
		taken   string
	}{
		"no change":             {"aaaa", "", ""},
		"a change":              {"abbbb", "", "b"},
		"half a file":           {"abcdddd", "", "d"},
		"touched on the way":    {"abab", "", ""},
		"there and back":        {"abbbaaa", "", "ba"},
		"a bad file":            {"abbbbbb", "b", "b"},
		"a bad file, mended":    {"abbbbccc", "b", "bc"},
		"a bad file, withdrawn": {"abbbaaa", "b", "ba"}, // told as well again
		"bad, withdrawn, again": {"abbbaabbb", "b", "bab"},
	} {
		t.Run(name, func(t *testing.T) {
			force, attempted, got, i := "a", "a", "", 0
			w := New(Options{
				Look: func() Look { return Look{Sum: tc.sums[i : i+1], Taken: attempted} },
				Changed: func(context.Context) {
					attempted = tc.sums[i : i+1]
					if got += attempted; !strings.Contains(tc.refuses, attempted) {
						force = attempted
					}
				},
			})
			for i = range len(tc.sums) {
				if pause := w.look(t.Context()); pause > w.o.Settle && w.seen != "" {
					t.Errorf("look %d: a change waits for %v", i, pause)
				}
			}
			if got != tc.taken {
				t.Errorf("taken %q, want %q; in force %s", got, tc.taken, force)
			}
		})
	}
}

// TestChangeBeforeTheNotices: what changes after the first look and before there are notices is
// seen all the same, and not at the next slow look.
func TestChangeBeforeTheNotices(t *testing.T) {
	looks, dir := 0, t.TempDir()
	w := New(Options{Look: func() Look {
		looks++
		return Look{Sum: []string{"a", "b"}[min(looks-1, 1)], Taken: "a", Places: []string{dir}}
	}})
	var err error
	w.notices, err = w.open()
	must(t, err)
	defer w.close()
	if pause := w.look(t.Context()); pause != w.o.Settle || looks != 2 {
		t.Errorf("the change waits for %v after %d looks", pause, looks)
	}
	if w.follow(t.Context(), []string{dir}) {
		t.Error("a folder that there are notices of already counts as new")
	}
}

// rig watches a folder; what is taken are the contents of its files, by the paths given.
type rig struct {
	mu    sync.Mutex
	taken string
	count int
	log   bytes.Buffer
}

func (r *rig) sum(paths []string) string {
	var out strings.Builder
	for _, p := range paths {
		found, _ := filepath.Glob(p)
		for _, f := range found {
			text, _ := os.ReadFile(f)
			out.WriteString(filepath.Base(f) + "=" + string(text) + ";")
		}
	}
	return out.String()
}

func (r *rig) state() (string, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.taken, r.count
}

func watching(t *testing.T, paths, places []string, change func(*Watcher)) *rig {
	t.Helper()
	r := &rig{}
	r.taken = r.sum(paths)
	looked := make(chan struct{}, 1)
	w := New(Options{
		Settle: 20 * time.Millisecond, Slow: time.Hour, Poll: 20 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(&r.log, nil)),
		Look: func() Look {
			select {
			case looked <- struct{}{}:
			default:
			}
			taken, _ := r.state()
			return Look{Sum: r.sum(paths), Taken: taken, Places: places}
		},
		Changed: func(context.Context) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.taken, r.count = r.sum(paths), r.count+1
		},
	})
	if change != nil {
		change(w)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	<-looked
	return r
}

func (r *rig) becomes(t *testing.T, want string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		got, _ := r.state()
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("taken is %q, want %q", got, want)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestNotices: no look comes by itself within the test, so that what is seen was noticed.
func TestNotices(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write(t, in("routes/a.yaml"), "1")
	paths := []string{in("routes/*.yaml"), in("schemas/s.json")}
	r := watching(t, paths, []string{in("routes/a.yaml"), in("routes"), in("schemas/s.json")}, nil)
	write(t, in("routes/a.yaml"), "2")
	r.becomes(t, "a.yaml=2;")
	write(t, in("routes/.a.swp"), "3") // the way of editors
	must(t, os.Rename(in("routes/.a.swp"), in("routes/a.yaml")))
	r.becomes(t, "a.yaml=3;")
	write(t, in("routes/b.yaml"), "1")
	r.becomes(t, "a.yaml=3;b.yaml=1;")
	must(t, os.Remove(in("routes/b.yaml")))
	r.becomes(t, "a.yaml=3;")
	write(t, in("schemas/s.json"), "{}") // in a folder that was not there
	r.becomes(t, "a.yaml=3;s.json={};")
	must(t, os.RemoveAll(in("schemas")))
	r.becomes(t, "a.yaml=3;")
	write(t, in("schemas/s.json"), "[]")
	r.becomes(t, "a.yaml=3;s.json=[];")
	_, before := r.state()
	now := time.Now()
	must(t, os.Chtimes(in("routes/a.yaml"), now, now))
	write(t, in("routes/a.yaml"), "3")
	write(t, in("routes/z.yaml"), "1")
	r.becomes(t, "a.yaml=3;z.yaml=1;s.json=[];")
	if _, after := r.state(); after != before+1 {
		t.Errorf("taken %d times, although only one file changed", after-before)
	}
}

// configMap lays out a folder as the kubelet does.
func configMap(t *testing.T, dir, version string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		write(t, filepath.Join(dir, version, name), text)
	}
	must(t, os.Symlink(version, filepath.Join(dir, "..data_tmp")))
	must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	for name := range files {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			must(t, os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)))
		}
	}
}

func TestConfigMap(t *testing.T) {
	dir := t.TempDir()
	configMap(t, dir, "..2026_01", map[string]string{"a.yaml": "1", "b.yaml": "1"})
	paths := []string{filepath.Join(dir, "*.yaml")}
	r := watching(t, paths, []string{filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")}, nil)
	configMap(t, dir, "..2026_02", map[string]string{"a.yaml": "2", "b.yaml": "2"})
	must(t, os.RemoveAll(filepath.Join(dir, "..2026_01")))
	r.becomes(t, "a.yaml=2;b.yaml=2;")
	configMap(t, dir, "..2026_03", map[string]string{"a.yaml": "3", "b.yaml": "2"})
	r.becomes(t, "a.yaml=3;b.yaml=2;")
	if _, n := r.state(); n != 2 {
		t.Errorf("taken %d times, want 2", n)
	}
}

// TestWithoutNotices: what cannot be noticed is looked for, and that is told once.
func TestWithoutNotices(t *testing.T) {
	for name, open := range map[string]func() (*fsnotify.Watcher, error){
		"none at all": func() (*fsnotify.Watcher, error) { return nil, errors.New("too many open files") },
		"no more": func() (*fsnotify.Watcher, error) {
			w, err := fsnotify.NewWatcher()
			if err == nil {
				err = w.Close() // adding fails from now on
			}
			return w, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "a.yaml")
			write(t, file, "1")
			var watcher *Watcher
			r := watching(t, []string{file}, []string{file}, func(w *Watcher) { w.open, watcher = open, w })
			for _, text := range []string{"2", "3"} {
				write(t, file, text)
				r.becomes(t, "a.yaml="+text+";")
			}
			if watcher.Notified() {
				t.Error("it says that there are notices")
			}
			r.mu.Lock() // what was logged came before what was taken
			defer r.mu.Unlock()
			if n := strings.Count(r.log.String(), "level=WARN"); n != 1 {
				t.Errorf("%d warnings:\n%s", n, r.log.String())
			}
		})
	}
}

func TestFolders(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	configMap(t, filepath.Join(dir, "map"), "..1", map[string]string{"a.yaml": "1"})
	must(t, os.Symlink(filepath.Join(dir, "map"), filepath.Join(dir, "routes")))
	must(t, os.Symlink("round", filepath.Join(dir, "round")))
	for path, want := range map[string][]string{
		"map/..1/a.yaml":  {"map/..1"},
		"map/a.yaml":      {"map", "map", "map/..1"},
		"routes/a.yaml":   {"", "map", "map", "map/..1"},
		"map":             {"", "map"},
		"missing/deep/er": {""},
		"map/missing":     {"map"},
	} {
		for i := range want {
			want[i] = filepath.Join(dir, want[i])
		}
		if got := folders(filepath.Join(dir, path)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if n := len(folders(filepath.Join(dir, "round", "x"))); n > maxLinks+1 {
		t.Errorf("a ring of links gives %d folders", n)
	}
}
