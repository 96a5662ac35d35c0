package routes

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/config/yamlsrc"
	"headgate/dispatch/tracking"
)

const shared = `
auth:
  mobile: {jwt: {header: A}}
  partners: {api_key: {ill: true}}
targets:
  crm: {url: "${CRM_URL}", put: "/contacts/${{ .params.id }}", json: "${{ .payload }}"}
  events: {url: https://e.example.com, post: /events}
`

const full = `
routes:
- name: profile-changed
  match: POST /profiles/:id
  auth: {any: [mobile, partners], scopes: ["profiles:write"]}
  body: {max: 256KB}
  rate_limit: [{limit: 100, per: 1m}]
  idempotency: {mode: required, ttl: 48h}
  targets:
    crm:
      when: ${{ .body.consent == true }}
      transform:
        email: ${{ .body.email }}
        id: ${{ .params.id }}
    events: {optional: true, keep_payload: true}
  done_when: any
- name: open
  match: GET /open
  auth: none
  targets: {events: }
`

func TestLoad(t *testing.T) {
	var closed []string
	table := mustLoad(t, options(&closed), shared, full)
	r, params, _ := table.Match("POST", "/profiles/42")
	if r == nil || params["id"] != "42" {
		t.Fatalf("no route: %v", params)
	}
	for what, pair := range map[string][2]any{
		"name":        {r.Name, "profile-changed"},
		"pattern":     {r.Pattern, "/profiles/:id"},
		"auth":        {r.Auth.Authenticators(), []string{"mobile", "partners"}},
		"policies":    {policyNames(r), []string{"scopes", "rate_limit", "body"}},
		"idempotency": {r.Idempotency, IdempotencyRequired},
		"ttl":         {r.IdemTTL, 48 * time.Hour},
		"rule":        {r.Fanout.Rule, tracking.DoneAny},
		"position":    {r.Position.String(), "b.yaml:3:3"},
		"targets":     {[]string{r.Fanout.Bindings[0].Plan.Name, r.Fanout.Bindings[1].Plan.Name}, []string{"crm", "events"}},
		"keeps":       {r.Fanout.Bindings[1].KeepPayload && !r.Fanout.Bindings[0].KeepPayload, true},
		"optional":    {r.Fanout.Bindings[1].Optional, true},
		"params":      {r.Fanout.Bindings[0].Plan.NeedsParams, true},
		"warnings":    {len(table.Warnings()), 0},
		"plans":       {len(table.Plans()), 2},
		"routes":      {len(table.Routes()), 2},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: %v, want %v", what, pair[0], pair[1])
		}
	}
	open := table.Routes()[1]
	if open.Auth != nil || open.Idempotency != IdempotencyOptional || open.IdemTTL != 24*time.Hour || open.Fanout.Rule != tracking.DoneAll {
		t.Errorf("defaults: %+v", open)
	}
	if got := policyNames(open); !reflect.DeepEqual(got, []string{"body"}) || !open.Policies[0].(*fakePolicy).null {
		t.Errorf("the body policy must always run: %v", got)
	}
	mapped, faults := r.Fanout.Map(map[string]any{
		"body": map[string]any{"email": "a@b", "consent": true}, "params": map[string]any{"id": "42"},
	}, []byte(`{}`))
	if len(faults) > 0 || string(mapped.Payloads["crm"]) != `{"email":"a@b","id":"42"}` {
		t.Errorf("%s %v", mapped.Payloads["crm"], faults)
	}
	if h := table.Health(); len(h) != 1 || h["partners"] == nil {
		t.Errorf("health %v", h)
	}
	if got := table.TrackingAuth().Authenticators(); !reflect.DeepEqual(got, []string{"mobile", "partners"}) {
		t.Errorf("tracking: %v", got)
	}
	table.Close()
	table.Close()
	if !reflect.DeepEqual(closed, []string{"mobile", "partners"}) {
		t.Errorf("closed %v", closed)
	}
}

