package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mvdan.cc/sh/v3/syntax"

	"headgate/internal/testenv"
)

// notRun are blocks of pages that have no comment to say so; each is known by its first line.
var notRun = map[string]string{
	"./headgate deadletters list --target crm --since 2h": "needs a dead letter and a corrected payload",
}

// lookedAt are folders whose pages have commands that are not for one place and in their
// order: their command lines are held against what there is, and nothing is run.
var lookedAt = []string{
	"docs/reference/", // examples of single commands, made from the code
	"docs/runbooks/",  // for a fleet in trouble
}

// TestPagesRun does what every page tells its readers to do.
func TestPagesRun(t *testing.T) {
	t.Parallel()
	for _, p := range readPages(t) {
		only := slices.ContainsFunc(lookedAt, func(folder string) bool { return strings.HasPrefix(p.path, folder) })
		if only || !slices.ContainsFunc(p.blocks, runnable) {
			continue
		}
		t.Run(p.path, func(t *testing.T) {
			t.Parallel()
			s := newSession(t, p)
			for _, b := range p.blocks {
				switch {
				case b.file != "" && b.kind == "" && b.mark == "":
					write(t, filepath.Join(s.cwd, b.file), []byte(s.here(b.text)))
				case runnable(b):
					s.block(b)
				}
			}
		})
	}
}

func runnable(b *block) bool {
	_, unrun := b.told("not run")
	_, unchecked := b.told("not checked")
	first, _, _ := strings.Cut(b.text, "\n")
	if b.lang != "sh" || unrun || unchecked || notRun[first] != "" {
		return false
	}
	parsed, _ := parseScript(b.text)
	return !parsed.outside
}

func TestPagesSayWhyNotRun(t *testing.T) {
	left := maps.Clone(notRun)
	for _, p := range readPages(t) {
		for _, b := range p.blocks {
			if reason, marked := b.told("not run"); marked && reason == "" {
				t.Errorf("%s:%d: <!-- not run --> gives no reason", p.path, b.line)
			}
			first, _, _ := strings.Cut(b.text, "\n")
			delete(left, first)
		}
	}
	for first := range left {
		t.Errorf("no page has a block that begins with %q; take it out of notRun", first)
	}
}

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

// block runs the commands of a block and compares what they print.
func (s *session) block(b *block) {
	s.t.Helper()
	parsed, errs := parseScript(b.text)
	if len(errs) > 0 {
		s.t.Fatal(errs)
	}
	want := 0
	if code, fails := b.told("exits"); fails {
		want, _ = strconv.Atoi(code)
	}
	var all strings.Builder
	for i, stmt := range parsed.statements {
		out, code := s.statement(stmt)
		all.WriteString(out)
		if last := i == len(parsed.statements)-1; last && code != want || !last && code != 0 {
			s.t.Fatalf("%v: exit code %d\n%s\n%s", b, code, b.text, all.String())
		}
	}
	if b.shows != nil {
		if got := strings.TrimRight(s.there(all.String()), "\n"); !shown(b.shows.text).MatchString(got) {
			s.t.Errorf("%v prints\n%s\nand the page says\n%s", b, got, b.shows.text)
		}
	}
}

// blanks stand between columns, which are as wide as what they hold.
var blanks = regexp.MustCompile(` {2,}`)

// shown gives what an output block matches.
func shown(text string) *regexp.Regexp {
	var out strings.Builder
	out.WriteString(`\A`)
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		if strings.TrimSpace(line) == "…" {
			out.WriteString(`(?:.*\n?)*?`)
			continue
		}
		line = strings.TrimRight(line, " \n")
		line = strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*")
		out.WriteString(blanks.ReplaceAllString(line, " +") + `[ \r]*(?:\n|\z)`)
	}
	return regexp.MustCompile(out.String() + `\n*\z`)
}

var trackingID = regexp.MustCompile(`trk_[0-9A-Za-z]{20,}`)

// statement runs one command line, to its end unless it is one for the background.
func (s *session) statement(stmt *syntax.Stmt) (out string, code int) {
	s.t.Helper()
	var text strings.Builder
	if err := syntax.NewPrinter().Print(&text, stmt); err != nil {
		s.t.Fatal(err)
	}
	command := strings.ReplaceAll(s.here(text.String()), "trk_…", s.known)
	s.count++
	file := filepath.Join(s.dir, "run", fmt.Sprintf("%03d", s.count))
	write(s.t, file+".sh", []byte(command+"\n"))
	fmt.Fprintf(s.in, ". %s.sh >%s.out 2>&1 </dev/null; echo $? \"$PWD\" $!\n", file, file)

	line := make(chan string, 1)
	go func() {
		text, _ := s.ended.ReadString('\n') // an end without a line is a shell that is gone
		line <- text
	}()
	var ended string
	select {
	case ended = <-line:
	case <-time.After(2 * patience):
	}
	printed, err := os.ReadFile(file + ".out")
	if err != nil {
		s.t.Fatal(err)
	}
	pid := 0
	if n, err := fmt.Sscan(ended, &code, &s.cwd, &pid); n < 2 || n < 3 && stmt.Background {
		s.t.Fatalf("it does not end, or ends the shell (%v):\n%s\n%s", err, command, printed)
	}
	if ids := trackingID.FindAllString(string(printed), -1); len(ids) > 0 {
		s.known = ids[len(ids)-1]
	}
	if stmt.Background {
		s.pids = append(s.pids, pid)
		s.await(stmt, file+".out")
	}
	return string(printed), code
}

// await waits until a server that was started answers.
func (s *session) await(stmt *syntax.Stmt, output string) {
	s.t.Helper()
	command, ok := stmt.Cmd.(*syntax.CallExpr)
	if !ok || len(command.Args) < 2 || !isHeadgate(word(command.Args[0])) {
		return
	}
	flag, url := "", ""
	switch word(command.Args[1]) {
	case "serve":
		flag, url = "--admin-listen", "127.0.0.1:9090"
	case "simulate":
		flag, url = "--listen", "127.0.0.1:7070"
	default:
		return
	}
	for i, arg := range command.Args {
		if word(arg) == flag && i+1 < len(command.Args) {
			url = word(command.Args[i+1])
		}
	}
	url = "http://" + s.here(url) + map[string]string{"serve": "/readyz"}[word(command.Args[1])]
	if !within(patience, func() bool {
		a, err := call(http.MethodGet, url, nil, nil)
		return err == nil && a.code == http.StatusOK
	}) {
		text, _ := os.ReadFile(output) // there may be nothing to show
		s.t.Fatalf("%s is not ready:\n%s", url, text)
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
