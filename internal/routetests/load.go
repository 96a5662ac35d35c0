package routetests

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"

	"headgate/config/yamlsrc"
	"headgate/dispatch/fault"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

// Load reads a file of tests. What is wrong with it is in report; the result is nil then.
func Load(name string, report *yamlsrc.Report) *File {
	text, err := os.ReadFile(name) //nolint:gosec // the file that the user names
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err // the position tells the path
		}
		report.Addf(yamlsrc.Pos{File: name, Line: 1, Column: 1}, "", "name files such as routes/*_test.yaml", "read test file: %s", err)
		return nil
	}
	return parse(name, text, report)
}

func parse(name string, text []byte, report *yamlsrc.Report) *File {
	before := report.Len()
	root := yamlsrc.Parse(name, text, report)
	if report.Len() > before {
		return nil
	}
	f := &File{name: name}
	root.Decode(f, report)
	if list := root.Get("tests"); list != nil && report.Len() == before {
		if len(f.Tests) == 0 {
			report.Addf(list.Pos, list.Path, "add - name: …", "the file has no test")
		}
		first := map[string]int{}
		for i, n := range list.Items {
			t := &f.Tests[i]
			t.node = n
			if line, taken := first[t.Name]; taken {
				report.Addf(n.Pos, n.Path, "give it another name", "the name %q is taken by the test in line %d", t.Name, line)
			}
			first[t.Name] = n.Line
			checkTest(t, n, report)
		}
	}
	if report.Len() > before {
		return nil
	}
	return f
}

// Lookup gives the environment of a file's tests: what it declares, then what getenv gives.
func (f *File) Lookup(getenv func(name string) (string, error)) func(name string) (string, error) {
	return func(name string) (string, error) {
		if value, ok := f.Env[name]; ok {
			return value, nil
		}
		value, err := getenv(name)
		if err != nil {
			return "", &unsetError{err, name, f.name}
		}
		return value, nil
	}
}

// unsetError says that neither the environment nor the file of tests has a variable.
type unsetError struct {
	error
	variable, file string
}

// Hint tells what to do; yamlsrc asks for it.
func (e *unsetError) Hint() string {
	return fmt.Sprintf("set %s, or add env: {%s: …} to %s", e.variable, e.variable, e.file)
}

// CheckTargets reports the targets that tests name and the route files do not declare.
func (f *File) CheckTargets(plans map[string]*target.Plan, report *yamlsrc.Report) {
	known := make([]string, 0, len(plans))
	for name := range plans {
		known = append(known, name)
	}
	check := func(name string, at yamlsrc.Pos, path string) {
		if !slices.Contains(known, name) {
			report.Addf(at, path, yamlsrc.UnknownHint(name, known), "unknown target %q", name)
		}
	}
	for _, t := range f.Tests {
		for _, e := range nodeEntries(t.node.Get("targets")) {
			check(e.Key, e.KeyPos, e.Value.Path)
		}
		for i, name := range t.Skipped {
			at := t.node.Get("skipped").Items[i]
			check(name, at.Pos, at.Path)
		}
	}
}

func checkTest(t *Test, n *yamlsrc.Node, report *yamlsrc.Report) {
	problem := func(key, hint, format string, args ...any) {
		at := n
		if found := n.Get(key); found != nil {
			at = found
		}
		report.Addf(at.Pos, at.Path, hint, format, args...)
	}
	rest := len(t.Targets) + len(t.Skipped)
	switch refused := n.Get("refused") != nil; {
	case refused && rest > 0:
		problem("refused", "keep either refused, or targets and skipped", "a request that is refused goes to no target")
	case refused && (t.Refused < 400 || t.Refused > 599):
		problem("refused", "write a status such as 422", "%d is no status of a refusal", t.Refused)
	case !refused && rest == 0:
		problem("", "add targets, skipped or refused", "the test %q looks at nothing", t.Name)
	}
	if u, err := url.ParseRequestURI(t.Request.Path); err != nil || !strings.HasPrefix(t.Request.Path, "/") || u.Fragment != "" {
		at := n.Get("request").Get("path")
		report.Addf(at.Pos, at.Path, "write a path such as /profiles/42", "%q is no path of a request", t.Request.Path)
	}
	for _, e := range nodeEntries(n.Get("targets")) {
		own := t.Targets[e.Key]
		checkOneTarget(&own, e.Value, report)
		t.Targets[e.Key] = own
	}
}

func nodeEntries(n *yamlsrc.Node) []yamlsrc.Entry {
	if n == nil {
		return nil
	}
	return n.Entries
}

