package target

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// imports is a backend that makes an import of each POST, whatever its key, and finds them
// by their name. How POSTs are answered once the import is made, and whether it is made at
// all, the script says: a word each, the last one again and again.
type imports struct {
	mu    sync.Mutex
	posts []string // made, lost, refused, nothing
	finds string   // how searches are answered: "", 500 or broken
	made  []string // names
	calls []string
}

func (b *imports) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, r.Method)
	name := r.URL.Query().Get("name")
	if r.Method == http.MethodGet {
		switch b.finds {
		case "500":
			says(500, `{}`)(w, r)
		case "404":
			says(404, `{"message":"no such endpoint"}`)(w, r)
		case "broken":
			says(200, `{"items":3}`)(w, r)
		default:
			var items []string
			for _, made := range b.made {
				if made == name {
					items = append(items, `{"id":"i-`+made+`"}`)
				}
			}
			says(200, `{"items":[`+strings.Join(items, ",")+`]}`)(w, r)
		}
		return
	}
	word := b.posts[0]
	if len(b.posts) > 1 {
		b.posts = b.posts[1:]
	}
	if word == "made" || word == "lost" || word == "empty" {
		b.made = append(b.made, name)
	}
	switch word {
	case "made":
		says(201, `{"id":"i-`+name+`"}`)(w, r)
	case "empty":
		says(201, `{}`)(w, r)
	case "refused":
		says(422, `{"message":"no"}`)(w, r)
	case "busy":
		says(429, `{}`)(w, r)
	case "down":
		says(503, `{}`)(w, r)
	default: // the connection is lost
		panic(http.ErrAbortHandler)
	}
}

const reconcileYAML = `
url: ${URL}
retry: {attempts: 4, first: 1s}
steps:
- name: create
  post: /imports?name=${{ .tracking }}
  save: {job: "${{ .response.body.id }}"}
  reconcile:
    get: /imports?name=${{ .tracking }}
    found: ${{ .response.body.items | length > 0 }}
    save: {job: "${{ .response.body.items[0].id }}"}
- name: upload
  put: /imports/${{ .saved.job }}
  json: ${{ .payload }}
`

// A probe is made after a run whose end is not known, once for each, and before nothing else.
func TestReconcile(t *testing.T) {
	for name, tt := range map[string]struct {
		posts []string
		calls string // by their first letters: POST of the create, GET of the probe
	}{
		"the first run":                 {[]string{"made"}, "P"},
		"made, its answer lost":         {[]string{"lost"}, "PG"},
		"not made, the connection lost": {[]string{"cut", "made"}, "PGP"},
		"nothing made by a 503":         {[]string{"down", "down", "made"}, "PGPGP"},
		"refused for the moment":        {[]string{"busy", "made"}, "PP"},
		"doubt stays after a refusal":   {[]string{"cut", "busy", "made"}, "PGPGP"},
	} {
		t.Run(name, func(t *testing.T) {
			b := &imports{posts: tt.posts}
			p := mustCompile(t, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPut {
					says(204, "")(w, r)
					return
				}
				b.ServeHTTP(w, r)
			}).URL, reconcileYAML)
			d, _ := drive(t, newEngine(t), p, input())
			var calls string
			for _, call := range b.calls {
				calls += call[:1]
			}
			if d.State != tracking.Succeeded || d.JobID != "i-trk_1" || calls != tt.calls || len(b.made) != 1 {
				t.Errorf("%s with job %q after %s, %d made: %s", d.State, d.JobID, calls, len(b.made), d.Message)
			}
		})
	}
}

// Without an answer of the probe nothing is sent, and the record is not to blame.
func TestReconcileFails(t *testing.T) {
	for _, finds := range []string{"500", "404", "broken"} {
		b := &imports{posts: []string{"lost"}, finds: finds}
		d, _ := drive(t, newEngine(t), mustCompile(t, newBackend(t, b.ServeHTTP).URL, reconcileYAML), input())
		if strings.Join(b.calls, " ") != "POST GET GET GET" || d.State != tracking.Failed || d.Reason == fault.Rejected ||
			!strings.HasPrefix(d.Message, "not sent, since whether an earlier try got through is not known: ") {
			t.Errorf("%s: %s (%s) after %v: %s", finds, d.State, d.Reason, b.calls, d.Message)
		}
		// The doubt outlives the dead letter: once the probe answers, a replay finds the import.
		b.finds, b.calls = "", nil
		in := input()
		in.Delivery = tracking.Revive(d, tracking.Revival{}, noon)
		got := eventOf[tracking.Advanced](t, newEngine(t).Run(t.Context(), mustCompile(t, newBackend(t, b.ServeHTTP).URL, reconcileYAML), in))
		if got.JobID != "i-trk_1" || len(b.made) != 1 {
			t.Errorf("%s: replayed as %+v, %d made", finds, got, len(b.made))
		}
	}
}

