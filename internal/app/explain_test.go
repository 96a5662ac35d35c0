package app_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"headgate/dispatch/target"
	"headgate/gateway"
	"headgate/internal/simulate"
	"headgate/policies"
)

// placeholder is what a preview shows for a value that a backend has yet to give.
var placeholder = regexp.MustCompile(`<saved\.[a-z]+>`)

// What `headgate explain` shows is what backends then receive: the same code builds
// both, and this holds it to that. What an answer decides matches anything.
func TestExplainedRequestsAreTheOnesSent(t *testing.T) {
	r := newRig(t, nil)
	r.start(t)
	id, err := r.post(t.Context(), 42)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.await(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	request := &policies.Request{
		Method: "POST", Path: "/profiles/42", Route: "profile-changed", Params: map[string]string{"id": "42"}, Header: policies.Header{"Content-Type": {"application/json"}},
		Body: []byte(`{"email":"User42@Example.com","first":"A","last":"B","consent":true,"balance":1.10}`),
	}
	route, _, _ := r.Table().Match(request.Method, request.Path)
	for _, p := range route.Policies {
		if p.Stage() != policies.Content {
			continue
		}
		if d := p.Check(t.Context(), request); !d.Allow {
			t.Fatal(d)
		}
	}
	scope := gateway.Scope(request)
	mapped, faults := route.Fanout.Map(scope, request.Body)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	for _, b := range route.Fanout.Bindings {
		previews, err := b.Plan.Preview(target.Input{
			Tracking: id, Tenant: "mobile/acme", Params: request.Params, Payload: mapped.Payloads[b.Plan.Name],
		})
		if err != nil {
			t.Fatal(err)
		}
		sent := r.backends.Backend(b.Plan.Name).Requests(0)
		for _, p := range previews {
			if !received(t, sent, p) {
				t.Errorf("%s %s: %s %s\n%v\n%s\nwas not received; the backend saw %+v", b.Plan.Name, p.Step, p.Method, p.URL, p.Header, p.Body, sent)
			}
		}
	}
}

// received reports whether one of the requests is the preview, with masks and
// placeholders matching anything.
func received(t *testing.T, sent []simulate.Request, p target.Preview) bool {
	t.Helper()
	u, err := url.Parse(placeholder.ReplaceAllString(p.URL, "SAVED"))
	if err != nil {
		t.Fatal(err)
	}
	_, path, _ := strings.Cut(strings.TrimPrefix(u.EscapedPath(), "/"), "/") // without the backend's name
	for _, s := range sent {
		if s.Method == p.Method && like("/"+path, s.Path) && like(p.Body, string(s.Body)) && headersLike(p.Header, s.Header) {
			return true
		}
	}
	return false
}

func headersLike(shown map[string]string, sent http.Header) bool {
	for name, value := range shown {
		if !like(value, sent.Get(name)) {
			return false
		}
	}
	return true
}

// like compares with masks and placeholders standing for anything.
func like(shown, sent string) bool {
	pattern := regexp.QuoteMeta(placeholder.ReplaceAllString(shown, "SAVED"))
	pattern = strings.NewReplacer("SAVED", ".+", `\*\*\*`, ".+").Replace(pattern)
	return regexp.MustCompile("^(?s:" + pattern + ")$").MatchString(sent)
}