// finalStates are the ends that a run can give a delivery.
var finalStates = []string{
	string(tracking.Succeeded), string(tracking.Warned), string(tracking.Rejected), string(tracking.Failed), string(tracking.Unknown),
}

// runStates are the states in which a run can leave a delivery.
var runStates = append([]string{string(tracking.Delivering), string(tracking.Waiting), string(tracking.Retrying)}, finalStates...)

func checkOneTarget(t *Target, n *yamlsrc.Node, report *yamlsrc.Report) {
	if n.Kind == yamlsrc.Null {
		report.Addf(n.Pos, n.Path, "add calls and outcome", "nothing is said about the target")
		return
	}
	for i, call := range t.Calls {
		at := n.Get("calls").Items[i]
		checkAnswer(call.Answer, at, report)
		if call.Repeat && i < len(t.Calls)-1 {
			report.Addf(at.Pos, at.Path, "write it on the last call only", "after a call that is repeated none follows")
		}
		for _, e := range nodeEntries(at.Get("expect").Get("headers")) {
			if e.Value.Kind != yamlsrc.Scalar && e.Value.Kind != yamlsrc.Null {
				e.Value.Wrong("a text, or null for a header that is not sent", report)
			}
		}
		if e := call.Expect; e.JSON != nil && e.Body != nil {
			report.Addf(at.Pos, at.Path, "keep one of json and body", "a call has one body")
		}
	}
	for i, state := range t.States {
		at := n.Get("states").Items[i]
		word(at, "state", state, runStates, report)
	}
	if t.Outcome != nil && len(t.Outcomes) > 0 {
		at := n.Get("outcomes")
		report.Addf(at.Pos, at.Path, "keep one of them", "outcome is for every record, outcomes is for each")
	}
	if at := n.Get("outcome"); at != nil && t.Outcome == nil {
		report.Addf(at.Pos, at.Path, "add a state: {state: succeeded}", "the outcome is empty")
	}
	if t.Outcome != nil {
		checkOutcome(t.Outcome, n.Get("outcome"), report)
	}
	for i := range t.Outcomes {
		checkOutcome(&t.Outcomes[i], n.Get("outcomes").Items[i], report)
	}
}

func checkAnswer(a *Answer, call *yamlsrc.Node, report *yamlsrc.Report) {
	at := call.Get("answer")
	if a == nil { // written, and empty
		report.Addf(at.Pos, at.Path, "write {status: 200}, {timeout: true} or {refused: true}", "the answer is empty")
		return
	}
	ways := 0
	for _, way := range []bool{a.Status != 0, a.Timeout, a.Refused} {
		if way {
			ways++
		}
	}
	switch {
	case ways != 1:
		report.Addf(at.Pos, at.Path, "write {status: 200}, {timeout: true} or {refused: true}", "an answer is one of status, timeout and refused")
	case a.Status != 0 && (a.Status < 200 || a.Status > 599):
		report.Addf(at.Pos, at.Path, "write a status from 200 to 599", "%d is no status of an answer", a.Status)
	case a.Status == 0 && (a.JSON != nil || a.Body != "" || a.Base64 != "" || len(a.Headers) > 0):
		report.Addf(at.Pos, at.Path, "add a status", "without a status there is no answer to have a body or headers")
	case a.JSON != nil && a.Body+a.Base64 != "", a.Body != "" && a.Base64 != "":
		report.Addf(at.Pos, at.Path, "keep one of json, body and base64", "an answer has one body")
	}
	if _, err := base64.StdEncoding.DecodeString(a.Base64); err != nil {
		at := at.Get("base64")
		report.Addf(at.Pos, at.Path, "write what base64 gives for the file", "the body is no Base64")
	}
}

func checkOutcome(o *Outcome, n *yamlsrc.Node, report *yamlsrc.Report) {
	if at := n.Get("state"); at != nil {
		word(at, "state", o.State, finalStates, report)
	}
	if o.Reason == nil || *o.Reason == "" {
		return
	}
	var reasons []string
	for _, r := range fault.All() {
		reasons = append(reasons, string(r))
	}
	word(n.Get("reason"), "reason", *o.Reason, reasons, report)
}

func word(at *yamlsrc.Node, what, text string, known []string, report *yamlsrc.Report) {
	if !slices.Contains(known, text) {
		report.Addf(at.Pos, at.Path, yamlsrc.UnknownHint(text, known), "%q is no %s that a delivery can have here", text, what)
	}
}
