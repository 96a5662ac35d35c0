package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"headgate/chaos/world"
)

// builder builds the Headgate binary in its variants, each once and when it is asked for.
type builder struct {
	dir string // where binaries go

	plain, failpoint, skewed built
}

// built is one variant.
type built struct {
	once sync.Once
	path string
	err  error
}

func (b *builder) binaries() world.Binaries {
	one := func(v *built, name string, args func() ([]string, error)) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) {
			v.once.Do(func() { v.path, v.err = b.build(ctx, name, args) })
			return v.path, v.err
		}
	}
	return world.Binaries{
		Plain:     one(&b.plain, "headgate", func() ([]string, error) { return nil, nil }),
		Failpoint: one(&b.failpoint, "headgate-failpoint", func() ([]string, error) { return []string{"-tags", "failpoint"}, nil }),
		Skewed:    one(&b.skewed, "headgate-clock", b.overlay),
	}
}

func (b *builder) build(ctx context.Context, name string, args func() ([]string, error)) (string, error) {
	extra, err := args()
	if err != nil {
		return "", err
	}
	path := filepath.Join(b.dir, name)
	all := append([]string{"build", "-ldflags", "-s -w", "-o", path}, extra...)
	cmd := exec.CommandContext(ctx, "go", append(all, ".")...) //nolint:gosec // our own module
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	// Scenarios run meanwhile. The child's children take over its niceness.
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, cmd.Process.Pid, 10) // otherwise it is just slower for the others
	if err := cmd.Wait(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, text.String())
	}
	return path, nil
}

// The clock of a whole process is shifted where all of it reads the clock: in time.Now.
// The binary is built with a copy of that file in which one line is added; timers and
// the monotonic clock stay as they are, as on a host whose clock is off.
const (
	clockRead  = "\tsec, nsec, mono := runtimeNow()\n"
	clockShift = "\tsec += clockOffset\n"
	clockFile  = `package time

import "syscall"

// clockOffset in seconds is how far the clock of this process is off.
var clockOffset = func() int64 {
	text, _ := syscall.Getenv("HEADGATE_CLOCK_OFFSET")
	d, err := ParseDuration(text)
	if err != nil {
		return 0
	}
	return int64(d / Second)
}()
`
)

func (b *builder) overlay() ([]string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output() //nolint:noctx // it answers at once
	if err != nil {
		return nil, fmt.Errorf("find the standard library: %w", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	text, err := os.ReadFile(filepath.Join(dir, "time.go")) //nolint:gosec // the standard library
	if err != nil {
		return nil, err
	}
	head, body, ok := strings.Cut(string(text), "\nfunc Now() Time {\n")
	if !ok || !strings.HasPrefix(body, clockRead) {
		return nil, fmt.Errorf("time.Now of this Go does not begin with %q: the clock cannot be shifted; mend chaos/build.go", strings.TrimSpace(clockRead))
	}
	files := map[string]string{
		"time.go":        head + "\nfunc Now() Time {\n" + clockRead + clockShift + strings.TrimPrefix(body, clockRead),
		"clockoffset.go": clockFile,
	}
	replace := map[string]string{}
	for name, text := range files {
		copied := filepath.Join(b.dir, name)
		if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
			return nil, err
		}
		replace[filepath.Join(dir, name)] = copied
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, err
	}
	path := filepath.Join(b.dir, "overlay.json")
	return []string{"-overlay", path}, os.WriteFile(path, overlay, 0o600)
}
