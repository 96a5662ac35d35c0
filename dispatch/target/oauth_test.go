package target

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

const clientSecret = "pl/anted+secret &"

// tokenServer answers with planted-token-1, planted-token-2 and so on.
func tokenServer(t testing.TB) *backend {
	var b *backend
	b = newBackend(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"access_token": "planted-token-%d", "token_type": "Bearer", "expires_in": 3600}`, len(b.seen()))
	})
	return b
}

func oauthTarget(backend, tokens, more string) string {
	return "url: " + backend + "\npost: /x\nauth: {oauth2: {token_url: " + tokens + "/token, client_id: \"my client\", client_secret: {env: CRM_SECRET}" + more + "}}"
}

func TestOAuth2(t *testing.T) {
	t.Setenv("CRM_SECRET", clientSecret)
	for name, tc := range map[string]struct {
		more, header string
		basic        bool
		form         url.Values
	}{
		"defaults": {"", "Bearer planted-token-1", true, url.Values{"grant_type": {"client_credentials"}}},
		"in the body": {", send: body", "Bearer planted-token-1", false,
			url.Values{"grant_type": {"client_credentials"}, "client_id": {"my client"}, "client_secret": {clientSecret}}},
		"scope and more": {`, scope: "a b", params: {audience: "https://api", x: 1}, send: basic`, "Bearer planted-token-1", true,
			url.Values{"grant_type": {"client_credentials"}, "scope": {"a b"}, "audience": {"https://api"}, "x": {"1"}}},
		"another prefix": {`, header_prefix: "OAuth "`, "OAuth planted-token-1", true, url.Values{"grant_type": {"client_credentials"}}},
		"no prefix":      {`, header_prefix: ""`, "planted-token-1", true, url.Values{"grant_type": {"client_credentials"}}},
	} {
		t.Run(name, func(t *testing.T) {
			tokens, b := tokenServer(t), newBackend(t, says(200, ""))
			p := mustCompile(t, "", oauthTarget(b.URL, tokens.URL, tc.more))
			e := newEngine(t)
			for range 2 {
				eventOf[tracking.Concluded](t, e.Run(t.Context(), p, input()))
			}
			for _, got := range b.seen() {
				if got.Header.Get("Authorization") != tc.header {
					t.Errorf("sent with %q, want %q", got.Header.Get("Authorization"), tc.header)
				}
			}
			asked := tokens.seen()
			if len(asked) != 1 || asked[0].Method != http.MethodPost || asked[0].URI != "/token" || asked[0].Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
				t.Fatalf("asked %+v", asked)
			}
			form, err := url.ParseQuery(asked[0].Body)
			if err != nil || form.Encode() != tc.form.Encode() {
				t.Errorf("asked with %v (%v), want %v", form, err, tc.form)
			}
			user, password, ok := (&http.Request{Header: asked[0].Header}).BasicAuth()
			if ok != tc.basic || (ok && (user != "my+client" || password != url.QueryEscape(clientSecret))) {
				t.Errorf("asked as %q %q, %v", user, password, ok)
			}
		})
	}
}

// What a token server may answer. Each is a fault that another attempt may mend, and none
// shows what was sent.
func TestOAuth2WithoutToken(t *testing.T) {
	t.Setenv("CRM_SECRET", clientSecret)
	gone := httptest.NewServer(nil)
	gone.Close()
	stalled := newBackend(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	repeats := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprintf(w, `{"error": "invalid_client", "error_description": "no client with %s %s %s"}`, r.Header.Get("Authorization"), clientSecret, body)
	}
	redirects := func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }
	waits := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "7")
		says(429, "")(w, r)
	}
	for name, tc := range map[string]struct {
		answer  http.HandlerFunc
		url     string
		reason  fault.Reason
		message string
	}{
		"refused":          {repeats, "", fault.Auth, "401 Unauthorized: invalid_client no client with"},
		"bad request":      {says(400, `{"error": "invalid_scope"}`), "", fault.Auth, "400 Bad Request: invalid_scope"},
		"redirect":         {redirects, "", fault.Auth, "redirects are not followed"},
		"busy":             {waits, "", fault.RateLimited, "429"},
		"broken":           {says(503, "oh"), "", fault.ServerError, "503"},
		"refused with 200": {says(200, `{"success": false, "errors": [{"code": "601", "message": "no such client"}]}`), "", fault.Auth, "200 OK: no such client"},
		"repeats with 200": {func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, _ = fmt.Fprintf(w, `{"error": "invalid_client", "error_description": "%s %s %s"}`, r.Header.Get("Authorization"), clientSecret, body)
		}, "", fault.Auth, "200 OK: invalid_client"},
		"no JSON":               {says(200, "planted-token"), "", fault.Auth, "no access_token"},
		"no token":              {says(200, `{"token": "planted-token"}`), "", fault.Auth, "no access_token"},
		"token that is none":    {says(200, `{"access_token": {"x": "planted-token"}}`), "", fault.Auth, "no access_token"},
		"token with line break": {says(200, `{"access_token": "planted-token\nX: y"}`), "", fault.Auth, "cannot carry"},
		"too long":              {says(200, `{"access_token": "`+strings.Repeat("planted-token", 10_000)+`"}`), "", fault.Auth, "larger than"},
		"not there":             {nil, gone.URL, fault.Unreachable, "the token server could not be reached"},
		"silent":                {nil, stalled.URL, fault.Timeout, "the token server did not answer in time"},
	} {
		for _, send := range []string{"basic", "body", "query"} {
			t.Run(name+", "+send, func(t *testing.T) {
				b := newBackend(t, says(200, ""))
				if tc.answer != nil {
					tc.url = newBackend(t, tc.answer).URL
				}
				p := mustCompile(t, "", oauthTarget(b.URL, tc.url, ", send: "+send)+"\nlimits: {timeout: 300ms}")
				got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, input()))
				if got.Fault.Reason != tc.reason || !got.Fault.Retry || got.Final || !strings.Contains(got.Fault.Message, tc.message) || !strings.HasPrefix(got.Fault.Message, "no access token: ") {
					t.Errorf("%+v %+v", got, got.Fault)
				}
				if tc.reason == fault.RateLimited && got.Fault.RetryAfter != 7*time.Second {
					t.Errorf("to wait: %s", got.Fault.RetryAfter)
				}
				for _, s := range []string{"anted", "bXkrY2xpZW50"} {
					if strings.Contains(got.Fault.Error(), s) {
						t.Errorf("%q is in %s", s, got.Fault.Error())
					}
				}
				if n := len(b.seen()); n != 0 {
					t.Errorf("%d calls without a token", n)
				}
			})
		}
	}
}

func TestOAuth2SecretThatIsMissing(t *testing.T) {
	tokens := tokenServer(t)
	p := mustCompile(t, "", oauthTarget("http://h", tokens.URL, ""))
	got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, input()))
	if got.Fault.Reason != fault.Auth || !got.Fault.Retry || !strings.Contains(got.Fault.Message, "{env: CRM_SECRET}") || len(tokens.seen()) != 0 {
		t.Errorf("%+v", got.Fault)
	}
}

func TestOAuth2TokensInAnswersAreConcealed(t *testing.T) {
	t.Setenv("CRM_SECRET", clientSecret)
	for _, status := range []int{200, 401, 422, 503} {
		tokens := tokenServer(t)
		b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `{"message": "called with %s"}`, r.Header.Get("Authorization"))
		})
		p := mustCompile(t, "", oauthTarget(b.URL, tokens.URL, "")+"\nresult: {all: \"${{ .response.body.message }}\"}")
		event := newEngine(t).Run(t.Context(), p, input())
		kept := fmt.Sprintf("%+v", tracking.Apply(tracking.Delivery{State: tracking.Pending}, event, noon))
		if d, ok := event.(tracking.Concluded); ok {
			kept += string(d.Result["all"])
		}
		if strings.Contains(kept, "planted-token") || !strings.Contains(kept, "called with Bearer ***") {
			t.Errorf("%d: %s", status, kept)
		}
	}
}

// A token that was withdrawn is dropped; the next attempt has another one. A backend that
// refuses them all does not make each attempt fetch one.
func TestOAuth2Refused(t *testing.T) {
	t.Setenv("CRM_SECRET", clientSecret)
	tokens := tokenServer(t)
	good := "Bearer planted-token-2"
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != good {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	p := mustCompile(t, "", oauthTarget(b.URL, tokens.URL, ""))
	e := newEngine(t)
	refused := func(want int) {
		t.Helper()
		got := eventOf[tracking.AttemptFailed](t, e.Run(t.Context(), p, input()))
		if got.Fault.Reason != fault.Auth || got.Fault.Status != 401 || !got.Fault.Retry || got.Final || got.After <= 0 {
			t.Errorf("%+v %+v", got, got.Fault)
		}
		if n := len(tokens.seen()); n != want {
			t.Errorf("%d tokens asked for, want %d", n, want)
		}
	}
	refused(1)
	eventOf[tracking.Concluded](t, e.Run(t.Context(), p, input()))
	good = "none"
	for range 4 {
		refused(2)
	}
	s := e.tokens.source(p.steps[0].auth.oauth.id)
	s.droppedAt = s.droppedAt.Add(-dropGap)
	refused(2) // dropped now
	refused(3)
	in := input()
	in.Delivery.StepAttempts = 7
	if got := eventOf[tracking.AttemptFailed](t, e.Run(t.Context(), p, in)); !got.Final {
		t.Errorf("it goes on after the last attempt: %+v", got)
	}
	p = mustCompile(t, "", oauthTarget(b.URL, tokens.URL, "")+"\nretry: {not_on: [401]}")
	if got := eventOf[tracking.AttemptFailed](t, e.Run(t.Context(), p, input())); !got.Final {
		t.Errorf("retried against not_on: %+v", got)
	}
}

func TestOAuth2Problems(t *testing.T) {
	t.Setenv("CRM_SECRET", clientSecret)
	const start, rest = "{oauth2: {token_url: ", ", client_id: a, client_secret: {env: CRM_SECRET}}}"
	with := func(more string) string {
		return "{oauth2: {token_url: https://t/x, client_id: a, client_secret: {env: CRM_SECRET}, " + more + "}}"
	}
	for name, tc := range map[string]struct{ auth, at, message, hint string }{
		"no token_url":       {"{oauth2: {client_id: a, client_secret: {env: CRM_SECRET}}}", "auth.oauth2)", `"token_url" is missing`, ""},
		"no client_id":       {"{oauth2: {token_url: https://t/x, client_secret: {env: CRM_SECRET}}}", "auth.oauth2)", `"client_id" is missing`, ""},
		"empty client_id":    {`{oauth2: {token_url: https://t/x, client_id: "", client_secret: {env: CRM_SECRET}}}`, "auth.oauth2.client_id)", "client_id is empty", ""},
		"no secret":          {"{oauth2: {token_url: https://t/x, client_id: a}}", "auth.oauth2)", `"client_secret" is missing`, ""},
		"in clear":           {"{oauth2: {token_url: https://t/x, client_id: a, client_secret: planted}}", "auth.oauth2.client_secret)", "in clear", "{env: NAME}"},
		"not to be read":     {"{oauth2: {token_url: https://t/x, client_id: a, client_secret: {env: PATH}}}", "auth.oauth2.client_secret)", "may not read", "routes_may_read"},
		"relative":           {start + "/x" + rest, "auth.oauth2.token_url)", "token_url should be absolute", "https://id.example.com"},
		"other scheme":       {start + "ftp://t/x" + rest, "auth.oauth2.token_url)", "token_url should be absolute", ""},
		"credentials":        {start + "https://a:planted@t/x" + rest, "auth.oauth2.token_url)", "credentials must not stand in token_url", "client_secret"},
		"query":              {start + "https://t/x?a=b" + rest, "auth.oauth2.token_url)", "no query", "params"},
		"expression":         {start + `"https://t/${{ .tenant }}"` + rest, "auth.oauth2.token_url)", "no expressions", ""},
		"send":               {with("send: header"), "auth.oauth2.send)", `send cannot be "header"`, "basic or body or query"},
		"prefix":             {with(`header_prefix: "a\n"`), "auth.oauth2.header_prefix)", "cannot carry", ""},
		"own parameter":      {with("params: {grant_type: password}"), "auth.oauth2.params.grant_type)", "params cannot have", "leave it out"},
		"secret in clear":    {with("params: {password: planted}"), "auth.oauth2.params.password)", "in clear", "client_secret"},
		"grant":              {with("grant: password"), "auth.oauth2.grant)", `grant cannot be "password"`, "client_credentials or refresh_token or jwt_bearer"},
		"no refresh token":   {"{oauth2: {token_url: https://t/x, client_id: a, grant: refresh_token}}", "auth.oauth2)", `"refresh_token" is missing`, "refresh_token: {env: NAME}"},
		"no private key":     {"{oauth2: {token_url: https://t/x, client_id: a, grant: jwt_bearer}}", "auth.oauth2)", `"private_key" is missing`, "private_key: {env: NAME}"},
		"of another grant":   {with("private_key: {env: CRM_SECRET}"), "auth.oauth2.private_key)", "private_key is only for grant jwt_bearer", "grant: jwt_bearer"},
		"key not to be read": {"{oauth2: {token_url: https://t/x, client_id: a, grant: jwt_bearer, private_key: {env: PATH}}}", "auth.oauth2.private_key)", "may not read", "routes_may_read"},
		"key in clear":       {"{oauth2: {token_url: https://t/x, client_id: a, grant: jwt_bearer, private_key: planted}}", "auth.oauth2.private_key)", "in clear", "{env: NAME}"},
		"own claim":          {"{oauth2: {token_url: https://t/x, client_id: a, grant: jwt_bearer, private_key: {env: CRM_SECRET}, claims: {exp: 1}}}", "auth.oauth2.claims.exp)", "claims cannot have", "by themselves"},
		"unknown key":        {with("scopes: a"), "auth.oauth2.scopes)", "unknown key", `did you mean "scope"`},
	} {
		t.Run(name, func(t *testing.T) {
			p, report := compileText(t, "", "url: http://h\npost: /x\nauth: "+tc.auth)
			err := report.Err()
			if p != nil || err == nil || len(report.Problems()) != 1 {
				t.Fatalf("%v", err)
			}
			for _, part := range []string{"t.yaml:3:", tc.at, tc.message, tc.hint} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in\n%v", part, err)
				}
			}
			if name != "credentials" && strings.Contains(err.Error(), "planted") { // as with url, the line is shown
				t.Errorf("the secret is shown: %v", err)
			}
		})
	}
}

// What decides which token is got must decide which one is shared.
func TestOAuth2GrantsAreToldApart(t *testing.T) {
	var seen []string
	for _, more := range []string{"", ", scope: a", ", scope: b", ", params: {a: b}", ", params: {a: c}", ", send: body", ", send: query"} {
		seen = append(seen, mustCompile(t, "", oauthTarget("http://h", "http://t", more)).steps[0].auth.oauth.what)
	}
	seen = append(seen, mustCompile(t, "", oauthTarget("http://h", "http://other", "")).steps[0].auth.oauth.what)
	slices.Sort(seen)
	if n := len(slices.Compact(seen)); n != 8 {
		t.Errorf("%d of 8 are told apart", n)
	}
	kept, err := FromSource("crm", mustCompile(t, "", oauthTarget("http://h", "http://t", ", params: {b: 1, a: 2}")).Source)
	if err != nil || kept.steps[0].auth.oauth.id != mustCompile(t, "", oauthTarget("http://h", "http://t", ", params: {a: 2, b: 1}")).steps[0].auth.oauth.id {
		t.Errorf("the plan that was kept has another grant (%v)", err)
	}
}
