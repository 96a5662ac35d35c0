package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mvdan.cc/sh/v3/syntax"
)

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
					if err := s.block(b); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

func runnable(b *block) bool {
	_, unrun := b.told("not run")
	_, unchecked := b.told("not checked")
	if b.lang != "sh" || unrun || unchecked {
		return false
	}
	parsed, _ := parseScript(b.text)
	return !parsed.outside
}

func TestPagesSayWhyNotRun(t *testing.T) {
	for _, p := range readPages(t) {
		for _, b := range p.blocks {
			if reason, marked := b.told("not run"); marked && reason == "" {
				t.Errorf("%s:%d: <!-- not run --> gives no reason", p.path, b.line)
			}
		}
	}
}

// block runs the commands of a block and compares what they print.
func (s *session) block(b *block) error {
	parsed, errs := parseScript(b.text)
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	want := 0
	if code, fails := b.told("exits"); fails {
		want, _ = strconv.Atoi(code)
	}
	var all strings.Builder
	for i, stmt := range parsed.statements {
		out, code, err := s.statement(stmt)
		if err != nil {
			return err
		}
		all.WriteString(out)
		if last := i == len(parsed.statements)-1; last && code != want || !last && code != 0 {
			return fmt.Errorf("%v: exit code %d\n%s\n%s", b, code, b.text, all.String())
		}
	}
	if b.shows != nil {
		if got := strings.TrimRight(s.there(all.String()), "\n"); !shown(b.shows.text).MatchString(got) {
			return fmt.Errorf("%v prints\n%s\nand the page says\n%s", b, got, b.shows.text)
		}
	}
	return nil
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
func (s *session) statement(stmt *syntax.Stmt) (out string, code int, err error) {
	var text strings.Builder
	if err := syntax.NewPrinter().Print(&text, stmt); err != nil {
		return "", 0, err
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
		return "", 0, err
	}
	pid := 0
	if n, err := fmt.Sscan(ended, &code, &s.cwd, &pid); n < 2 || n < 3 && stmt.Background {
		return "", 0, fmt.Errorf("it does not end, or ends the shell (%w):\n%s\n%s", err, command, printed)
	}
	if ids := trackingID.FindAllString(string(printed), -1); len(ids) > 0 {
		s.known = ids[len(ids)-1]
	}
	if stmt.Background {
		s.pids = append(s.pids, pid)
		err = s.await(stmt, file+".out")
	}
	return string(printed), code, err
}

// await waits until a server that was started answers.
func (s *session) await(stmt *syntax.Stmt, output string) error {
	command, ok := stmt.Cmd.(*syntax.CallExpr)
	if !ok || len(command.Args) < 2 || !isHeadgate(word(command.Args[0])) {
		return nil
	}
	flag, url := "", ""
	switch word(command.Args[1]) {
	case "serve":
		flag, url = "--admin-listen", "127.0.0.1:9090"
	case "simulate":
		flag, url = "--listen", "127.0.0.1:7070"
	default:
		return nil
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
		return fmt.Errorf("%s is not ready:\n%s", url, text)
	}
	return nil
}
