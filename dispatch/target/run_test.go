package target

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"headgate/dispatch/fault"
	"headgate/dispatch/trace"
	"headgate/dispatch/tracking"
)

func TestRunSendsWhatIsDeclared(t *testing.T) {
	t.Setenv("CRM_TOKEN", "s3cret/+ &")
	tests := map[string]struct {
		yaml, method, uri, body, contentType string
		header                               map[string]string
		absent                               []string
	}{
		"put with defaults": {
			yaml:   "put: /contacts/${{ .params.id }}",
			method: "PUT", uri: "/contacts/42", body: string(input().Payload), contentType: "application/json",
			header: map[string]string{"Idempotency-Key": "trk_1:crm", "User-Agent": "headgate", "Accept": "application/json", "Traceparent": "00-abc-def-01"},
		},
		"payload as json": {
			yaml: "post: /x\njson: ${{ .payload }}", method: "POST", uri: "/x", body: string(input().Payload), contentType: "application/json",
		},
		"json with big numbers": {
			yaml:   "patch: /x\njson: {n: \"${{ .payload.n }}\", lit: 1.10, who: \"${{ .tenant }}/${{ .tracking }}\", h: <b>}",
			method: "PATCH", uri: "/x", body: `{"h":"<b>","lit":1.10,"n":12345678901234567890,"who":"acme/trk_1"}`, contentType: "application/json",
		},
		"form": {
			yaml: "post: /x\nform: {b: \"${{ .payload.email }}\", a: 1}", method: "POST", uri: "/x", body: "a=1&b=a%40b.example", contentType: "application/x-www-form-urlencoded",
		},
		"raw with content type": {
			yaml: "post: /x\nraw: \"<id>${{ .params.id }}</id>\"\ncontent_type: application/xml", method: "POST", uri: "/x", body: "<id>42</id>", contentType: "application/xml",
		},
		"get": {
			yaml: "get: /x?e=${{ .payload.email }}", method: "GET", uri: "/x?e=a%40b.example",
			absent: []string{"Content-Type", "Idempotency-Key", "Authorization"},
		},
		"delete": {
			yaml: "delete: /x/${{ .params.id }}", method: "DELETE", uri: "/x/42", header: map[string]string{"Idempotency-Key": "trk_1:crm"}, absent: []string{"Content-Type"},
		},
		"headers": {
			yaml: "post: /x\nheaders: {x-who: \"${{ .tenant }}\", Accept: text/plain, x-none: \"${{ empty }}\"}", method: "POST", uri: "/x", body: string(input().Payload),
			contentType: "application/json", header: map[string]string{"X-Who": "acme", "Accept": "text/plain"}, absent: []string{"X-None"},
		},
		"one expression as path": {
			yaml: "get: ${{ \"/a/b?c=\" + .params.id }}", method: "GET", uri: "/a/b?c=42",
		},
		"bearer": {
			yaml: "post: /x\nauth: {bearer: {env: CRM_TOKEN}}", method: "POST", uri: "/x", body: string(input().Payload), contentType: "application/json",
			header: map[string]string{"Authorization": "Bearer s3cret/+ &"},
		},
		"basic": {
			yaml: "get: /x\nauth: {basic: {user: 'Company\\user', password: {env: CRM_TOKEN}}}", method: "GET", uri: "/x",
			header: map[string]string{"Authorization": "Basic Q29tcGFueVx1c2VyOnMzY3JldC8rICY="},
		},
		"header key": {
			yaml: "get: /x\nauth: {header: {name: x-key, value: {env: CRM_TOKEN}}}", method: "GET", uri: "/x",
			header: map[string]string{"X-Key": "s3cret/+ &"},
		},
		"query key": {
			yaml: "get: /x?a=1\nauth: {query: {name: api key, value: {env: CRM_TOKEN}}}", method: "GET", uri: "/x?a=1&api+key=s3cret%2F%2B+%26",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, says(200, `{}`))
			p := mustCompile(t, b.URL, "url: ${URL}\n"+tt.yaml)
			in := input()
			ctx := trace.With(t.Context(), "00-abc-def-01")
			end := eventOf[tracking.Concluded](t, newEngine(t).Run(ctx, p, in))
			if end.State != tracking.Succeeded || end.HTTPStatus != 200 || end.Poll {
				t.Errorf("%+v", end)
			}
			got := b.seen()[0]
			if got.Method != tt.method || got.URI != tt.uri || got.Body != tt.body || got.Header.Get("Content-Type") != tt.contentType {
				t.Errorf("%+v", got)
			}
			for name, want := range tt.header {
				if got.Header.Get(name) != want {
					t.Errorf("%s: %q, want %q", name, got.Header.Get(name), want)
				}
			}
			for _, name := range tt.absent {
				if v, ok := got.Header[name]; ok {
					t.Errorf("%s is there: %q", name, v)
				}
			}
		})
	}
}

