package target

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"headgate/config/secret"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// account is a backend whose base and fields have to be found out. Calls to another base
// than the current one are answered 404.
type account struct {
	mu     sync.Mutex
	base   string // changes when the account moves
	broken string // body of the login, instead of the base
	calls  []string
	keys   []string // credentials and idempotency keys of the logins
}

func (a *account) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, r.Method+" "+r.URL.String())
	status, body := 200, `{}`
	switch {
	case r.URL.Host == "login":
		a.keys = append(a.keys, r.Header.Get("Authorization")+r.Header.Get("Idempotency-Key"))
		if body = a.broken; body == "" {
			body = fmt.Sprintf(`{"base": %q}`, a.base)
		}
	case !strings.HasPrefix(r.URL.Path, a.base+"/"):
		status = 404
	case strings.HasSuffix(r.URL.Path, "/fields"):
		body = `{"email": "F100"}`
	}
	return recorded(func(*http.Request) string { return body }).with(status)(r)
}

// with is the same with another status.
func (f recorded) with(status int) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		resp, err := f.RoundTrip(r)
		resp.StatusCode = status
		return resp, err
	}
}

const setupYAML = `
url: http://api
auth: {basic: {user: co, password: {env: CRM_TOKEN}}}
retry: {first: 1s}
limits: {timeout: 4s}
setup:
- name: login
  post: http://login/id?of=me
  json: {}
  assert: ${{ .response.body | type == "object" }}
  save: {base: "${{ .response.body.base }}"}
  ttl: 1h
- name: fields
  get: ${{ .setup.base + "/fields" }}
  save: {email: "${{ .response.body.email }}"}
allow_hosts: []
steps:
- {name: open, post: "${{ .setup.base + \"/open\" }}", json: {}}
- name: send
  post: ${{ .setup.base + "/send" }}
  json: "${{ {(.setup.email): .payload.email} }}"
  on_error: [{when: "${{ .response.status == 404 }}", then: setup}]
finally:
- {name: close, delete: "${{ .setup.base + \"/open\" }}"}
`

// offices is some workers with one account, and one shelf or none.
func offices(t *testing.T, workers int, shared bool) (*account, *shelf, []*Engine, *Plan) {
	t.Setenv("CRM_TOKEN", "pw-secret")
	a := &account{base: "/b1"}
	s := &shelf{values: map[string][]byte{}, ends: map[string]time.Time{}}
	var engines []*Engine
	for range workers {
		o := Outgoing{Transport: a}
		if shared {
			o.Tokens = s
		}
		e := NewEngine(o, nil)
		e.random = func() float64 { return 0.5 }
		engines = append(engines, e)
	}
	return a, s, engines, mustCompile(t, "", setupYAML)
}

func (a *account) count(start string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, call := range a.calls {
		if strings.HasPrefix(call, start) {
			n++
		}
	}
	return n
}

// What a delivery does with setups: the login has the target's auth and no key of the
// delivery, and each step asks for no more than it needs.
func TestSetup(t *testing.T) {
	a, _, engines, p := offices(t, 1, true)
	d := end(t, engines[0], p, input())
	want := []string{"POST http://login/id?of=me", "POST http://api/b1/open", "GET http://api/b1/fields", "POST http://api/b1/send", "DELETE http://api/b1/open"}
	if d.State != tracking.Succeeded || !slices.Equal(a.calls, want) {
		t.Errorf("%s (%s) after %q", d.State, d.Message, a.calls)
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("co:pw-secret"))
	if len(a.keys) != 1 || a.keys[0] != basic {
		t.Errorf("logged in with %q", a.keys)
	}
	end(t, engines[0], p, input())
	if n := len(a.calls); n != len(want)+3 {
		t.Errorf("another delivery: %q", a.calls[len(want):])
	}
}

