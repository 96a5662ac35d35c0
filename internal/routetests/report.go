package routetests

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// Suite is a file of tests with its results.
type Suite struct {
	File    string
	Results []Result
}

// Print writes a line for each test, what differs below those that failed, and the sum.
// It reports whether all passed.
func Print(w io.Writer, suites []Suite) bool {
	passed, failed := 0, 0
	for _, s := range suites {
		for _, r := range s.Results {
			if len(r.Failures) == 0 {
				passed++
				fmt.Fprintf(w, "ok    %s\n", r.Name)
				continue
			}
			failed++
			fmt.Fprintf(w, "FAIL  %s (%s:%d)\n", r.Name, s.File, r.Pos.Line)
			for _, failure := range r.Failures {
				fmt.Fprintf(w, "      %s\n", failure)
			}
		}
	}
	fmt.Fprintf(w, "%d passed, %d failed\n", passed, failed)
	return failed == 0
}

// The elements of JUnit's XML, as far as continuous integration reads them.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		File    string        `xml:"file,attr"`
		Line    int           `xml:"line,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit gives the results as JUnit's XML.
func JUnit(suites []Suite) ([]byte, error) {
	all := junitSuites{Name: "headgate test"}
	var took time.Duration
	for _, s := range suites {
		suite, own := junitSuite{Name: s.File, Tests: len(s.Results)}, time.Duration(0)
		for _, r := range s.Results {
			c := junitCase{Name: r.Name, Class: s.File, File: s.File, Line: r.Pos.Line, Time: seconds(r.Took)}
			if len(r.Failures) > 0 {
				c.Failure = &junitFailure{Message: r.Failures[0], Text: strings.Join(r.Failures, "\n")}
				suite.Failures++
			}
			own += r.Took
			suite.Cases = append(suite.Cases, c)
		}
		suite.Time = seconds(own)
		took += own
		all.Tests += suite.Tests
		all.Failures += suite.Failures
		all.Suites = append(all.Suites, suite)
	}
	all.Time = seconds(took)
	out, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write JUnit: %w", err)
	}
	return []byte(xml.Header + string(out) + "\n"), nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
