package body

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headgate/config/yamlsrc"
	"headgate/policies"
	"headgate/policies/policytest"
)

func build(t testing.TB, dir, text string) (*Policy, *yamlsrc.Report) {
	t.Helper()
	report := &yamlsrc.Report{}
	node := yamlsrc.Parse("routes.yaml", []byte(text), report)
	return New(policies.Build{Name: "r", Node: node, Report: report, Dir: dir}), report
}

func must(t testing.TB, dir, text string) *Policy {
	t.Helper()
	p, report := build(t, dir, text)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	return p
}

func post(contentType, body string) *policies.Request {
	r := &policies.Request{Method: "POST", Body: []byte(body), Header: policies.Header{}}
	if contentType != "" {
		r.Header["Content-Type"] = []string{contentType}
	}
	return r
}

const appJSON = "application/json"

func TestConformance(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		build := func() policies.Policy { return must(t, "", "{max: 1KB}") }
		policytest.Run(t, build, post(appJSON, `{"a":1}`), post(appJSON, `{"a":1,"a":2}`))
	})
	t.Run("schema", func(t *testing.T) {
		build := func() policies.Policy { return must(t, "", "{schema: {required: [a, b, c]}}") }
		policytest.Run(t, build, post(appJSON, `{"a":1,"b":2,"c":3}`), post(appJSON, `{"x":1}`))
	})
}