// All workers share what one has found, sealed, until its time is over.
func TestSetupIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, shelf, engines, p := offices(t, 4, true)
		everybody := func() {
			var all sync.WaitGroup
			for _, e := range engines {
				for range 5 {
					all.Go(func() { eventOf[tracking.Advanced](t, e.Run(t.Context(), p, input())) })
				}
			}
			all.Wait()
		}
		everybody()
		if n := a.count("POST http://login"); n != 1 {
			t.Errorf("%d logins", n)
		}
		for name, value := range shelf.values {
			if strings.Contains(string(value), "b1") || strings.Contains(name, "login") {
				t.Errorf("%s can be read: %q", name, value)
			}
		}
		time.Sleep(59 * time.Minute)
		everybody()
		if n := a.count("POST http://login"); n != 1 {
			t.Errorf("%d logins within an hour", n)
		}
		time.Sleep(2 * time.Minute)
		everybody()
		if n := a.count("POST http://login"); n != 2 {
			t.Errorf("%d logins after an hour", n)
		}
		for _, e := range engines {
			e.Close()
		}
	})
}

// A store that is away, and credentials that change.
func TestSetupKeys(t *testing.T) {
	a, shelf, engines, p := offices(t, 2, true)
	shelf.broken = http.ErrServerClosed
	for range 2 {
		eventOf[tracking.Advanced](t, engines[0].Run(t.Context(), p, input()))
	}
	if n := a.count("POST http://login"); n != 1 {
		t.Errorf("%d logins without a store", n)
	}
	shelf.broken, shelf.locked = nil, time.Time{}
	eventOf[tracking.Advanced](t, engines[1].Run(t.Context(), p, input()))
	t.Setenv("CRM_TOKEN", "new-secret")
	for range 2 {
		eventOf[tracking.Advanced](t, engines[1].Run(t.Context(), p, input()))
	}
	if n := a.count("POST http://login"); n != 3 || len(shelf.values) != 2 {
		t.Errorf("%d logins, %d values kept", n, len(shelf.values))
	}
}

// An account that has moved: the values are dropped for all, and the next attempt has others.
func TestSetupIsDropped(t *testing.T) {
	a, _, engines, p := offices(t, 2, true)
	for _, e := range engines {
		if d := end(t, e, p, input()); d.State != tracking.Succeeded {
			t.Fatalf("%+v", d)
		}
	}
	a.base = "/b2"
	in := input()
	in.Delivery = tracking.Delivery{Step: "send"}
	failed := eventOf[tracking.AttemptFailed](t, engines[0].Run(t.Context(), p, in))
	if failed.Final || failed.Fault.Status != 404 {
		t.Errorf("%+v", failed)
	}
	eventOf[tracking.Concluded](t, engines[0].Run(t.Context(), p, in))
	// The other worker has the old values at hand still. It drops its own, and not the fleet's.
	eventOf[tracking.AttemptFailed](t, engines[1].Run(t.Context(), p, in))
	eventOf[tracking.Concluded](t, engines[1].Run(t.Context(), p, in))
	if n := a.count("POST http://login"); n != 2 {
		t.Errorf("%d logins: %q", n, a.calls)
	}
}

// A setup that does not work is an attempt with nothing sent, and never the record's fault.
func TestSetupFails(t *testing.T) {
	for broken, message := range map[string]string{
		`"Not authenticated."`: "not sent, since setup login did not work: ",
		`{"base": ""}`:         "not sent, since setup login did not work: save base: ",
	} {
		a, shelf, engines, p := offices(t, 1, true)
		a.broken = broken
		got := eventOf[tracking.AttemptFailed](t, engines[0].Run(t.Context(), p, input()))
		if got.Final || got.Fault.Reason != fault.BadResponse || got.Fault.Status != 0 || !strings.HasPrefix(got.Fault.Message, message) {
			t.Errorf("%s: %+v %+v", broken, got, got.Fault)
		}
		if len(a.calls) != 1 || len(shelf.values) != 0 {
			t.Errorf("%s: %q, kept %d", broken, a.calls, len(shelf.values))
		}
	}
}

// A poll waits for it with the budget of polls, and may have it dropped, too.
func TestSetupOfAPoll(t *testing.T) {
	a, _, engines, _ := offices(t, 1, false)
	p := mustCompile(t, "", `
url: http://api
setup: [{name: login, auth: none, get: "http://login/id", save: {base: "${{ .response.body.base }}"}}]
allow_hosts: []
get: ${{ .setup.base + "/job" }}
until: {state: "${{ .response.body.state // \"busy\" }}", running: [busy], succeeded: [done]}
on_error: [{when: "${{ .response.status == 404 }}", then: setup}]
`)
	a.broken = `[]`
	if got := eventOf[tracking.PollFailed](t, engines[0].Run(t.Context(), p, input())); got.Final {
		t.Errorf("%+v", got)
	}
	a.broken = ""
	eventOf[tracking.NotYet](t, engines[0].Run(t.Context(), p, input()))
	a.base = "/b2"
	eventOf[tracking.PollFailed](t, engines[0].Run(t.Context(), p, input()))
	eventOf[tracking.NotYet](t, engines[0].Run(t.Context(), p, input()))
}

