package target

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"headgate/config/secret"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// instanceServer is a token server that names the base of calls.
func instanceServer(t testing.TB, instance string) *backend {
	var b *backend
	b = newBackend(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"access_token": "planted-token-%d", "expires_in": "3600", "instance_url": %q, "id": "planted-id"}`, len(b.seen()), instance)
	})
	return b
}

const baseYAML = `
url: https://login.example
base: ${{ .token.instance_url }}
allow_hosts: ["HOST"]
headers: {X-Own: yes}
auth: {oauth2: {token_url: "TOKENS/token", client_id: a, client_secret: {env: CRM_SECRET}}}
`

func baseTarget(t testing.TB, url, host, tokens, calls string) *Plan {
	t.Helper()
	t.Setenv("CRM_SECRET", clientSecret)
	return mustCompile(t, "", strings.NewReplacer("https://login.example", url, "HOST", host, "TOKENS", tokens).Replace(baseYAML)+calls)
}

func engineThatMayReach(t testing.TB, tokens Tokens) *Engine {
	e := NewEngine(Outgoing{MayReach: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Tokens: tokens}, nil)
	t.Cleanup(e.Close)
	return e
}

const baseCalls = `
steps:
- {name: a, post: /a, save: {next: "${{ .response.body.next }}", job: "${{ .response.body.id }}"}}
- {name: whole, put: "${{ .saved.next }}"}
- {name: open, post: /open, auth: none}
- name: b
  get: /jobs/${{ .saved.job }}
  until: {state: "${{ .response.body.state }}", succeeded: [done], partial: [part]}
  rejects: {get: "/jobs/${{ .saved.job }}/rejects", items: "${{ .response.body.items }}", reason: "${{ .item }}"}
`

// TestBaseOfTheToken: every call goes where the token server says, as to the target itself,
// and workers that share the token share that.
func TestBaseOfTheToken(t *testing.T) {
	instance := newBackend(t, nil)
	instance.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		instance.calls = append(instance.calls, call{r.Method, r.RequestURI, r.Header.Clone(), ""})
		says(200, `{"id": 7, "next": "`+instance.URL+`/whole?sig=1", "state": "part", "items": ["bad"]}`)(w, r)
	})
	tokens := instanceServer(t, instance.URL+"/services/")
	own := newBackend(t, says(500, ""))
	p := baseTarget(t, own.URL, strings.TrimPrefix(instance.URL, "http://"), tokens.URL, baseCalls)
	shelf := newFleet(t, 0, true).shelf
	in := input()
	for range 5 {
		// Each run is another worker's.
		in.Delivery = tracking.Apply(in.Delivery, engineThatMayReach(t, shelf).Run(t.Context(), p, in), noon)
		if in.Delivery.State.Final() {
			break
		}
	}
	if in.Delivery.State != tracking.Rejected || in.Delivery.Message != "bad" || len(own.seen()) != 0 || len(tokens.seen()) != 1 {
		t.Fatalf("%+v, %d calls to url, %d tokens", in.Delivery, len(own.seen()), len(tokens.seen()))
	}
	var got []string
	for _, c := range instance.seen() {
		got = append(got, strings.Join([]string{c.Method, c.URI, c.Header.Get("Authorization"), c.Header.Get("X-Own"), c.Header.Get("Idempotency-Key")}, " "))
	}
	want := []string{
		"POST /services/a Bearer planted-token-1 yes trk_1:crm:a",
		"PUT /whole?sig=1 Bearer planted-token-1 yes trk_1:crm:whole",
		"POST /services/open  yes trk_1:crm:open",
		"GET /services/jobs/7 Bearer planted-token-1 yes ",
		"GET /services/jobs/7/rejects Bearer planted-token-1 yes ",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("called\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestBaseBehindTheGuard(t *testing.T) {
	instance := newBackend(t, says(200, ""))
	host := strings.TrimPrefix(instance.URL, "http://")
	p := baseTarget(t, "http://login.example", host, instanceServer(t, instance.URL).URL, "post: /a")
	got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, input()))
	if !got.Final || got.Fault.Reason != fault.BadResponse || !strings.Contains(got.Fault.Message, "no public address") || len(instance.seen()) != 0 {
		t.Errorf("%+v %+v", got, got.Fault)
	}
	// The host of url is the author's choice: it is no other host when a token names it.
	p = baseTarget(t, instance.URL, "other.example", instanceServer(t, instance.URL+"/v2").URL, "post: /a")
	eventOf[tracking.Concluded](t, newEngine(t).Run(t.Context(), p, input()))
	if got := instance.seen()[0]; got.URI != "/v2/a" || got.Header.Get("Authorization") != "Bearer planted-token-1" {
		t.Errorf("%+v", got)
	}
}

func TestBaseThatIsNone(t *testing.T) {
	for instance, message := range map[string]string{
		"https://evil.test/x":           "not sent: base: the URL goes to the host evil.test, which is not in allow_hosts",
		"http://crm.example/x":          "not sent: base: the URL for the host crm.example is not https",
		"https://u:planted@crm.example": "not sent: base: the URL for the host crm.example holds credentials",
		"https://crm.example/x?y=1":     "has a query",
		"https://crm.example/../x":      "segment",
		"ftp://crm.example":             "no http or https URL",
		"/x":                            "no http or https URL",
		"":                              "not sent: base: ",
	} {
		p := baseTarget(t, "https://login.example", "crm.example", instanceServer(t, instance).URL, "post: /a")
		got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, input()))
		if !got.Final || !strings.Contains(got.Fault.Message, message) || strings.Contains(got.Fault.Error(), "planted") {
			t.Errorf("%q: %+v %+v", instance, got, got.Fault)
		}
	}
	p := baseTarget(t, "https://login.example", "crm.example", tokenServer(t).URL, "post: /a")
	got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, input()))
	if got.Final || got.Fault.Reason != fault.Auth || !strings.Contains(got.Fault.Message, "not sent: base: ") {
		t.Errorf("%+v %+v", got, got.Fault)
	}
}

// Where nothing is sent there is no token: url stands for the base.
func TestBaseOfAPreview(t *testing.T) {
	p := baseTarget(t, "https://login.example", "*.crm.example", "http://t", "post: /a")
	v, err := p.Preview(input())
	const note = "url stands for ${{ .token.instance_url }}: the host login.example itself, or one of allow_hosts (*.crm.example) at public addresses"
	if err != nil || v[0].URL != "https://login.example/a" || v[0].Base != note || v[0].Header["Authorization"] != "Bearer ***" {
		t.Errorf("%+v (%v)", v, err)
	}
	var asked string
	e := NewScripted(recorded(func(r *http.Request) string { asked = r.URL.String(); return "{}" }),
		func(secret.Ref) (secret.Value, error) { return secret.New("s"), nil })
	eventOf[tracking.Concluded](t, e.Run(t.Context(), p, input()))
	if asked != "https://login.example/a" {
		t.Errorf("called %s", asked)
	}
	if refs := p.SecretRefs(); len(refs) != 1 || refs[0].Env != "CRM_SECRET" {
		t.Errorf("secrets %v", refs)
	}
}

// Setups find out where the base is: they are made at url itself.
func TestBaseOfASetup(t *testing.T) {
	p := mustCompile(t, "", `
url: https://login.example
setup: [{name: discover, get: /id, save: {base: "${{ .response.body.base }}"}}]
base: ${{ .setup.base }}
allow_hosts: []
post: /a
`)
	v, err := p.Preview(input())
	if err != nil || len(v) != 2 || v[0].URL != "https://login.example/id" || v[0].Base != "" || !strings.Contains(v[1].Base, "url stands for ${{ .setup.base }}") {
		t.Errorf("%+v (%v)", v, err)
	}
}

func TestBaseProblems(t *testing.T) {
	const auth = `, auth: {oauth2: {token_url: "https://t/x", client_id: a, client_secret: {env: CRM_SECRET}}}`
	const hosts = `, allow_hosts: [crm.example]`
	for name, tc := range map[string]struct{ text, message, hint string }{
		"literal":        {`base: https://x` + auth + `, allow_hosts: []`, "base has no expression", "write it as url"},
		"empty":          {`base: ` + auth, "base is empty", ""},
		"no hosts":       {`base: "${{ .token.u }}"` + auth, "does not say which hosts", "allow_hosts: []"},
		"no auth":        {`base: "${{ .token.u }}"` + hosts, "the target's auth fetches none", "oauth2"},
		"another auth":   {`base: "${{ .token.u }}", auth: {bearer: {env: CRM_X}}` + hosts, "the target's auth fetches none", "oauth2"},
		"the token":      {`base: "https://crm.example/${{ .token.access_token }}"` + hosts + auth, "has no place in a URL", ""},
		"all of it":      {`base: "${{ .token | tojson }}"` + hosts + auth, "which field", ".token.instance_url"},
		"another root":   {`base: "${{ .tenant }}"` + hosts + auth, "tenant", ""},
		"bad auth, once": {`base: "${{ .token.u }}", auth: {oauth2: {token_url: "ftp://t", client_id: a, client_secret: {env: CRM_SECRET}}}` + hosts, "token_url should be absolute", ""},
	} {
		_, report := compileText(t, "", "{url: https://h, post: /x, "+tc.text+"}")
		err := report.Err()
		if err == nil || len(report.Problems()) != 1 || !strings.Contains(err.Error(), tc.message) || !strings.Contains(err.Error(), tc.hint) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// With another base another part of the answer is kept: it must not be looked for in vain.
	plain := baseTarget(t, "https://h", "h", "http://t", "post: /a").steps[0].auth.oauth
	other := mustCompile(t, "", strings.NewReplacer("HOST", "h", "TOKENS", "http://t", "instance_url", "api").Replace(baseYAML)+"post: /a").steps[0].auth.oauth
	if plain.what == other.what || plain.id == other.id {
		t.Error("two bases share a token")
	}
}
