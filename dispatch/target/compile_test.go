package target

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/invopop/jsonschema"

	"headgate/config/yamlsrc"
)

func TestCompileReportsProblems(t *testing.T) {
	const flow = "url: http://h\nsteps:\n"
	tests := map[string]struct {
		yaml, where, message, hint string
	}{
		"not a mapping":       {"just text", "1:1", "should be a mapping", ""},
		"no url":              {"post: /x", "1:1", `"url" is missing`, ""},
		"relative url":        {"url: /x\npost: /x", "1:6", "absolute", "https://"},
		"other scheme":        {"url: ftp://h\npost: /x", "1:6", "absolute", ""},
		"url with password":   {"url: http://u:p@h\npost: /x", "1:6", "credentials", "basic"},
		"url with query":      {"url: http://h?x=1\npost: /x", "1:6", "no query", ""},
		"url with expression": {"url: http://${{ .payload.h }}\npost: /x", "1:6", "no expressions", ""},
		"no method":           {"url: http://h", "1:1", "no get, post", "steps"},
		"two methods":         {"url: http://h\npost: /x\nput: /x", "3:1", "second method", ""},
		"path without slash":  {"url: http://h\npost: x", "2:7", "begins with /", "/x"},
		"path with host":      {"url: http://h\npost: http://other/x", "2:7", "no host", ""},
		"interpolated start":  {"url: http://h\npost: ${{ .payload.a }}/x", "2:7", "begins with /", ""},
		"unknown key":         {"url: http://h\npost: /x\ntimeot: 3s", "3:1", `unknown key "timeot"`, ""},
		"unknown root":        {"url: http://h\npost: /x\njson: ${{ .body }}", "3:7", "body", ""},
		"response too early":  {"url: http://h\npost: /${{ .response.status }}", "2:7", "response", ""},
		"steps and method":    {"url: http://h\npost: /x\nsteps: [{name: a, post: /a}]", "2:1", "beside steps", "into a step"},
		"steps and result":    {"url: http://h\nresult: {a: 1}\nsteps: [{name: a, post: /a}]", "2:1", "beside steps", ""},
		"no steps":            {"url: http://h\nsteps: []", "2:8", "empty", ""},
		"step without name":   {flow + "- post: /a", "3:3", `"name" is missing`, ""},
		"bad step name":       {flow + "- {name: A b, post: /a}", "3:10", "no name for a step", ""},
		"duplicate step":      {flow + "- {name: a, post: /a}\n- {name: a, post: /b}", "4:10", "already", ""},
		"until not last":      {flow + "- {name: a, get: /a, until: {state: '${{ .response.body }}', succeeded: [x]}}\n- {name: b, post: /b}", "3:29", "only possible on the last", ""},
		"result not last":     {flow + "- {name: a, get: /a, result: {x: '${{ .response.body }}'}}\n- {name: b, post: /b}", "3:30", "only possible on the last", "save"},
		"saved never":         {flow + "- {name: a, post: /a}\n- {name: b, get: '/${{ .saved.job }}'}", "4:18", ".saved.job is used before", "add save"},
		"saved misspelt":      {flow + "- {name: a, post: /a, save: {job: '${{ .response.body.id }}'}}\n- {name: b, get: '/${{ .saved.jop }}'}", "4:18", ".saved.jop", "did you mean .saved.job"},
		"saved too late":      {flow + "- {name: a, post: '/${{ .saved.job }}'}\n- {name: b, post: /a, save: {job: '${{ .response.body.id }}'}}", "3:19", ".saved.job", `step "b" saves it`},
		"saved by itself":     {flow + "- {name: a, post: '/${{ .saved.job }}', save: {job: '${{ .response.body.id }}'}}", "3:19", ".saved.job", `step "a" saves it`},
		"saved deep in json":  {flow + "- name: a\n  post: /a\n  json:\n    x: 1\n    y:\n    - ${{ .saved.job }}", "8:7", ".saved.job", ""},
		"save name":           {"url: http://h\npost: /x\nsave: {a-b: '${{ .response.body }}'}", "3:8", "no name for a saved", ""},
		"save literal":        {"url: http://h\npost: /x\nsave: {a: id}", "3:11", "should be an expression", "${{ id }}"},
		"save while polling":  {"url: http://h\nget: /x\nsave: {a: '${{ .response.body }}'}\nuntil: {state: '${{ .response.body }}', succeeded: [x]}", "3:7", "save is not possible", "result"},
		"word twice":          {"url: http://h\nget: /x\nuntil:\n  state: ${{ .response.body }}\n  running: [a]\n  succeeded: [done, a]", "6:21", `"a" is in running already`, ""},
		"number word twice":   {"url: http://h\nget: /x\nuntil:\n  state: ${{ .response.body }}\n  running: [1]\n  succeeded: ['1']", "6:15", `"1" is in running already`, ""},
		"no end":              {"url: http://h\nget: /x\nuntil:\n  state: ${{ .response.body }}\n  running: [a]", "4:3", "no state says", ""},
		"until without state": {"url: http://h\nget: /x\nuntil:\n  succeeded: [a]", "4:3", `"state" is missing`, ""},
		"factor":              {"url: http://h\nget: /x\nuntil:\n  state: ${{ .response.body }}\n  succeeded: [a]\n  every: {factor: 0.5}", "6:19", "factor", ""},
		"rejects alone":       {"url: http://h\nget: /x\nrejects: {get: /r, items: '${{ .response.body }}'}", "3:10", "needs until", ""},
		"warnings without code": {"url: http://h\nget: /x\nuntil: {state: '${{ .response.body }}', succeeded: [a]}\n" +
			"rejects: {get: /r, items: '${{ .response.body }}', warnings: [W]}", "4:62", "code does not say", ""},
		"clear secret":             {"url: http://h\npost: /x\nauth: {bearer: hunter2}", "3:16", "in clear", ""},
		"secret not allowed":       {"url: http://h\npost: /x\nauth: {bearer: {env: REDIS_PASSWORD}}", "3:16", "may not read", "routes_may_read"},
		"expression without hosts": {"url: http://h\nput: ${{ .payload.a }}", "2:6", "which hosts it may name", "allow_hosts: ["},
		"rejects without hosts": {"url: http://h\nget: /x\nuntil: {state: '${{ .response.body }}', succeeded: [a]}\n" +
			"rejects: {get: '${{ .payload.a }}', items: '${{ .response.body }}'}", "4:16", "which hosts it may name", ""},
		"hosts without need": {"url: http://h\nallow_hosts: [a.example]\nput: /x", "2:14", "no effect", "leave it out"},
		"hosts empty":        {"url: http://h\nallow_hosts:\nput: ${{ .payload.a }}", "2:1", "allow_hosts is empty", "[]"},
		"host with scheme":   {"url: http://h\nallow_hosts: ['https://a.example']\nput: ${{ .payload.a }}", "2:15", "no host", "uploads.example.com"},
		"host with path":     {"url: http://h\nallow_hosts: [a.example/x]\nput: ${{ .payload.a }}", "2:15", "no host", ""},
		"host with user":     {"url: http://h\nallow_hosts: [u@a.example]\nput: ${{ .payload.a }}", "2:15", "no host", ""},
		"host all":           {"url: http://h\nallow_hosts: ['*']\nput: ${{ .payload.a }}", "2:15", "no name of a host", ""},
		"host all of com":    {"url: http://h\nallow_hosts: ['*.com']\nput: ${{ .payload.a }}", "2:15", "everybody's", "*.example.com"},
		"host star within":   {"url: http://h\nallow_hosts: [a.*.example]\nput: ${{ .payload.a }}", "2:15", "no name of a host", ""},
		"host not ascii":     {"url: http://h\nallow_hosts: [bücher.example]\nput: ${{ .payload.a }}", "2:15", "no name of a host", ""},
		"host port":          {"url: http://h\nallow_hosts: ['a.example:99999']\nput: ${{ .payload.a }}", "2:15", "port", ""},
		"host twice":         {"url: http://h\nallow_hosts: [a.example, A.example.]\nput: ${{ .payload.a }}", "2:26", "twice", ""},
		"two auths":          {"url: http://h\npost: /x\nauth: {bearer: {env: CRM_A}, header: {name: X, value: {env: CRM_A}}}", "3:7", "exactly one", ""},
		"auth word":          {"url: http://h\npost: /x\nauth: basic", "3:7", "auth should be", ""},
		"auth key":           {"url: http://h\npost: /x\nauth: {baerer: {env: CRM_A}}", "3:8", "unknown key", "bearer"},
		"colon in user":      {"url: http://h\npost: /x\nauth: {basic: {user: 'a:b', password: {env: CRM_A}}}", "3:15", "colon", ""},
		"clear header":       {"url: http://h\npost: /x\nheaders: {authorization: Bearer abc}", "3:26", "in clear", "auth"},
		"host header":        {"url: http://h\npost: /x\nheaders: {Host: x}", "3:11", "cannot be set", ""},
		"header name":        {"url: http://h\npost: /x\nheaders: {'a b': x}", "3:11", "no name for a header", ""},
		"two bodies":         {"url: http://h\npost: /x\njson: {a: 1}\nraw: x", "4:6", "second body", ""},
		"body on get":        {"url: http://h\nget: /x\njson: {a: 1}", "3:7", "no body", ""},
		"bad content type":   {"url: http://h\npost: /x\nraw: x\ncontent_type: a b", "4:15", "media type", ""},
		"content type alone": {"url: http://h\nget: /x\ncontent_type: text/csv", "3:15", "without a body", ""},
		"two new bodies":     {"url: http://h\npost: /x\nndjson: ['x']\ncsv: ['x']", "4:6", "second body beside ndjson", "keep one"},
		"gzip alone":         {"url: http://h\nget: /x\ngzip: true", "3:7", "gzip without a body", "add a body"},
		"gzip word":          {"url: http://h\npost: /x\ngzip: best", "3:7", "gzip should be true or false", ""},
		"gzip twice":         {"url: http://h\npost: /x\ngzip: true\nheaders: {content-encoding: gzip}", "4:11", "gzip sets Content-Encoding", "leave the header out"},
		"ndjson text":        {"url: http://h\npost: /x\nndjson: .payload", "3:9", "ndjson should be an expression", "${{ .payload }}"},
		"ndjson mapping":     {"url: http://h\npost: /x\nndjson: {a: 1}", "3:9", "ndjson is a list, not a mapping", "${{ .payload }}"},
		"ndjson empty":       {"url: http://h\npost: /x\nndjson:", "3:1", "ndjson is empty", ""},
		"csv empty":          {"url: http://h\npost: /x\ncsv:", "3:1", "csv is empty", ""},
		"csv text":           {"url: http://h\npost: /x\ncsv: 'a,b'", "3:6", "csv should be an expression", ""},
		"csv without rows":   {"url: http://h\npost: /x\ncsv: {columns: union}", "3:6", `"rows" is missing`, ""},
		"csv rows empty":     {"url: http://h\npost: /x\ncsv: {rows: }", "3:7", "rows is empty", ""},
		"csv rows mapping":   {"url: http://h\npost: /x\ncsv: {rows: {a: 1}}", "3:13", "rows is a list, not a mapping", ""},
		"csv unknown key":    {"url: http://h\npost: /x\ncsv: {rows: ['x'], colums: union}", "3:20", `unknown key "colums"`, "columns"},
		"csv columns":        {"url: http://h\npost: /x\ncsv: {rows: ['x'], columns: all}", "3:29", "columns should be union or a list", "[email, name]"},
		"csv no columns":     {"url: http://h\npost: /x\ncsv: {rows: ['x'], columns: []}", "3:29", "columns should be union or a list", ""},
		"csv column twice":   {"url: http://h\npost: /x\ncsv: {rows: ['x'], columns: [a, a]}", "3:33", `"a" is there already`, ""},
		"csv column nested":  {"url: http://h\npost: /x\ncsv: {rows: ['x'], columns: [[a]]}", "3:30", "a column is the name", ""},
		"csv column made":    {"url: http://h\npost: /x\ncsv: {rows: ['x'], columns: ['${{ .payload.a }}']}", "3:30", "columns take no expressions", ""},
		"csv null made":      {"url: http://h\npost: /x\ncsv: {rows: ['x'], null: '${{ .payload.a }}'}", "3:26", "null takes no expressions", ""},
		"csv line ending":    {"url: http://h\npost: /x\ncsv: {rows: ['x'], line_ending: cr}", "3:33", `no line ending called "cr"`, "lf or crlf"},
		"csv delimiter":      {"url: http://h\npost: /x\ncsv: {rows: ['x'], delimiter: '||'}", "3:31", "cannot stand between cells", "one character"},
		"csv root":           {"url: http://h\npost: /x\ncsv: {rows: '${{ .body }}'}", "3:13", "body", ""},
		"xml text":           {"url: http://h\npost: /x\nxml: <a/>", "3:6", "xml should be a mapping", ""},
		"xml empty":          {"url: http://h\npost: /x\nxml:", "3:1", "xml is empty", ""},
		"xml without root":   {"url: http://h\npost: /x\nxml: {value: 1}", "3:6", `"root" is missing`, ""},
		"xml without value":  {"url: http://h\npost: /x\nxml: {root: a}", "3:6", `"value" is missing`, ""},
		"xml root":           {"url: http://h\npost: /x\nxml: {root: 'a b', value: 1}", "3:13", `"a b" is no name for an element`, ""},
		"xml item":           {"url: http://h\npost: /x\nxml: {root: a, item: 1x, value: 1}", "3:22", `"1x" is no name for an element`, ""},
		"multipart mapping":  {"url: http://h\npost: /x\nmultipart: {name: a}", "3:12", "multipart should be a list", ""},
		"multipart empty":    {"url: http://h\npost: /x\nmultipart: []", "3:12", "multipart is empty", ""},
		"multipart null":     {"url: http://h\npost: /x\nmultipart:", "3:1", "multipart is empty", ""},
		"part without name":  {"url: http://h\npost: /x\nmultipart: [{raw: a}]", "3:13", `"name" is missing`, ""},
		"part name empty":    {"url: http://h\npost: /x\nmultipart: [{name: '', raw: a}]", "3:20", "name is empty", ""},
		"part without body":  {"url: http://h\npost: /x\nmultipart: [{name: a}]", "3:13", "sends nothing", "add json"},
		"part two bodies":    {"url: http://h\npost: /x\nmultipart: [{name: a, raw: a, json: 1}]", "3:28", "second body", ""},
		"part form":          {"url: http://h\npost: /x\nmultipart: [{name: a, form: {a: 1}}]", "3:23", `unknown key "form"`, ""},
		"part media type":    {"url: http://h\npost: /x\nmultipart: [{name: a, raw: a, content_type: a b}]", "3:45", "no media type", ""},
		"part csv":           {"url: http://h\npost: /x\nmultipart: [{name: a, csv: {rows: ['x'], delimiter: ''}}]", "3:53", "cannot stand between cells", ""},
		"multipart type":     {"url: http://h\npost: /x\nmultipart: [{name: a, raw: a}]\ncontent_type: multipart/mixed", "4:15", "Content-Type of multipart is set", ""},
		"multipart header":   {"url: http://h\nheaders: {Content-Type: a/b}\nsteps: [{name: a, post: /x, multipart: [{name: a, raw: a}]}]", "2:11", "Content-Type of multipart is set", ""},
		"ndjson on get":      {"url: http://h\nget: /x\nndjson: ['x']", "3:9", "no body", ""},
		"saved in a part":    {"url: http://h\npost: /x\nmultipart: [{name: a, raw: '${{ .saved.job }}'}]", "3:28", ".saved.job is used before", ""},
		"expect 20":          {"url: http://h\npost: /x\nexpect: [200, 20]", "3:15", "20 is no status", ""},
		"attempts":           {"url: http://h\npost: /x\nretry: {attempts: 0}", "3:19", "at least 1", ""},
		"max below first":    {"url: http://h\npost: /x\nretry: {first: 5m, max: 1m}", "3:25", "less than", ""},
		"on and not_on":      {"url: http://h\npost: /x\nretry: {on: [409], not_on: [409]}", "3:28", "409", ""},
		"retry on 200":       {"url: http://h\npost: /x\nretry: {on: [200]}", "3:14", "200", ""},
		"concurrency":        {"url: http://h\npost: /x\nlimits: {concurrency: 10001}", "3:23", "from 1 to 10000", ""},
		"no timeout":         {"url: http://h\npost: /x\nlimits: {timeout: 0s}", "3:19", "more than 0", ""},
		"rate":               {"url: http://h\npost: /x\nlimits: {rate: fast}", "3:16", "a rate", ""},
		"max response":       {"url: http://h\npost: /x\nmax_response: 1GB", "3:15", "at most 64MB", ""},
		"batch":              {"url: http://h\npost: /x\nbatch: {max_records: -5}", "3:22", "max_records should be from 1", ""},
		"order":              {"url: http://h\npost: /x\norder: x", "3:8", "a mapping", ""},
		"order, empty":       {"url: http://h\npost: /x\norder:", "3:1", "order is empty", "key"},
		"order without key":  {"url: http://h\npost: /x\norder: {on_failure: pass}", "3:8", `"key" is missing`, ""},
		"order, one key":     {"url: http://h\npost: /x\norder: {key: id}", "3:14", "the same for all", "${{ .payload.id }}"},
		"order, root":        {"url: http://h\npost: /x\norder: {key: '${{ .body.id }}'}", "3:14", "body", "payload"},
		"order, failure":     {"url: http://h\npost: /x\norder: {key: '${{ .payload.id }}', on_failure: wait}", "3:48", `"wait"`, "pass or block"},
		"order, coalesce":    {"url: http://h\npost: /x\norder: {key: '${{ .payload.id }}', coalesce: first}", "3:46", `"first"`, "latest"},
		"order, both":        {"url: http://h\npost: /x\norder: {key: '${{ .payload.id }}', coalesce: latest, on_failure: block}", "3:66", "keeps a failed one", "leave one"},
		"empty json":         {"url: http://h\npost: /x\njson:", "3:1", "json is empty", ""},
		"empty auth":         {"url: http://h\npost: /x\nauth:", "3:1", "auth is empty", "none"},
		"empty steps":        {"url: http://h\nsteps:", "2:1", "empty", ""},
		"empty save":         {"url: http://h\npost: /x\nsave: {a: }", "3:8", "a is empty", ""},
		"empty method":       {"url: http://h\npost:", "2:1", "post is empty", ""},
		"empty bearer":       {"url: http://h\npost: /x\nauth: {bearer: }", "3:7", "either env or file", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, report := compileText(t, "", tt.yaml)
			if p != nil {
				t.Error("a plan in spite of a problem")
			}
			for _, problem := range report.Problems() {
				at := strings.TrimPrefix(problem.Pos.String(), "t.yaml:")
				if at == tt.where && strings.Contains(problem.Message, tt.message) && strings.Contains(problem.Hint, tt.hint) {
					return
				}
			}
			t.Errorf("want %q at %s, hint %q; got:\n%v", tt.message, tt.where, tt.hint, report.Err())
		})
	}
}