func TestAuthForms(t *testing.T) {
	for auth, want := range map[string][]string{
		"mobile": {"mobile"}, "[partners, mobile]": {"partners", "mobile"}, "{any: mobile}": {"mobile"}, "{any: [partners]}": {"partners"},
	} {
		table := mustLoad(t, options(new([]string)), shared, "routes: [{name: a, match: GET /p/:id, auth: "+auth+", targets: {crm: , events: }}]")
		if got := table.Routes()[0].Auth.Authenticators(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v", auth, got)
		}
	}
}

func TestTrackingAuth(t *testing.T) {
	o := options(new([]string))
	o.TrackingAuth = []string{"partners"}
	if got := mustLoad(t, o, shared, full).TrackingAuth().Authenticators(); !reflect.DeepEqual(got, []string{"partners"}) {
		t.Errorf("%v", got)
	}
	if got := mustLoad(t, options(new([]string)), "targets: {e: {url: https://e.example.com, post: /}}\nroutes: [{name: a, match: GET /, auth: none, targets: {e: }}]").TrackingAuth(); got != nil {
		t.Errorf("%v", got)
	}
	var report yamlsrc.Report
	o.TrackingAuth, o.TrackingAuthPos = []string{"patners"}, yamlsrc.Pos{File: "headgate.yaml", Line: 7, Column: 3}
	if load(files(shared, full), o, &report) != nil || !strings.Contains(report.Err().Error(), `headgate.yaml:7:3: unknown authenticator "patners" (tracking.auth)`) {
		t.Errorf("%v", report.Err())
	}
}

func TestWarnings(t *testing.T) {
	table := mustLoad(t, options(new([]string)), shared, "routes: [{name: a, match: GET /p/:id, auth: mobile, targets: {crm: }}]")
	got := table.Warnings()
	if len(got) != 2 || got[0].String() == "" || !strings.Contains(got[0].Message, `"partners"`) || !strings.Contains(got[1].Message, `"events"`) || got[1].Line != 7 {
		t.Errorf("%v", got)
	}
}