func TestRunRefusesToSend(t *testing.T) {
	tests := map[string]struct {
		yaml    string
		change  func(*Input)
		reason  fault.Reason
		message string
		retry   bool // not final
	}{
		"header with line break": {"post: /x\nheaders: {X-A: \"${{ .payload.a }}\"}",
			func(in *Input) { in.Payload = []byte(`{"a":"x\r\nHost: evil"}`) }, fault.Rejected, "X-A", false},
		"header with nul": {"post: /x\nheaders: {X-A: \"${{ .payload.a }}\"}",
			func(in *Input) { in.Payload = []byte(`{"a":"x\u0000"}`) }, fault.Rejected, "X-A", false},
		"null in url": {"post: /x/${{ .payload.nothing }}", nil, fault.Internal, ".payload.nothing", false},
		"empty in url": {"delete: /x/${{ .payload.a }}",
			func(in *Input) { in.Payload = []byte(`{"a":""}`) }, fault.Internal, "is empty", false},
		"empty inside url": {"get: /x/${{ .payload.a }}/y",
			func(in *Input) { in.Payload = []byte(`{"a":""}`) }, fault.Internal, "is empty", false},
		"climbing": {"put: /x/${{ .params.id }}",
			func(in *Input) { in.Params = map[string]string{"id": ".."} }, fault.Internal, `".."`, false},
		"climbing by one expression": {"allow_hosts: []\nput: ${{ .payload.a }}",
			func(in *Input) { in.Payload = []byte(`{"a":"/x/../y"}`) }, fault.Internal, `segment ".."`, false},
		"host by the path": {"allow_hosts: []\nget: ${{ .payload.a }}",
			func(in *Input) { in.Payload = []byte(`{"a":"@evil.example/"}`) }, fault.Internal, "does not begin with /", false},
		"fragment": {"allow_hosts: []\nget: ${{ .payload.a }}",
			func(in *Input) { in.Payload = []byte(`{"a":"/x#y"}`) }, fault.Internal, "no URL", false},
		"not json for a form": {"post: /x\nform: ${{ .payload.email }}", nil, fault.Internal, "form", false},
		"no such step":        {"post: /x", func(in *Input) { in.Delivery.Step = "gone" }, fault.TargetGone, "gone", false},
		"secret not readable": {"post: /x\nauth: {bearer: {env: CRM_ABSENT}}", nil, fault.Auth, "{env: CRM_ABSENT}", true},
		"secret unfit":        {"post: /x\nauth: {bearer: {env: CRM_LINES}}", nil, fault.Auth, "{env: CRM_LINES}", true},
	}
	t.Setenv("CRM_LINES", "two\nlines")
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, says(200, `{}`))
			p := mustCompile(t, b.URL, "url: ${URL}\n"+tt.yaml)
			in := input()
			if tt.change != nil {
				tt.change(&in)
			}
			got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, in))
			if got.Fault.Reason != tt.reason || got.Final == tt.retry || !strings.Contains(got.Fault.Message, tt.message) {
				t.Errorf("%+v %+v", got, got.Fault)
			}
			if strings.Contains(got.Fault.Error(), "two") {
				t.Errorf("the secret leaks: %v", got.Fault)
			}
			if len(b.seen()) != 0 {
				t.Errorf("sent all the same: %+v", b.seen())
			}
		})
	}
}