func TestCheck(t *testing.T) {
	tests := []struct {
		name, yaml, contentType, body string
		status                        int
		kind, says                    string
	}{
		{"fine", "", appJSON, `{"a":1}`, 0, "", ""},
		{"any value", "", appJSON, `"text"`, 0, "", ""},
		{"charset", "", "application/json; charset=UTF-8", `{}`, 0, "", ""},
		{"suffix", "", "application/vnd.acme.v2+json", `{}`, 0, "", ""},
		{"case", "", "Application/JSON", `{}`, 0, "", ""},
		{"at the limit", "{max: 7}", appJSON, `{"a":1}`, 0, "", ""},
		{"own type", "{content_type: text/*}", "text/plain", `{}`, 0, "", ""},
		{"depth", "{depth: 2}", appJSON, `{"a":[1]}`, 0, "", ""},
		{"duplicates allowed", "{duplicate_keys: allow}", appJSON, `{"a":1,"a":2}`, 0, "", ""},

		{"too large", "{max: 6}", appJSON, `{"a":1}`, 413, "body-too-large", "at most 6"},
		{"size before all else", "{max: 1}", "text/plain", "\xff\xff", 413, "body-too-large", ""},
		{"empty", "", "", "", 400, "bad-json", "the body is empty"},
		{"white space", "", appJSON, " \n", 400, "bad-json", "the body is empty"},
		{"no type", "", "", `{}`, 415, "unsupported-media-type", "no Content-Type"},
		{"form", "", "application/x-www-form-urlencoded", `{}`, 415, "unsupported-media-type", "application/json"},
		{"not quite", "", "application/jsonp", `{}`, 415, "unsupported-media-type", ""},
		{"nested suffix", "", "application/a/b+json", `{}`, 415, "unsupported-media-type", ""},
		{"other charset", "", "application/json; charset=latin1", `{}`, 415, "unsupported-media-type", "utf-8"},
		{"torn type", "", "application/json; charset", `{}`, 415, "unsupported-media-type", "cannot be read"},
		{"own type replaces", "{content_type: [text/plain]}", appJSON, `{}`, 415, "unsupported-media-type", "send text/plain"},
		{"torn", "", appJSON, `{"a":`, 400, "bad-json", "cut short"},
		{"too deep", "{depth: 2}", appJSON, `{"a":[[1]]}`, 400, "bad-json", "2 levels"},
		{"twice", "", appJSON, `{"a":1,"a":2}`, 400, "bad-json", "twice"},
		{"trailing", "", appJSON, `{} {}`, 400, "bad-json", "after the end"},
		{"not UTF-8", "", appJSON, "\"\xff\"", 400, "bad-json", "UTF-8"},
		{"huge number", "", appJSON, "1e1000000000", 400, "bad-json", "exponent"},
		{"schema", "{schema: {required: [a]}}", appJSON, `{}`, 422, "schema-violation", "see errors"},
		{"schema after syntax", "{schema: {required: [a]}}", appJSON, `{`, 400, "bad-json", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := post(tt.contentType, tt.body)
			d := must(t, "", tt.yaml).Check(context.Background(), r)
			if d.Allow != (tt.status == 0) || d.Problem.Status != tt.status || d.Problem.Type != tt.kind {
				t.Fatalf("decision %+v", d)
			}
			if r.HasJSON != d.Allow {
				t.Errorf("allowed %v, decoded %v", d.Allow, r.HasJSON)
			}
			if !strings.Contains(d.Problem.Detail, tt.says) {
				t.Errorf("detail %q lacks %q", d.Problem.Detail, tt.says)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	for name, b := range map[string]policies.Build{
		"empty node": {Node: &yamlsrc.Node{}, Report: &yamlsrc.Report{}},
		"no node":    {Report: &yamlsrc.Report{}},
	} {
		p := New(b)
		if p == nil || p.Max() != 1<<20 || p.Schema() != nil {
			t.Fatalf("%s: %+v, %v", name, p, b.Report.Err())
		}
	}
}

func TestWithoutABody(t *testing.T) {
	for method, allow := range map[string]bool{"GET": true, "DELETE": true, "POST": false, "PUT": false} {
		r := post("", "")
		r.Method = method
		if d := must(t, "", "").Check(context.Background(), r); d.Allow != allow || r.HasJSON {
			t.Errorf("%s: allow %v, decoded %v", method, d.Allow, r.HasJSON)
		}
	}
	r := post("", "")
	r.Method = "DELETE"
	if d := must(t, "", "{schema: {type: object}}").Check(context.Background(), r); d.Allow {
		t.Error("a schema asks for a body")
	}
}

func TestErrorsNamePlaces(t *testing.T) {
	d := must(t, "", "").Check(context.Background(), post(appJSON, `{"a":{"b":1,"b":2}}`))
	if len(d.Problem.Errors) != 1 || d.Problem.Errors[0].Pointer != "/a/b" {
		t.Errorf("errors %+v", d.Problem.Errors)
	}
	d = must(t, "", "{schema: {properties: {email: {format: email}}, required: [name]}}").
		Check(context.Background(), post(appJSON, `{"email":"jane-at-example"}`))
	if len(d.Problem.Errors) != 2 || d.Problem.Detail != "2 faults; see errors" {
		t.Errorf("problem %+v", d.Problem)
	}
	if strings.Contains(d.Log, "jane") || strings.Contains(d.Log, "email") || !strings.Contains(d.Log, "2 places") {
		t.Errorf("log %q", d.Log)
	}
}

func TestNumbersKeepTheirDigits(t *testing.T) {
	r := post(appJSON, `{"id":12345678901234567890}`)
	must(t, "", "{schema: {properties: {id: {type: integer}}}}").Check(context.Background(), r)
	if got := r.JSON.(map[string]any)["id"]; got != json.Number("12345678901234567890") {
		t.Errorf("%#v", got)
	}
}

func TestSchemaFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "s.json"), []byte(`{"type":"array"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if d := must(t, dir, "{schema: s.json}").Check(context.Background(), post(appJSON, `{}`)); d.Problem.Status != 422 {
		t.Errorf("%+v", d)
	}
}

func TestProblems(t *testing.T) {
	tests := []struct{ name, yaml, want string }{
		{"max", "{max: big}", "max should be a size"},
		{"max zero", "{max: 0}", "routes.yaml:1:7: a body of at most 0"},
		{"depth", "{depth: 0}", "from 1 to 512"},
		{"too deep", "{depth: 100000}", "from 1 to 512"},
		{"duplicates", "{duplicate_keys: merge}", "refuse or allow"},
		{"no type", "{content_type: []}", "no media type"},
		{"not a type", "{content_type: [json]}", `"json" is not a media type`},
		{"type with charset", "{content_type: application/json; charset=utf-8}", "without parameters"},
		{"unknown key", "{maximum: 1KB}", "unknown key"},
		{"schema", "{schema: nowhere.json}", "routes.yaml:1:10: schema nowhere.json"},
		{"empty schema", "{schema: }", "should be the path of a schema"},
		{"a list", "[]", "should be a mapping"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, report := build(t, t.TempDir(), tt.yaml)
			if p != nil {
				t.Error("built in spite of it")
			}
			if err := report.Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("problems: %v\nwant %q", err, tt.want)
			}
		})
	}
}

func TestRegister(t *testing.T) {
	r := policies.NewRegistry()
	Register(r)
	report := &yamlsrc.Report{}
	node := yamlsrc.Parse("routes.yaml", []byte("{depth: 0}"), report)
	if p := r.BuildPolicy("body", node.Pos, policies.Build{Node: node, Report: report}); p != nil {
		t.Errorf("a typed nil came back as %v", p)
	}
}

func BenchmarkCheck(b *testing.B) {
	p := must(b, "", "{schema: {type: object, properties: {items: {type: array, items: {required: [id, email]}}}}}")
	r := post(appJSON, string(profile(1)))
	b.ReportAllocs()
	for b.Loop() {
		if d := p.Check(context.Background(), r); !d.Allow {
			b.Fatal(d.Log)
		}
	}
}

// What is known of the fields is what the schema says; without one, nothing is.
func TestShape(t *testing.T) {
	var shape policies.BodyShape = must(t, "", "{schema: {properties: {email: {}}, additionalProperties: false}}")
	if missing, ok := shape.Lacks([]string{"emial"}); !ok || !missing.Never || strings.Join(missing.Known, " ") != "email" {
		t.Errorf("%+v, %v", missing, ok)
	}
	if missing, ok := must(t, "", "").Lacks([]string{"emial"}); ok {
		t.Errorf("without a schema: %+v", missing)
	}
}
