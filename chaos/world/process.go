package world

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Process is a program that a scenario runs. Its methods are called by one goroutine at
// a time.
type Process struct {
	Name string
	log  string // the file that it writes to; it is appended to with each start
	make func() (*exec.Cmd, error)

	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// start runs the program and returns when its log holds ready as often as it was
// started; an empty ready waits for nothing.
func (p *Process) start(ctx context.Context, ready string) error {
	before := strings.Count(p.text(), ready)
	cmd, err := p.make()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = apart()
	done, started := make(chan struct{}), make(chan error)
	go func() {
		// Linux ends the child when the thread that started it does: that thread is kept.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(done)
		err := cmd.Start()
		_ = out.Close() // the child has its own
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is seen in its log
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.cmd, p.done = cmd, done
	if ready == "" {
		return nil
	}
	return p.await(ctx, func() bool { return strings.Count(p.text(), ready) > before })
}

// startPatience bounds how long a process may take until it is ready, on a machine that
// has much else to do.
const startPatience = 60 * time.Second

func (p *Process) await(ctx context.Context, ready func() bool) error {
	if err := await(ctx, p.done, ready); err != nil {
		lines := strings.Split(strings.TrimSpace(p.text()), "\n")
		return fmt.Errorf("%s: %w; the last lines of %s:\n%s", p.Name, err, p.log, strings.Join(lines[max(0, len(lines)-5):], "\n"))
	}
	return nil
}

// await waits until ready, while ended is not closed; a nil ended never is.
func await(ctx context.Context, ended <-chan struct{}, ready func() bool) error {
	deadline := time.NewTimer(startPatience)
	defer deadline.Stop()
	for !ready() {
		select {
		case <-ended:
			return errors.New("it ended while it started")
		case <-deadline.C:
			return fmt.Errorf("not ready after %v", startPatience)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// text is what the process has written so far, in all its lives.
func (p *Process) text() string {
	text, err := os.ReadFile(p.log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err.Error()
	}
	return string(text)
}

// PID is the process ID of its last life.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Running reports whether it has been started and has not ended.
func (p *Process) Running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Kill ends it as a power cut would.
func (p *Process) Kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill() // the only error is that it has ended
		<-p.done
	}
}

// Stop asks it to end and waits; an error says that it had to be killed.
func (p *Process) Stop(within time.Duration) error {
	if !p.Running() {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // the only error is that it has ended
	if p.Ended(within) {
		return nil
	}
	p.Kill()
	return fmt.Errorf("%s did not end within %v of a SIGTERM", p.Name, within)
}

// Ended waits for its end, and reports whether it came.
func (p *Process) Ended(within time.Duration) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		return false
	}
}

// Pause freezes it: connections stay open and nothing answers.
func (p *Process) Pause() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume lets a paused one go on.
func (p *Process) Resume() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// Reload makes a Headgate process read its files again.
func (p *Process) Reload() error { return p.cmd.Process.Signal(syscall.SIGHUP) }
