package routetests

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"headgate/dispatch/encode"
	"headgate/dispatch/tracking"
)

// sentCall is a call as a backend would see it.
type sentCall struct {
	*http.Request
	body []byte
}

// line shows a call in one line.
func (c sentCall) line() string {
	if len(c.body) == 0 {
		return c.Method + " " + c.URL.String()
	}
	return fmt.Sprintf("%s %s with %s", c.Method, c.URL, showBody(c.body))
}

// showBody writes a body in one line.
func showBody(body []byte) string {
	if v, err := encode.Decode(body); err == nil {
		return show(v)
	}
	return show(strings.ToValidUTF8(string(body), "\uFFFD"))
}

// line shows what is said about a call; empty when nothing is.
func (e *Expect) line() string {
	to := e.URL
	if to == "" {
		to = e.Path
	}
	return strings.TrimSpace(e.Method + " " + to)
}

// compare gives the differences between a call and what is written about it.
func (e *Expect) compare(got sentCall) (out []string) {
	texts := func(what, want, got string) {
		if want != "" && want != got {
			out = append(out, differs(what, want, got))
		}
	}
	texts("method", strings.ToUpper(e.Method), got.Method)
	texts("url", e.URL, got.URL.String())
	path := got.URL.EscapedPath()
	if strings.Contains(e.Path, "?") {
		path += "?" + got.URL.RawQuery
	}
	texts("path", e.Path, path)
	for _, name := range slices.Sorted(maps.Keys(e.Headers)) {
		var is any = absent{}
		if values, sent := got.Header[http.CanonicalHeaderKey(name)]; sent {
			is = strings.Join(values, ", ")
		}
		var want any = absent{}
		if v := e.Headers[name]; v.Value() != nil {
			want = v.Text // whatever it looks like: a header is text
		}
		if want != is {
			out = append(out, differs("headers."+name, want, is))
		}
	}
	if e.Body != nil && *e.Body != string(got.body) {
		out = append(out, differs("body", *e.Body, string(got.body)))
	}
	if e.JSON != nil {
		out = append(out, compareBody(e.JSON.Value(), got.body)...)
	}
	return out
}

func compareBody(want any, body []byte) []string {
	if len(bytes.TrimSpace(body)) == 0 {
		return []string{differs("json", want, absent{})}
	}
	got, err := encode.Decode(body)
	if err != nil {
		return []string{fmt.Sprintf("json: want %s, got a body that is not JSON: %s", show(want), showBody(body))}
	}
	return diff("json", want, got)
}

// compare gives the differences between an end and what is written about it.
func (o *Outcome) compare(got tracking.Delivery) (out []string) {
	if o.State != string(got.State) {
		failure := differs("state", o.State, string(got.State))
		if why := reasonOf(got); why != "" {
			failure += " (" + why + ")"
		}
		out = append(out, failure)
	}
	if o.Reason != nil && *o.Reason != string(got.Reason) {
		out = append(out, differs("reason", *o.Reason, string(got.Reason)))
	}
	if m := o.Message; m != nil {
		switch {
		case *m == "" && got.Message != "":
			out = append(out, differs("message", "", got.Message))
		case !strings.Contains(got.Message, *m):
			out = append(out, fmt.Sprintf("message: want one with %s, got %s", show(*m), show(got.Message)))
		}
	}
	if o.Result != nil {
		out = append(out, diff("result", o.Result.Value(), resultOf(got))...)
	}
	if o.JobID != nil && *o.JobID != got.JobID {
		out = append(out, differs("job_id", *o.JobID, got.JobID))
	}
	return out
}

// absent stands for a value that is not there: null is one that is.
type absent struct{}

// diff compares two JSON values and gives their differences, path by path. Numbers are
// equal when their digits are: what is sent is what a backend signs, hashes and books.
func diff(path string, want, got any) []string {
	switch w := want.(type) {
	case map[string]any:
		if g, ok := got.(map[string]any); ok {
			return diffObjects(path, w, g)
		}
	case []any:
		if g, ok := got.([]any); ok {
			return diffLists(path, w, g)
		}
	default:
		// Both are scalars now, or of different kinds: those are comparable.
		if _, isMap := got.(map[string]any); isMap {
			break
		}
		if _, isList := got.([]any); isList {
			break
		}
		if want == got {
			return nil
		}
	}
	return []string{differs(path, want, got)}
}

func diffObjects(path string, want, got map[string]any) (out []string) {
	keys := map[string]bool{}
	for _, m := range []map[string]any{want, got} {
		for key := range m {
			keys[key] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		out = append(out, diff(path+"."+key, orAbsent(want, key), orAbsent(got, key))...)
	}
	return out
}

func orAbsent(m map[string]any, key string) any {
	if v, ok := m[key]; ok {
		return v
	}
	return absent{}
}

func diffLists(path string, want, got []any) (out []string) {
	at := func(list []any, i int) any {
		if i < len(list) {
			return list[i]
		}
		return absent{}
	}
	for i := range max(len(want), len(got)) {
		out = append(out, diff(fmt.Sprintf("%s[%d]", path, i), at(want, i), at(got, i))...)
	}
	return out
}

func differs(what string, want, got any) string {
	return fmt.Sprintf("%s: want %s, got %s", what, show(want), show(got))
}

// show writes a value for people.
func show(v any) string {
	if _, nothing := v.(absent); nothing {
		return "nothing"
	}
	text, err := encode.AppendJSON(nil, v)
	if err != nil {
		return clip(fmt.Sprintf("%q", fmt.Sprint(v)))
	}
	return clip(string(text))
}

// maxShown keeps a difference on a line that a terminal shows.
const maxShown = 300

func clip(text string) string {
	if runes := []rune(text); len(runes) > maxShown {
		return string(runes[:maxShown]) + "…"
	}
	return text
}
