package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"headgate/internal/testenv"
)

// patience bounds every wait for something that takes well under a second on an idle
// machine.
const patience = 30 * time.Second

// world is what one story runs in: a folder, a Redis of its own, addresses that nobody
// else has, and processes.
type world struct {
	t         testing.TB
	dir       string
	redis     *testenv.RedisServer
	vars      map[string]string // the environment of its processes
	processes map[string]*process
}

func newWorld(t testing.TB, dir string) *world {
	w := &world{
		t: t, dir: dir, redis: testenv.Redis(t),
		vars: maps.Clone(developmentSecrets), processes: map[string]*process{},
	}
	binary, err := exec.LookPath("headgate")
	if err != nil {
		t.Fatal(err)
	}
	w.vars["HEADGATE"], w.vars["REDIS_URL"] = binary, w.redis.URL()
	// By default the race detector holds up the end of a process for a second.
	w.vars["GORACE"] = "atexit_sleep_ms=20"
	w.vars["OTEL_EXPORTER_OTLP_ENDPOINT"] = "" // no traces, unless a story wants them
	for _, name := range []string{"LISTEN", "ADMIN", "BACKENDS", "SPARE"} {
		addr := freeAddr(t)
		w.vars[name], w.vars[name+"_URL"] = addr, "http://"+addr
	}
	return w
}

// start runs a program beside the test; what it prints goes to <name>.out and
// <name>.log in the world's folder. The name can be used again once its process ended.
func (w *world) start(name string, vars map[string]string, args ...string) error {
	if old := w.processes[name]; old != nil && !old.ended() {
		return fmt.Errorf("%s runs already", name)
	}
	p, err := startProcess(filepath.Join(w.dir, name), w.dir, vars, args)
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	w.processes[name] = p
	return nil
}

func (w *world) process(name string) (*process, error) {
	if p := w.processes[name]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("nothing was started under the name %q", name)
}

// close ends what still runs and looks through the logs for what no process may print.
func (w *world) close() {
	for name, p := range w.processes {
		_ = p.cmd.Process.Kill() // the only error is that it has ended
		<-p.done
		log := w.log(name)
		for _, bad := range []string{"DATA RACE", "panic:", "\ngoroutine "} {
			if strings.Contains(log, bad) {
				w.t.Errorf("the log of %s contains %q:\n%s", name, bad, log)
			}
		}
	}
}

// log is what a process has written to standard error so far.
func (w *world) log(name string) string {
	text, err := os.ReadFile(filepath.Join(w.dir, name+".log"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Error(err)
	}
	return string(text)
}

// process is a program that runs beside a test.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// passedOn are the variables of the test's own environment that its processes see.
var passedOn = []string{"PATH", "GOCOVERDIR"}

func startProcess(output, dir string, vars map[string]string, args []string) (*process, error) {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=/no-home", "TMPDIR=" + dir}
	for _, name := range passedOn {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		cmd.Env = append(cmd.Env, name+"="+vars[name])
	}
	out, err := os.OpenFile(output+".out", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // the process has copies of its own
	log, err := os.OpenFile(output+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = out, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // the exit code is asked for by those who care
	}()
	return p, nil
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// wait gives the exit code; -1 when it was killed.
func (p *process) wait() (int, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-timer.C:
		return 0, fmt.Errorf("it has not ended after %v", patience)
	}
}

// kill ends it as a power cut would, and waits.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL) // the only error is that it has ended
	<-p.done
}