func TestCompileReportsEverythingOnce(t *testing.T) {
	_, report := compileText(t, "", `
url: nowhere
auth: {bearer: clear}
headers: {Host: x}
limits: {concurrency: 0}
steps:
- {name: a, post: a}
- {name: a, post: /b}
- {name: c, post: '/${{ .saved.x }}'}
`)
	if got := report.Len(); got != 7 {
		t.Errorf("%d problems, want 7:\n%v", got, report.Err())
	}
}

func TestCompileTargetName(t *testing.T) {
	for name, ok := range map[string]bool{
		"crm": true, "c-r_m2": true, "Crm": false, "crm.resume": false, "a:b": false, "2crm": false, "": false,
		strings.Repeat("a", 63): true, strings.Repeat("a", 64): false,
	} {
		var report yamlsrc.Report
		n := yamlsrc.Parse("t.yaml", []byte("url: http://h\npost: /x"), &report)
		if p := Compile(name, n, testAccess, &report); (p != nil) != ok {
			t.Errorf("%q: plan %v, want %v: %v", name, p != nil, ok, report.Err())
		}
	}
}

func TestCompileDefaults(t *testing.T) {
	p := mustCompile(t, "", "url: http://h/v1/\npost: /x")
	if p.Limits.Concurrency != 16 || p.Limits.Timeout.D() != 10*time.Second || p.retry.Attempts != 8 ||
		p.retry.Max.D() != 10*time.Minute || p.retry.Within.D() != 24*time.Hour || p.maxResponse != 1<<20 || p.home.url != "http://h/v1" {
		t.Errorf("%+v", p)
	}
	if p.NeedsParams || p.Hold("") != 10*time.Second || p.Hold("gone") != 10*time.Second || p.FirstStep() == "" {
		t.Errorf("params %v hold %s first %q", p.NeedsParams, p.Hold(""), p.FirstStep())
	}
	p = mustCompile(t, "", "url: http://h\nlimits: {rate: 100/s, timeout: 2s}\nbreaker: {failures: 3, open_for: 1m}\nget: /${{ .params.id }}\n"+
		"until: {state: '${{ .response.body }}', succeeded: [a]}\nrejects: {get: /r, items: '${{ .response.body }}'}")
	if !p.NeedsParams || p.Limits.Rate.Events != 100 || p.Breaker.Failures != 3 || p.Breaker.OpenFor.D() != time.Minute {
		t.Errorf("%+v", p)
	}
	if p.Hold("") != 6*time.Second {
		t.Errorf("hold %s, want the timeout and twice as long for the pages", p.Hold(""))
	}
	if d := p.steps[0].poll; d.Deadline.D() != 24*time.Hour || d.Attempts != 20 || p.steps[0].rejects[0].MaxPages != 100 {
		t.Errorf("%+v", d)
	}
}