// What the schema does not name, but lets pass, may be meant.
func TestUndeclaredFieldIsAWarning(t *testing.T) {
	table := mustLoad(t, options(new([]string)), `
targets: {crm: {url: "https://crm.example.com", post: /}}
routes:
- name: a
  match: POST /a
  auth: none
  body: {schema: {properties: {email: {}, name: {properties: {first: {}}}}}}
  targets:
    crm: {when: "${{ .body.consent }}", transform: {a: "${{ .body.emial }}", b: "${{ .body.name.last }}", c: "${{ .body.nick? }}", d: "${{ .body.email }}"}}
`)
	var got []string
	for _, w := range table.Warnings() {
		got = append(got, fmt.Sprintf("%d:%d %s (%s): %s", w.Line, w.Column, w.Message, w.Path, w.Hint))
	}
	const not, meant = " is not in the schema of the route's body ", "? if the field may be missing"
	want := []string{
		"9:17 .body.consent" + not + "(routes[0].targets.crm.when): known here: email, name; write .body.consent" + meant,
		"9:56 .body.emial" + not + `(routes[0].targets.crm.transform.a): did you mean "email"?; write .body.emial` + meant,
		"9:81 .body.name.last" + not + "(routes[0].targets.crm.transform.b): known here: first; write .body.name.last" + meant,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A failed load must leave nothing running.
func TestFailedLoadCloses(t *testing.T) {
	var closed []string
	var report yamlsrc.Report
	broken := full + "- {name: x, match: GET /x, auth: none, targets: {unknown: }}\n"
	if load(files(shared, broken), options(&closed), &report) != nil || !reflect.DeepEqual(closed, []string{"mobile", "partners"}) {
		t.Errorf("closed %v, %v", closed, report.Err())
	}
	closed, report = nil, yamlsrc.Report{}
	if load(files("auth:\n  A: {jwt: {}}\n  two: {jwt: {}, api_key: {}}\n  ill: {jwt: {heder: x}}\n"), options(&closed), &report) != nil || len(closed) != 3 {
		t.Errorf("closed %v, %v", closed, report.Err())
	}
}

// A name that nobody declares is no problem while a file that may do so is unreadable.
func TestUnreadableFileMakesNoNoise(t *testing.T) {
	for _, bad := range []source{{name: "z.yaml", err: os.ErrPermission}, {name: "z.yaml", text: []byte("targets: [")}} {
		var report yamlsrc.Report
		load(append(files(full), bad), options(new([]string)), &report)
		if got := report.Problems(); len(got) != 1 || got[0].File != "z.yaml" || got[0].Line != 1 {
			t.Errorf("%v", report.Err())
		}
	}
}

// An empty file is one that is about to be written, or that found the disk full: its routes
// must not leave for that. One that says in a comment that it declares nothing is taken.
func TestEmptyFile(t *testing.T) {
	for text, want := range map[string]int{"": 1, " \n\n": 1, "# later\n": 0, "targets:\n": 0} {
		var report yamlsrc.Report
		table := load(append(files(shared, full), source{name: "z.yaml", text: []byte(text)}), options(new([]string)), &report)
		got := report.Problems()
		if len(got) != want || (table == nil) != (want > 0) {
			t.Errorf("%q: %v", text, report.Err())
		}
		if len(got) > 0 && (got[0].File != "z.yaml" || got[0].Line != 1 || got[0].Message != "the file is empty") {
			t.Errorf("%q: %+v", text, got[0])
		}
		if table != nil {
			table.Close()
		}
	}
}

func TestLoadReadsFiles(t *testing.T) {
	dir := t.TempDir()
	var names []string
	for name, text := range map[string]string{"a.yaml": shared, "b.yaml": full} {
		names = append(names, filepath.Join(dir, name))
		if err := os.WriteFile(names[len(names)-1], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var report yamlsrc.Report
	table := Load(names, options(new([]string)), &report)
	if table == nil {
		t.Fatal(report.Err())
	}
	table.Close()
	if Load([]string{filepath.Join(dir, "none.yaml")}, Options{}, &report) != nil || !strings.Contains(report.Err().Error(), "none.yaml:1:1: read route file: no such file") {
		t.Errorf("%v", report.Err())
	}
	var empty yamlsrc.Report
	if Load(nil, Options{}, &empty) == nil {
		t.Errorf("no files, no problem: %v", empty.Err())
	}
	if report = (yamlsrc.Report{}); Load([]string{dir}, Options{}, &report) != nil || !strings.Contains(report.Err().Error(), ":1:1: read route file: is a directory") {
		t.Errorf("%v", report.Err())
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(shared + full))
	found, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range found {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var report yamlsrc.Report
		table := load([]source{{name: "f.yaml", text: text}}, options(new([]string)), &report)
		if (table == nil) != (report.Len() > 0) {
			t.Fatalf("table %v, problems %v", table, report.Err())
		}
		if table != nil {
			table.Match("POST", "/profiles/42")
			table.Close()
		}
		for _, p := range report.Problems() {
			if p.File != "f.yaml" || p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Fatalf("a problem without its place: %s", p)
			}
		}
	})
}

func TestNamesHoldOverAllFiles(t *testing.T) {
	var report yamlsrc.Report
	second := "auth:\n  mobile: {jwt: {}}\ntargets:\n  crm: {url: https://x.example.com, post: /}\n" +
		"routes:\n- {name: open, match: \"POST /profiles/:other\", auth: none, targets: {crm: }}\n"
	if load(files(shared+full, second), options(new([]string)), &report) != nil {
		t.Fatal("loads")
	}
	var got []string
	for _, p := range report.Problems() {
		got = append(got, p.Pos.String()+": "+p.Message)
	}
	want := []string{
		`b.yaml:2:3: the authenticator "mobile" is declared twice, first at a.yaml:3`,
		`b.yaml:4:3: the target "crm" is declared twice, first at a.yaml:6`,
		`b.yaml:6:10: the route "open" is declared twice, first at a.yaml:24`,
		`b.yaml:6:23: POST /profiles/:other matches the same requests as the route at a.yaml:11`,
		`b.yaml:6:70: crm uses .params.id, which POST /profiles/:other does not have`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
