package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"headgate/chaos/world"
)

// builder builds the Headgate binary in the variants that are needed, one after the
// other, so that scenarios begin as soon as the first is there.
type builder struct {
	dir   string // where binaries go
	built map[world.Variant]*binary
}

// binary is one variant.
type binary struct {
	ready chan struct{} // closed when path or err is there
	path  string
	err   error
}

// start begins to build what the scenarios need; the group ends with it.
func (b *builder) start(ctx context.Context, list []*scenario) *sync.WaitGroup {
	b.built = map[world.Variant]*binary{}
	for _, s := range list {
		b.built[s.spec.Variant()] = &binary{ready: make(chan struct{})}
	}
	var building sync.WaitGroup
	building.Go(func() {
		for _, v := range slices.Sorted(maps.Keys(b.built)) {
			one := b.built[v]
			one.path, one.err = b.variant(ctx, v)
			close(one.ready)
		}
	})
	return &building
}

// binaries waits for the variant that is asked for.
func (b *builder) binaries() world.Binaries {
	return func(ctx context.Context, v world.Variant) (string, error) {
		one := b.built[v]
		select {
		case <-one.ready:
			return one.path, one.err
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

func (b *builder) variant(ctx context.Context, v world.Variant) (string, error) {
	switch v {
	case world.Failpoint:
		return b.build(ctx, "headgate-failpoint", "-tags", "failpoint")
	case world.Skewed:
		overlay, err := b.overlay()
		if err != nil {
			return "", err
		}
		return b.build(ctx, "headgate-clock", "-overlay", overlay)
	case world.Plain:
	}
	return b.build(ctx, "headgate")
}

func (b *builder) build(ctx context.Context, name string, extra ...string) (string, error) {
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

// overlay writes the changed files and gives the path of what -overlay takes.
func (b *builder) overlay() (string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output() //nolint:noctx // it answers at once
	if err != nil {
		return "", fmt.Errorf("find the standard library: %w", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	text, err := os.ReadFile(filepath.Join(dir, "time.go")) //nolint:gosec // the standard library
	if err != nil {
		return "", err
	}
	head, body, ok := strings.Cut(string(text), "\nfunc Now() Time {\n")
	if !ok || !strings.HasPrefix(body, clockRead) {
		return "", fmt.Errorf("time.Now of this Go does not begin with %q: the clock cannot be shifted; mend chaos/build.go", strings.TrimSpace(clockRead))
	}
	files := map[string]string{
		"time.go":        head + "\nfunc Now() Time {\n" + clockRead + clockShift + strings.TrimPrefix(body, clockRead),
		"clockoffset.go": clockFile,
	}
	replace := map[string]string{}
	for name, text := range files {
		copied := filepath.Join(b.dir, name)
		if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(dir, name)] = copied
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(b.dir, "overlay.json")
	return path, os.WriteFile(path, overlay, 0o600)
}
