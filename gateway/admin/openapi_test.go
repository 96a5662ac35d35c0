package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"headgate/gateway/wire"
)

// description is openapi.yaml as it is served.
var description = sync.OnceValues(func() (*openapi3.T, error) {
	text, err := OpenAPI()
	if err != nil {
		return nil, err
	}
	return openapi3.NewLoader().LoadFromData(text)
})

func describe(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := description()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// described checks an answer of any test against the description: its status, its media
// type and its body. What is no call of the API is passed over.
func described(t *testing.T, method, target string, res *http.Response, body []byte) {
	t.Helper()
	path, _, _ := strings.Cut(target, "?")
	var op *openapi3.Operation
	doc := describe(t)
	for pattern, item := range doc.Paths.Map() {
		if _, ok := match(pattern, path); ok && (op == nil || !strings.Contains(pattern, "{")) {
			op = item.GetOperation(strings.Replace(method, "HEAD", "GET", 1))
		}
	}
	if op == nil || method == "HEAD" || res.StatusCode == http.StatusSeeOther { // a browser that is sent to log in
		return
	}
	if slices.Contains([]int{405, 500, 501}, res.StatusCode) && !bytes.Contains(body, []byte("urn:headgate:problem:")) {
		t.Errorf("%s %s: %d without a problem", method, target, res.StatusCode)
	}
	told := op.Responses.Status(res.StatusCode)
	if told == nil {
		off := res.StatusCode == http.StatusNotFound && bytes.Contains(body, []byte("There is nothing here.")) // not switched on
		if !off && res.StatusCode != http.StatusInternalServerError {                                          // what a panic comes to
			t.Errorf("%s %s answers %d, which is not described: %s", method, target, res.StatusCode, body)
		}
		return
	}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	media := told.Value.Content.Get(kind)
	if media == nil {
		t.Errorf("%s %s: %d comes as %q, which is not described", method, target, res.StatusCode, kind)
		return
	}
	switch kind {
	case "application/json", "application/problem+json":
		fits(t, method+" "+target, media.Schema.Value, body)
	case "application/x-ndjson":
		for line := range bytes.Lines(body) {
			fits(t, method+" "+target, media.Schema.Value, line)
		}
	}
}

func fits(t *testing.T, what string, schema *openapi3.Schema, body []byte) {
	t.Helper()
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		t.Errorf("%s: %v: %s", what, err, body)
		return
	}
	if err := schema.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
		t.Errorf("%s answers %s\n%v", what, body, err)
	}
}

// whole is a server with everything on it.
func whole(t *testing.T) *Server {
	t.Helper()
	return start(t, func(o *Options) {
		o.DeadLetters, o.Targets, o.Dispatches, o.Level = &fakeLetters{}, &fakeTargets{}, &fakeDispatches{}, new(slog.LevelVar)
		o.Reload = func(context.Context) Reload { return Reload{OK: true, By: "api", Changed: &Changed{}} }
		o.Reloads = func(context.Context) ReloadState { return ReloadState{Hash: "0123456789abcdef", Watch: "off"} }
		o.Config = func() any {
			return map[string]any{"file": "f", "config": map[string]any{}, "routes": []any{}, "targets": []any{}}
		}
	})
}

func TestDescriptionIsValid(t *testing.T) {
	doc := describe(t)
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	text, _ := OpenAPI()
	if bytes.Contains(text, []byte(":null")) || bytes.Contains(text, []byte(": null")) {
		t.Error("a key has no value: a text with a comma that is not quoted?")
	}
	if bytes.Contains(openAPI, []byte("<<:")) {
		t.Error("it merges mappings: the JSON would have keys twice")
	}
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("it is for OpenAPI %s", doc.OpenAPI)
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.Summary == "" || op.OperationID == "" || len(op.Tags) != 1 || doc.Tags.Get(op.Tags[0]) == nil {
				t.Errorf("%s %s: summary %q, ID %q, tags %v", method, path, op.Summary, op.OperationID, op.Tags)
			}
		}
	}
}

// TestDescriptionIsTheAPI: what is described is served, and what is served is described.
func TestDescriptionIsTheAPI(t *testing.T) {
	s := whole(t)
	served := []string{"GET /livez", "GET /readyz"} // open to all, and so no endpoints
	for _, e := range s.api {
		served = append(served, e.method+" "+e.path)
	}
	var told []string
	for path, item := range describe(t).Paths.Map() {
		for method := range item.Operations() {
			told = append(told, method+" "+path)
			target := strings.NewReplacer("{name}", "crm", "{tracking_id}", "trk_1", "{target}", "crm").Replace(path)
			if res, text := ask(t, s, method, target, "", bearer); res.status == 404 || res.status == 405 || res.status == 501 {
				t.Errorf("%s %s: %d %s", method, target, res.status, text)
			}
			if res, text := ask(t, s, "BREW", target, "", bearer); res.status != 501 {
				t.Errorf("BREW %s: %d %s", target, res.status, text)
			}
			if res, text := ask(t, s, "DELETE", target, "", bearer); res.status != 405 || !strings.Contains(res.header.Get("Allow"), method) {
				t.Errorf("DELETE %s: %d %s, Allow %s", target, res.status, text, res.header.Get("Allow"))
			}
		}
	}
	slices.Sort(served)
	slices.Sort(told)
	if !slices.Equal(served, told) {
		t.Errorf("served are\n%s, described\n%s", strings.Join(served, "\n"), strings.Join(told, "\n"))
	}
}

// TestDescriptionListsProblems: every type of problem that this package knows, and no other.
func TestDescriptionListsProblems(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	made := regexp.MustCompile(`problem\([^"\n]+, "([a-z-]+)"`)
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range made.FindAllSubmatch(source, -1) {
			known[wire.URN(string(m[1]))] = true
		}
	}
	for _, p := range wire.BuiltIn() {
		known[wire.URN(p.Slug)] = true
	}
	var told []string
	for _, v := range describe(t).Components.Schemas["Problem"].Value.Properties["type"].Value.Enum {
		told = append(told, v.(string))
	}
	if want := slices.Sorted(maps.Keys(known)); !slices.Equal(told, want) {
		t.Errorf("described are\n%s\nknown\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}
