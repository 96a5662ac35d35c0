package routetests

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"headgate/config/yamlsrc"
	"headgate/dispatch/tracking"
)

// node reads a value of YAML.
func node(t *testing.T, text string) *yamlsrc.Node {
	t.Helper()
	var report yamlsrc.Report
	n := yamlsrc.Parse("t.yaml", []byte(text), &report)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDiff(t *testing.T) {
	tests := map[string]struct {
		want, got string
		diff      []string
	}{
		"same":           {"{a: [1, {b: null}], c: true}", `{"c":true,"a":[1,{"b":null}]}`, nil},
		"digits":         {"1.1", `1.10`, []string{"json: want 1.1, got 1.10"}},
		"large digits":   {"12345678901234567891", `12345678901234567890`, []string{"json: want 12345678901234567891, got 12345678901234567890"}},
		"number as text": {"{n: 1}", `{"n":"1"}`, []string{`json.n: want 1, got "1"`}},
		"null is there":  {"{n: null}", `{}`, []string{"json.n: want null, got nothing"}},
		"nothing wanted": {"{}", `{"n":null}`, []string{"json.n: want nothing, got null"}},
		"kinds":          {"{a: {}, b: [], c: 1}", `{"a":[],"b":{},"c":{}}`, []string{"json.a: want {}, got []", "json.b: want [], got {}", "json.c: want 1, got {}"}},
		"by key":         {"{b: 1, a: 2}", `{"b":2,"a":1}`, []string{"json.a: want 2, got 1", "json.b: want 1, got 2"}},
		"shorter list":   {"{l: [1, 2]}", `{"l":[1]}`, []string{"json.l[1]: want 2, got nothing"}},
		"longer list":    {"[1]", `[1,[2]]`, []string{"json[1]: want nothing, got [2]"}},
		"deep":           {"[{a: {b: x}}]", `[{"a":{"b":"y"}}]`, []string{`json[0].a.b: want "x", got "y"`}},
		"no body":        {"{}", ``, []string{"json: want {}, got nothing"}},
		"no JSON":        {"{a: 1}", "a=1\n", []string{`json: want {"a":1}, got a body that is not JSON: "a=1\n"`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := compareBody(node(t, tt.want).Value(), []byte(tt.got)); !reflect.DeepEqual(got, tt.diff) {
				t.Errorf("got %q\nwant %q", got, tt.diff)
			}
		})
	}
}

func TestLongValuesAreCut(t *testing.T) {
	if got := diff("json", "a", strings.Repeat("é", 1000)); len(got) != 1 || len([]rune(got[0])) > maxShown+40 || !strings.HasSuffix(got[0], "…") {
		t.Errorf("got %q", got)
	}
}

func TestCompareCall(t *testing.T) {
	call := func() sentCall {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "https://crm.example/a%2Fb?x=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Kind", "a")
		r.Header.Set("X-Number", "1.10")
		return sentCall{r, []byte("text")}
	}
	tests := map[string]struct {
		expect string
		diff   []string
	}{
		"nothing written":  {"{}", nil},
		"all as sent":      {`{method: put, url: "https://crm.example/a%2Fb?x=1", path: /a%2Fb, headers: {x-kind: a, X-Number: 1.10, X-Other: null}, body: text}`, nil},
		"path with query":  {`{path: "/a%2Fb?x=1"}`, nil},
		"another method":   {"{method: POST}", []string{`method: want "POST", got "PUT"`}},
		"another URL":      {"{url: https://crm.example/a}", []string{`url: want "https://crm.example/a", got "https://crm.example/a%2Fb?x=1"`}},
		"decoded path":     {"{path: /a/b}", []string{`path: want "/a/b", got "/a%2Fb"`}},
		"another query":    {`{path: "/a%2Fb?x=2"}`, []string{`path: want "/a%2Fb?x=2", got "/a%2Fb?x=1"`}},
		"another header":   {"{headers: {X-Kind: b}}", []string{`headers.X-Kind: want "b", got "a"`}},
		"header not sent":  {"{headers: {X-Other: b}}", []string{`headers.X-Other: want "b", got nothing`}},
		"header is sent":   {"{headers: {X-Kind: null}}", []string{`headers.X-Kind: want nothing, got "a"`}},
		"another text":     {"{body: other}", []string{`body: want "other", got "text"`}},
		"no body expected": {`{body: ""}`, []string{`body: want "", got "text"`}},
		"text is no JSON":  {"{json: text}", []string{`json: want "text", got a body that is not JSON: "text"`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var report yamlsrc.Report
			var e Expect
			node(t, tt.expect).Decode(&e, &report)
			if err := report.Err(); err != nil {
				t.Fatal(err)
			}
			if got := e.compare(call()); !reflect.DeepEqual(got, tt.diff) {
				t.Errorf("got %q\nwant %q", got, tt.diff)
			}
		})
	}
}

func TestCompareOutcome(t *testing.T) {
	end := tracking.Delivery{
		State: tracking.Failed, Reason: "server_error", Message: "it is closed today", JobID: "j-1",
		Result: map[string]json.RawMessage{"id": json.RawMessage(`7`)},
	}
	tests := map[string]struct {
		outcome string
		diff    []string
	}{
		"only the state":    {"{state: failed}", nil},
		"all":               {"{state: failed, reason: server_error, message: closed, job_id: j-1, result: {id: 7}}", nil},
		"another state":     {"{state: succeeded}", []string{`state: want "succeeded", got "failed" (server_error: it is closed today)`}},
		"no reason":         {`{state: failed, reason: ""}`, []string{`reason: want "", got "server_error"`}},
		"no message":        {`{state: failed, message: ""}`, []string{`message: want "", got "it is closed today"`}},
		"another message":   {"{state: failed, message: open}", []string{`message: want one with "open", got "it is closed today"`}},
		"another job":       {"{state: failed, job_id: j-2}", []string{`job_id: want "j-2", got "j-1"`}},
		"another result":    {"{state: failed, result: {id: 8, to: a}}", []string{"result.id: want 8, got 7", `result.to: want "a", got nothing`}},
		"no result":         {"{state: failed, result: null}", []string{`result: want null, got {"id":7}`}},
		"result is a value": {"{state: failed, result: 7}", []string{`result: want 7, got {"id":7}`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var report yamlsrc.Report
			var o Outcome
			node(t, tt.outcome).Decode(&o, &report)
			if err := report.Err(); err != nil {
				t.Fatal(err)
			}
			if got := o.compare(end); !reflect.DeepEqual(got, tt.diff) {
				t.Errorf("got %q\nwant %q", got, tt.diff)
			}
		})
	}
}