func TestRunClassifies(t *testing.T) {
	tests := map[string]struct {
		status       int
		body, yaml   string
		reason       fault.Reason
		final        bool
		message, not string
	}{
		"408":            {status: 408, reason: fault.ServerError},
		"425":            {status: 425, reason: fault.ServerError},
		"429":            {status: 429, reason: fault.RateLimited},
		"500":            {status: 500, body: `{"message":"boom"}`, reason: fault.ServerError, message: "answered 500 Internal Server Error: boom"},
		"503":            {status: 503, reason: fault.ServerError},
		"503 not on":     {status: 503, yaml: "retry: {not_on: [503]}", reason: fault.ServerError, final: true},
		"401":            {status: 401, reason: fault.Auth, final: true},
		"403":            {status: 403, reason: fault.Auth, final: true},
		"407":            {status: 407, reason: fault.Auth, final: true},
		"413":            {status: 413, reason: fault.TooLarge, final: true},
		"404":            {status: 404, reason: fault.Rejected, final: true, message: "answered 404"},
		"409":            {status: 409, body: `{"error":"exists"}`, reason: fault.Rejected, final: true, message: "exists"},
		"409 on":         {status: 409, yaml: "retry: {on: [409]}", reason: fault.ServerError},
		"410":            {status: 410, reason: fault.Rejected, final: true},
		"422":            {status: 422, body: `{"errors":[{"message":"no email"}]}`, reason: fault.Rejected, final: true, message: "no email"},
		"422 nested":     {status: 422, body: `{"error":{"code":1,"message":"bad"}}`, reason: fault.Rejected, final: true, message: "bad"},
		"422 detail":     {status: 422, body: `{"title":"t","detail":"the detail"}`, reason: fault.Rejected, final: true, message: "the detail"},
		"422 title":      {status: 422, body: `{"title":"the title"}`, reason: fault.Rejected, final: true, message: "the title"},
		"422 list":       {status: 422, body: `[{"message":"first","errorCode":"X"}]`, reason: fault.Rejected, final: true, message: "first"},
		"422 own":        {status: 422, body: `{"fault":{"text":"mine"}}`, yaml: "error: ${{ .response.body.fault.text }}", reason: fault.Rejected, final: true, message: "mine"},
		"422 own absent": {status: 422, body: `{"message":"found"}`, yaml: "error: ${{ .response.body.fault.text }}", reason: fault.Rejected, final: true, message: "found"},
		"422 control":    {status: 422, body: `{"message":"a\u0000b\nc\u001b[31m"}`, reason: fault.Rejected, final: true, message: "ab c[31m"},
		"422 long":       {status: 422, body: `{"message":"` + strings.Repeat("x", 5000) + `"}`, reason: fault.Rejected, final: true, message: "…", not: strings.Repeat("x", 501)},
		"422 no json":    {status: 422, body: `<html>`, reason: fault.Rejected, final: true, message: "answered 422", not: "<html>"},
		"other 2xx":      {status: 200, yaml: "expect: [201, 202]", reason: fault.BadResponse, final: true, message: "answered 200 OK, expected 201 or 202"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, says(tt.status, tt.body))
			p := mustCompile(t, b.URL, "url: ${URL}\npost: /x\n"+tt.yaml)
			got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, input()))
			f := got.Fault
			if f.Reason != tt.reason || got.Final != tt.final || f.Status != tt.status || !strings.Contains(f.Message, tt.message) {
				t.Errorf("final %v, %+v", got.Final, f)
			}
			if tt.not != "" && strings.Contains(f.Message, tt.not) {
				t.Errorf("message %q", f.Message)
			}
		})
	}
}

