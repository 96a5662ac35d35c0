package embedded

import (
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

// restartPause keeps a server that ends at once from taking a whole core.
const restartPause = time.Second

// keeper keeps a child running until it is stopped. One that dies, such as by the hand of a
// kernel that is out of memory, is started again and reads what it had written: nobody else
// would, since the process around it lives on.
type keeper struct {
	command func() *exec.Cmd
	log     *slog.Logger

	ended    chan struct{} // closed with the first end of the child; failure says how
	failure  error
	stopping chan struct{} // closed when no other child is wanted
	done     chan struct{} // closed when the last one has ended

	mu      sync.Mutex
	process *os.Process
}

// keep starts the child.
func keep(command func() *exec.Cmd, log *slog.Logger) (*keeper, error) {
	k := &keeper{command: command, log: log, ended: make(chan struct{}), stopping: make(chan struct{}), done: make(chan struct{})}
	started := make(chan error)
	go k.run(started)
	if err := <-started; err != nil {
		return nil, err
	}
	return k, nil
}

func (k *keeper) run(started chan<- error) {
	// On Linux the child's end is bound to the thread that started it, so that thread
	// has to live as long as the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(k.done)
	cmd, err := k.start()
	started <- err
	if err != nil {
		return
	}
	k.failure = cmd.Wait()
	close(k.ended)
	for err = k.failure; k.wanted(); {
		select {
		case <-k.stopping:
			return
		case <-time.After(restartPause):
		}
		k.log.Error("the embedded redis-server has ended by itself; it is started again", "error", err)
		if cmd, err = k.start(); err == nil && cmd != nil {
			err = cmd.Wait()
		}
	}
}

// wanted is false once the child is to end.
func (k *keeper) wanted() bool {
	select {
	case <-k.stopping:
		return false
	default:
		return true
	}
}

// start starts a child unless none is wanted any more.
func (k *keeper) start() (*exec.Cmd, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.wanted() {
		return nil, nil //nolint:nilnil // there is none, which is no error
	}
	cmd := k.command()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	k.process = cmd.Process
	return cmd, nil
}

// stop ends the child, by force when it takes too long.
func (k *keeper) stop() {
	k.mu.Lock()
	close(k.stopping)
	process := k.process // one that has ended already takes no signal
	k.mu.Unlock()
	_ = process.Signal(os.Interrupt)
	select {
	case <-k.done:
	case <-time.After(stopTimeout):
		_ = process.Kill()
		<-k.done
	}
}