func TestSourceRoundTrip(t *testing.T) {
	p := mustCompile(t, "", `
url: https://h.example/ü
put: /contacts/${{ .params.id }}
headers: {X-A: "a \"quoted\" & <b> \\ $${{ not one }} é \u2028"}
json:
  digits: 12345678901234567890
  decimal: 1.10
  text: "0123"
  yes: "true"
  flag: true
  nothing: null
  brackets: "`+strings.Repeat("[", 300)+`"
  control: "\u0001\t\n\u007f\u0085"
  "odd key: #": ["${{ .payload.a }}", {}]
expect: [200, 409]
limits: {timeout: 1.5s, rate: 5/s}
auth: {basic: {user: 'Company\user', password: {env: CRM_TOKEN}}}
`)
	again, err := FromSource("crm", p.Source)
	if err != nil {
		t.Fatal(err)
	}
	if again.Hash != p.Hash || string(again.Source) != string(p.Source) || len(p.Hash) != 16 {
		t.Errorf("hash %s and %s\n%s\n%s", p.Hash, again.Hash, p.Source, again.Source)
	}
	a, errA := p.Preview(input())
	b, errB := again.Preview(input())
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if a[0].Body != b[0].Body || a[0].Header["X-A"] != b[0].Header["X-A"] || !strings.Contains(a[0].Header["X-A"], "${{ not one }}") {
		t.Errorf("%+v\n%+v", a[0], b[0])
	}
	for _, part := range []string{`"digits":12345678901234567890`, `"decimal":1.10`, `"text":"0123"`, `"yes":"true"`, `"nothing":null`} {
		if !strings.Contains(b[0].Body, part) {
			t.Errorf("%s is not in %s", part, b[0].Body)
		}
	}
	if _, err := FromSource("crm", []byte(`{"url":`)); err == nil {
		t.Error("half a source compiles")
	}
	if _, err := FromSource("crm", []byte(`{"url":"http://h","post":"/${{ .nope }}"}`)); err == nil {
		t.Error("a wrong source compiles")
	}
}