func TestRunExpectedStatusIsSuccess(t *testing.T) {
	b := newBackend(t, says(409, `{"id":12345678901234567890}`))
	p := mustCompile(t, b.URL, "url: ${URL}\npost: /x\nexpect: [200, 409]\n"+
		"result: {id: '${{ .response.body.id }}', type: \"${{ .response.headers[\\\"content-type\\\"] }}\", bad: '${{ .response.body.id.x }}', none: '${{ empty }}'}\n"+
		"warn: ${{ .response.status == 409 }}")
	end := eventOf[tracking.Concluded](t, newEngine(t).Run(t.Context(), p, input()))
	if end.State != tracking.Warned || string(end.Result["id"]) != "12345678901234567890" || string(end.Result["type"]) != `"application/json"` {
		t.Errorf("%+v %s", end, end.Result)
	}
	if _, ok := end.Result["bad"]; ok || !strings.Contains(end.Message, "result bad: ") || len(end.Result) != 2 {
		t.Errorf("message %q, result %s", end.Message, end.Result)
	}
}

func TestRunResponseBody(t *testing.T) {
	for body, want := range map[string]string{"": "null", " ": "null", "plain": `"plain"`, `"text"`: `"text"`, "1.10": "1.10", `{"a":1} x`: `"{\"a\":1} x"`} {
		b := newBackend(t, says(200, body))
		p := mustCompile(t, b.URL, "url: ${URL}\npost: /x\nresult: {body: '${{ .response.body }}'}")
		end := eventOf[tracking.Concluded](t, newEngine(t).Run(t.Context(), p, input()))
		if got := string(end.Result["body"]); got != want {
			t.Errorf("body %q gives %s, want %s (%s)", body, got, want, end.Message)
		}
	}
}

func TestRunBoundsTheAnswer(t *testing.T) {
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	_, _ = zip.Write(make([]byte, 64<<20))
	_ = zip.Close()
	answers := map[string]http.HandlerFunc{
		"known length": says(200, strings.Repeat("x", 2000)),
		"chunked": func(w http.ResponseWriter, _ *http.Request) {
			for range 20 {
				_, _ = io.WriteString(w, strings.Repeat("x", 100))
				w.(http.Flusher).Flush()
			}
		},
		"gzip bomb": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, answer)
			p := mustCompile(t, b.URL, "url: ${URL}\npost: /x\nmax_response: 1KB")
			got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, input()))
			if got.Fault.Reason != fault.BadResponse || !got.Final || !strings.Contains(got.Fault.Message, "max_response") {
				t.Errorf("%+v %+v", got, got.Fault)
			}
		})
	}
}

func TestRunReadsGzip(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "gzip" {
			w.WriteHeader(500)
		}
		w.Header().Set("Content-Encoding", "gzip")
		zip := gzip.NewWriter(w)
		_, _ = zip.Write([]byte(`{"id":7}`))
		_ = zip.Close()
	})
	p := mustCompile(t, b.URL, "url: ${URL}\npost: /x\nresult: {id: '${{ .response.body.id }}'}")
	end := eventOf[tracking.Concluded](t, newEngine(t).Run(t.Context(), p, input()))
	if string(end.Result["id"]) != "7" {
		t.Errorf("%+v", end)
	}
}

func TestRunFollowsNoRedirect(t *testing.T) {
	t.Setenv("CRM_TOKEN", "secret")
	elsewhere := newBackend(t, says(200, `{}`))
	b := newBackend(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", elsewhere.URL+"/steal?x=1")
		w.WriteHeader(307)
	})
	p := mustCompile(t, b.URL, "url: ${URL}\npost: /x\nauth: {bearer: {env: CRM_TOKEN}}")
	got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, input()))
	host := strings.TrimPrefix(elsewhere.URL, "http://")
	if got.Fault.Reason != fault.BadResponse || !got.Final || !strings.Contains(got.Fault.Message, host) || strings.Contains(got.Fault.Message, "steal") {
		t.Errorf("%+v", got.Fault)
	}
	if len(elsewhere.seen()) != 0 {
		t.Error("the redirect was followed")
	}
}
