package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"headgate/internal/testenv"
)

// session is the shell that runs a page's commands.
type session struct {
	t     *testing.T
	shell *exec.Cmd
	in    io.WriteCloser
	ended *bufio.Reader // a line for each command that ended
	dir   string        // all that the page does is below it
	cwd   string        // where the shell is
	count int
	moved map[string]string // addresses of the page to those of this run
	known string            // the tracking ID that was printed last
	pids  []int             // of what runs in the background
}

// newSession starts a shell in a folder of its own.
func newSession(t *testing.T, p *page) *session {
	t.Helper()
	// Not t.TempDir: the socket of an embedded Redis lies below, and its path must be short.
	dir, err := os.MkdirTemp("", "hgpage")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &session{t: t, dir: dir, cwd: filepath.Join(dir, "page"), moved: map[string]string{}}
	for _, port := range []string{"8080", "9090", "7070"} {
		s.here("127.0.0.1:" + port) // the defaults of flags
	}
	for _, sub := range []string{"page", "bin", "tmp", "run"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if p.folder == "" && strings.HasPrefix(p.path, "examples/") {
		p.folder = filepath.Dir(p.path)
	}
	s.copyFolder(p.folder)
	for tool := range outside {
		s.standIn(tool)
	}
	s.start()
	return s
}

// standIn keeps a page's commands from running a tool: their blocks are marked, or have
// no others. The binary that `make build` gives is there already.
func (s *session) standIn(tool string) {
	s.t.Helper()
	text := "#!/bin/sh\necho the tests do not run " + tool + ": mark the block >&2\nexit 2\n"
	if tool == "make" {
		binary, err := exec.LookPath("headgate")
		if err != nil {
			s.t.Fatal(err)
		}
		text = "#!/bin/sh\n[ \"$*\" = build ] || exit 2\nmkdir -p dist && cd dist\n" +
			"printf '#!/bin/sh\\nexec " + binary + " \"$@\"\\n' >headgate && chmod +x headgate\n"
	}
	if err := os.WriteFile(filepath.Join(s.dir, "bin", tool), []byte(text), 0o700); err != nil {
		s.t.Fatal(err)
	}
}

// copyFolder puts the files of an example where the page's commands run.
func (s *session) copyFolder(folder string) {
	s.t.Helper()
	if folder == "" {
		return
	}
	err := filepath.WalkDir(folder, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		below, err := filepath.Rel(folder, name)
		write(s.t, filepath.Join(s.cwd, below), []byte(s.here(string(text))))
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *session) start() {
	s.t.Helper()
	for _, tool := range []string{"bash", "curl", "headgate"} {
		if _, err := exec.LookPath(tool); err != nil {
			s.t.Fatalf("the commands of the pages need %s: %v", tool, err)
		}
	}
	s.shell = exec.Command("bash") // in which, unlike in others, kill %1 works as in a terminal
	s.shell.Dir = s.cwd
	s.shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.shell.Env = []string{
		"HOME=/no-home", "TMPDIR=" + s.dir + "/tmp", "GORACE=atexit_sleep_ms=20",
		"PATH=" + s.dir + "/bin:" + os.Getenv("PATH"), movedVariable + "=" + strings.Join(s.addresses(), ","),
	}
	if folder, ok := os.LookupEnv("GOCOVERDIR"); ok {
		s.shell.Env = append(s.shell.Env, "GOCOVERDIR="+folder)
	}
	in, err := s.shell.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := s.shell.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.in, s.ended = in, bufio.NewReader(out)
	if err := s.shell.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.stop)
}

// stop ends what the page left running, in good order if it can.
func (s *session) stop() {
	for _, pid := range s.pids {
		_ = syscall.Kill(pid, syscall.SIGTERM) // a page may have ended it itself
	}
	_, _ = io.WriteString(s.in, "wait\n") // a shell that is gone needs no telling
	_ = s.in.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.Discard, s.ended)
		_ = s.shell.Wait() // its code is that of the last command
	}()
	select {
	case <-done:
	case <-time.After(patience):
		s.t.Error("what the page has started does not end")
		_ = syscall.Kill(-s.shell.Process.Pid, syscall.SIGKILL)
		<-done
	}
	for _, pattern := range []string{"run/*.out", "page/*.log", "page/*/*.log"} {
		names, _ := filepath.Glob(filepath.Join(s.dir, pattern)) // the pattern is a good one
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil || regexp.MustCompile(`DATA RACE|panic:|\ngoroutine `).Match(text) {
				s.t.Errorf("%s: %v\n%s", name, err, text)
			}
		}
	}
}

// movedVariable tells headgate in the processes of a page where the addresses of its
// flags' defaults are in this run: old and new ones in turn.
const movedVariable = "HEADGATE_TEST_MOVED"

var address = regexp.MustCompile(`\b(127\.0\.0\.1|localhost):([0-9]{4,5})\b`)

// here puts addresses of this run in the place of those that a page names. What listens
// at Redis' usual one is a real Redis.
func (s *session) here(text string) string {
	return address.ReplaceAllStringFunc(text, func(old string) string {
		port := old[strings.LastIndex(old, ":")+1:]
		if s.moved[port] == "" {
			if port == "6379" {
				s.moved[port] = testenv.Redis(s.t, testenv.WithAOF()).Addr()
			} else {
				s.moved[port] = freeAddr(s.t)
			}
		}
		return s.moved[port]
	})
}

func (s *session) addresses() []string {
	var all []string
	for port, now := range s.moved {
		all = append(all, "127.0.0.1:"+port, now)
	}
	return all
}

// there puts the addresses of the page back.
func (s *session) there(text string) string {
	for port, now := range s.moved {
		text = strings.ReplaceAll(text, now, "127.0.0.1:"+port)
	}
	return text
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
