//go:build ignore

// Command testsum reads what `go test -json` prints, shows what `go test` shows (a line
// for each package, everything about what failed) and closes with the numbers of
// tests, subtests counted like tests. It fails when anything failed or nothing ran.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// event is a line of `go test -json`; see `go doc test2json`.
type event struct {
	Action, Package, Test, Output string
}

// summary is what has been seen so far.
type summary struct {
	passed, failed, skipped int
	output                  map[string][]string // by package and test, until it ended
	failedIn                map[string]bool     // packages in which a test was counted as failed
}

func main() {
	s := summary{output: map[string][]string{}, failedIn: map[string]bool{}}
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadString('\n')
		var e event
		switch {
		case line == "":
		case json.Unmarshal([]byte(line), &e) == nil && e.Action != "":
			s.add(e)
		default: // not of the protocol: go itself has something to say
			fmt.Print(line)
		}
		if err != nil {
			break
		}
	}
	note := ""
	if s.skipped > 0 {
		note = fmt.Sprintf(", %d skipped", s.skipped)
	}
	fmt.Printf("%d passed, %d failed%s\n", s.passed, s.failed, note)
	if s.failed > 0 || s.passed == 0 {
		os.Exit(1)
	}
}

func (s *summary) add(e event) {
	key := e.Package + " " + e.Test
	switch {
	case e.Action == "build-output":
		fmt.Print(e.Output)
	case e.Action == "output" && e.Test == "" && isResult(e.Output):
		fmt.Print(e.Output)
	case e.Action == "output":
		s.output[key] = append(s.output[key], e.Output)
	case e.Test == "":
		s.endPackage(e)
	case e.Action == "pass":
		s.passed++
		delete(s.output, key)
	case e.Action == "skip":
		s.skipped++
		s.show(key)
	case e.Action == "fail":
		s.failed++
		s.failedIn[e.Package] = true
		s.show(key)
	}
}

// endPackage counts a package that failed without a failed test (it did not build, it
// ran out of time, it left goroutines) as one failure, and shows what it said.
func (s *summary) endPackage(e event) {
	if e.Action != "fail" {
		return
	}
	if !s.failedIn[e.Package] {
		s.failed++
	}
	var open []string // tests that never ended say why the binary did
	for key := range s.output {
		if strings.HasPrefix(key, e.Package+" ") {
			open = append(open, key)
		}
	}
	slices.Sort(open)
	for _, key := range open {
		s.show(key)
	}
}

// show prints a test's own output below its result, as `go test` without -v does.
func (s *summary) show(key string) {
	isVerdict := func(line string) bool { return strings.HasPrefix(strings.TrimLeft(line, " "), "--- ") }
	for _, verdicts := range []bool{true, false} {
		for _, line := range s.output[key] {
			if isVerdict(line) == verdicts && !strings.HasPrefix(line, "=== ") {
				fmt.Print(line)
			}
		}
	}
	delete(s.output, key)
}

// isResult tells a package's closing line from the rest of its output.
func isResult(line string) bool {
	return strings.HasPrefix(line, "ok  \t") || strings.HasPrefix(line, "FAIL\t") || strings.HasPrefix(line, "?   \t")
}