// An answer that lacks what is saved leaves the import there; a replay does not make another.
func TestReconcileAfterAnEmptyAnswer(t *testing.T) {
	b := &imports{posts: []string{"empty"}}
	p := mustCompile(t, newBackend(t, b.ServeHTTP).URL, reconcileYAML)
	d, _ := drive(t, newEngine(t), p, input())
	if d.State != tracking.Failed || !d.InDoubt() {
		t.Fatalf("%+v", d)
	}
	in := input()
	in.Delivery = tracking.Revive(d, tracking.Revival{}, noon)
	if got := eventOf[tracking.Advanced](t, newEngine(t).Run(t.Context(), p, in)); got.JobID != "i-trk_1" || len(b.made) != 1 {
		t.Errorf("%+v, %d made", got, len(b.made))
	}
}

// A last step ends with the probe; what else would be read of its answer is left out.
func TestReconcileOfALastStep(t *testing.T) {
	b := &imports{posts: []string{"lost", "made"}}
	p := mustCompile(t, newBackend(t, b.ServeHTTP).URL, `
url: ${URL}
post: /imports?name=${{ .tracking }}
result: {id: "${{ .response.body.id }}"}
reconcile:
  post: /search
  json: {name: "${{ .tracking }}"}
  expect: [201, 404]
  found: ${{ .response.status == 201 }}
`)
	d, _ := drive(t, newEngine(t), p, input())
	if d.State != tracking.Succeeded || d.Message != gotThrough || d.Result != nil || strings.Join(b.calls, " ") != "POST POST" {
		t.Errorf("%+v after %v", d, b.calls)
	}
}

// A question is no work of the delivery: no key names it, or a backend that keeps keys
// would answer as it did to the work.
func TestReconcileSendsNoKey(t *testing.T) {
	b := newBackend(t, says(200, `{}`))
	p := mustCompile(t, b.URL, `{url: "${URL}", auth: {header: {name: X-Key, value: {env: CRM_TOKEN}}}, headers: {X-A: b},
		post: /a, reconcile: {post: /b, json: {}, found: "${{ .response.status == 200 }}"}}`)
	t.Setenv("CRM_TOKEN", "secret")
	in := input()
	in.Delivery = tracking.TakeOver(tracking.Delivery{Fence: tracking.Fence{Seq: 1, Token: "run"}, Phase: tracking.Running, State: tracking.Pending})
	newEngine(t).Run(t.Context(), p, in)
	seen := b.seen()
	if len(seen) != 1 || seen[0].URI != "/b" || seen[0].Header.Get("Idempotency-Key") != "" ||
		seen[0].Header.Get("X-Key") != "secret" || seen[0].Header.Get("X-A") != "b" {
		t.Errorf("%+v", seen)
	}
}

func TestReconcileProblems(t *testing.T) {
	const start = "url: http://h\npost: /a\n"
	for name, tt := range map[string]struct{ yaml, where, message string }{
		"without found":     {start + "reconcile: {get: /b}", "3:12", `"found" is missing`},
		"without a method":  {start + "reconcile: {found: '${{ .response.body }}'}", "3:12", "there is no get"},
		"a GET with a body": {start + "reconcile: {get: /b, json: {}, found: '${{ .response.body }}'}", "3:28", "a GET has no body"},
		"too little saved":  {start + "save: {a: '${{ .response.body }}'}\nreconcile: {get: /b, found: '${{ .response.body }}'}", "4:12", "does not give what save"},
		"too much saved":    {start + "reconcile: {get: /b, found: '${{ .response.body }}', save: {a: '${{ .response.body }}'}}", "3:60", "does not give what save"},
		"of a poll": {"url: http://h\nget: /a\nuntil: {state: '${{ .response.body }}', succeeded: [x]}\n" +
			"reconcile: {get: /b, found: '${{ .response.body }}'}", "4:12", "not possible on a step that polls"},
		"with rejects": {start + "rejects: {items: '${{ .response.body }}'}\nreconcile: {get: /b, found: '${{ .response.body }}'}", "4:12", "cannot tell what rejects"},
		"bad status":   {start + "reconcile: {get: /b, expect: [7], found: '${{ .response.body }}'}", "3:31", "no status"},
		"of steps":     {"url: http://h\nsteps: [{name: a, post: /a}]\nreconcile: {get: /b, found: '${{ .response.body }}'}", "3:1", "beside steps"},
		"unsaved":      {start + "reconcile: {get: '/${{ .saved.x }}', found: '${{ .response.body }}'}", "3:18", ".saved.x is used before"},
	} {
		_, report := compileText(t, "", tt.yaml)
		problems := report.Problems()
		if len(problems) != 1 || !strings.Contains(problems[0].Message, tt.message) || !strings.HasSuffix(problems[0].Pos.String(), ":"+tt.where) {
			t.Errorf("%s: %v", name, report.Err())
		}
	}
}