// The claim is held for as long as finding out may take as well.
func TestSetupTakesTime(t *testing.T) {
	_, _, _, p := offices(t, 0, false)
	if open, send, clean := p.Hold("open"), p.Hold("send"), p.CleanUpTime(); open != 8*time.Second || send != 12*time.Second || clean != 8*time.Second {
		t.Errorf("open %s, send %s, cleaning up %s", open, send, clean)
	}
	if refs := p.SecretRefs(); len(refs) != 1 || refs[0] != (secret.Ref{Env: "CRM_TOKEN"}) {
		t.Errorf("%v", refs)
	}
}

func TestSetupProblems(t *testing.T) {
	const start = "url: http://h\npost: /a\nsetup:\n"
	for name, tt := range map[string]struct{ yaml, where, message string }{
		"without save":     {start + "- {name: b, get: /b}", "4:3", `"save" is missing`},
		"nothing saved":    {start + "- {name: b, get: /b, save: {}}", "4:28", "save is empty"},
		"a null":           {start + "- {name: b, get: /b, save: {x: null}}", "4:29", "x is empty"},
		"a bad name":       {start + "- {name: b, get: /b, save: {x-y: '${{ .response.body }}'}}", "4:29", "no name for a saved value"},
		"saved twice":      {start + "- {name: b, get: /b, save: {x: '${{ .response.body }}'}}\n- {name: c, get: /b, save: {x: '${{ .response.body }}'}}", "5:29", `setup "b" saves x already`},
		"of a delivery":    {start + "- {name: b, get: '/${{ .tenant }}', save: {x: '${{ .response.body }}'}}", "4:18", "tenant"},
		"no time":          {start + "- {name: b, get: /b, ttl: 0s, save: {x: '${{ .response.body }}'}}", "4:27", "more than 0"},
		"not a web URL":    {start + "- {name: b, get: 'ftp://h/b', save: {x: '${{ .response.body }}'}}", "4:18", "absolute"},
		"credentials":      {start + "- {name: b, get: 'http://a:b@h/b?c', save: {x: '${{ .response.body }}'}}", "4:18", "credentials"},
		"used by no call":  {"url: http://h\npost: '/${{ .setup.x }}'", "2:7", "no setup saves x"},
		"misspelt":         {"url: http://h\npost: '/${{ .setup.bse }}'\nsetup: [{name: b, get: /b, save: {base: '${{ .response.body }}'}}]", "2:7", "no setup saves bse"},
		"too late":         {start + "- {name: b, get: '/${{ .setup.x }}', save: {y: '${{ .response.body }}'}}\n- {name: c, get: /b, save: {x: '${{ .response.body }}'}}", "4:18", "no setup saves x"},
		"in when":          {"url: http://h\nsteps: [{name: a, when: '${{ .setup.x }}', post: /a}]\nsetup: [{name: b, get: /b, save: {x: '${{ .response.body }}'}}]", "2:25", "setup"},
		"a rule for none":  {"url: http://h\npost: /a\non_error: [{when: '${{ true }}', then: setup}]", "3:40", "nothing that a setup has found"},
		"a whole URL":      {"url: http://h\npost: http://g/a", "2:7", "no host"},
		"expression hosts": {start + "- {name: b, get: /b, save: {x: '${{ .response.body }}'}}\n- {name: c, get: '${{ .setup.x }}', save: {y: '${{ .response.body }}'}}", "5:18", "which hosts"},
	} {
		_, report := compileText(t, "", tt.yaml)
		problems := report.Problems()
		if len(problems) != 1 || !strings.Contains(problems[0].Message, tt.message) || !strings.HasSuffix(problems[0].Pos.String(), ":"+tt.where) {
			t.Errorf("%s: %v", name, report.Err())
		}
	}
}