func TestHashDependsOnContentOnly(t *testing.T) {
	a := mustCompile(t, "", "url: http://h\npost: /x\nexpect: [200]")
	b := mustCompile(t, "", "# comment\nexpect: [200]\npost: \"/x\"\nurl: http://h")
	c := mustCompile(t, "", "url: http://h\npost: /y\nexpect: [200]")
	if a.Hash != b.Hash {
		t.Error("the order of keys changes the hash")
	}
	if a.Hash == c.Hash {
		t.Error("another path has the same hash")
	}
	if d, err := FromSource("other", a.Source); err != nil || d.Hash == a.Hash {
		t.Errorf("another name has the same hash (%v)", err)
	}
}

func TestSpecGivesSchema(t *testing.T) {
	r := &jsonschema.Reflector{FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true}
	raw, err := json.Marshal(r.Reflect(&Spec{}))
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs map[string]struct {
			Required   []string
			Properties map[string]struct{ Description string }
		} `json:"$defs"`
	}
	if err := json.Unmarshal(raw, &schema); err != nil {
		t.Fatal(err)
	}
	for def, keys := range map[string][]string{
		"Spec": append([]string{"url", "auth", "headers", "steps", "error", "retry", "limits", "breaker", "batch", "max_response", "allow_hosts", "base", "tls", "finally", "setup", "order"}, callKeys...),
		"Step": append([]string{"name", "when", "headers", "headers_from", "foreach", "auth", "timeout"}, callKeys...),
	} {
		if got := len(schema.Defs[def].Properties); got != len(keys) {
			t.Errorf("%s has %d properties, want %d", def, got, len(keys))
		}
		for _, key := range keys {
			if schema.Defs[def].Properties[key].Description == "" {
				t.Errorf("%s.%s has no description", def, key)
			}
		}
	}
	if got := schema.Defs["Spec"].Required; len(got) != 1 || got[0] != "url" {
		t.Errorf("required: %v", got)
	}
}
