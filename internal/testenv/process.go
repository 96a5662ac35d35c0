package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a running child whose end is waited for.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the child is gone
}

// startProcess runs the program with its output appended to the file log.
func startProcess(binary string, args []string, log string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // in the server's own directory
	if err != nil {
		return nil, err
	}
	// The child outlives every context but the binary's: it is ended by signals.
	cmd := exec.CommandContext(context.Background(), binary, args...) //nolint:gosec // redis-server, found on the PATH
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = dieWithParent()

	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Linux ends the child when the *thread* that started it ends, so that thread is
		// kept here until the child is gone (golang.org/issue/27505).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := cmd.Start()
		_ = out.Close() // the child has its own copy
		started <- err
		if err == nil {
			_ = cmd.Wait() // a server that was killed reports just that
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	return p, nil
}

// kill ends the child at once and waits; it works on a paused one too.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // the only error is that it has ended
	<-p.done
}

// terminate asks the child to end, and kills it when it has not within the grace.
func (p *process) terminate(grace time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		p.kill()
		return fmt.Errorf("it did not end within %v and was killed", grace)
	}
}

func (p *process) pause() error  { return p.cmd.Process.Signal(syscall.SIGSTOP) }
func (p *process) resume() error { return p.cmd.Process.Signal(syscall.SIGCONT) }
