package admin

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"headgate/config/secret"
)

const token = "correct-horse-battery"

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreTopFunction("github.com/valyala/fasthttp.(*workerPool).workerFunc"),
	)
}

// start runs a server whose metrics and dashboard say what they were asked.
func start(t *testing.T, change func(*Options)) *Server {
	t.Helper()
	echo := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %s %s", name, r.Method, r.URL.Path)
		})
	}
	o := Options{Token: secret.New(token), Metrics: echo("metrics"), Asynqmon: echo("asynqmon")}
	if change != nil {
		change(&o)
	}
	s := New(o)
	if err := s.Start(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return s
}

// reply is an answer without its body.
type reply struct {
	status  int
	header  http.Header
	cookies []*http.Cookie
}

// ask sends one request whose target is written as given; header lists lines.
func ask(t *testing.T, s *Server, method, target, body string, header ...string) (reply, string) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	lines := append([]string{method + " " + target + " HTTP/1.1", "Host: admin", "Connection: close", fmt.Sprintf("Content-Length: %d", len(body))}, header...)
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"+body); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	described(t, method, target, res, text)
	return reply{res.StatusCode, res.Header, res.Cookies()}, string(text)
}

const bearer = "Authorization: Bearer " + token

// TestNothingWithoutTheToken: whatever way a path is written.
func TestNothingWithoutTheToken(t *testing.T) {
	s := start(t, nil)
	targets := []string{
		"/", "/metrics", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/asynqmon", "/asynqmon/", "/asynqmon/api/queues", "/logout",
		"//asynqmon", "///metrics", "/%61synqmon", "/%6detrics", "/./metrics", "/livez/../metrics", "/livez/%2e%2e/metrics",
		"/readyz/", "/livez%00", "/livez;/metrics", "/livez//../metrics", "/LIVEZ", "/adminX", "/asynqmonX", "/nothing", "/login/../metrics",
		"http://admin/metrics", "http://admin/livez/../metrics", "/asynqmon?x=/livez", "/metrics#/livez",
	}
	credentials := []string{
		"X-Nothing: 1", "Authorization: Bearer wrong", "Authorization: Bearer", "Authorization: Bearer " + token + "x",
		"Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("admin:"+token)),
		"Cookie: headgate_admin=" + token, "Cookie: headgate_admin=99999999999.00", "Cookie: headgate_admin=.",
	}
	for _, target := range targets {
		for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
			for _, credential := range credentials {
				res, text := ask(t, s, method, target, "", credential)
				// A target that is no URL is refused before anyone looks at credentials.
				if res.status != 401 && res.status != 400 {
					t.Errorf("%s %s with %q: %d %s", method, target, credential, res.status, text)
				}
				if res.status == 401 && !strings.HasPrefix(res.header.Get("WWW-Authenticate"), "Bearer ") {
					t.Errorf("%s %s: no challenge", method, target)
				}
				if strings.Contains(text, "metrics GET") || strings.Contains(text, "asynqmon GET") {
					t.Errorf("%s %s was served", method, target)
				}
			}
			if method != "GET" && testing.Short() {
				break
			}
		}
	}
	for _, target := range targets[:9] {
		if res, _ := ask(t, s, "GET", target, ""); res.status != 401 {
			t.Errorf("%s: %d, want 401", target, res.status)
		}
	}
}

func TestEmptyTokenOpensNothing(t *testing.T) {
	s := start(t, func(o *Options) { o.Token = secret.Value{} })
	for _, header := range []string{"Authorization: Bearer ", "Authorization: Bearer", "Cookie: headgate_admin=."} {
		if res, _ := ask(t, s, "GET", "/metrics", "", header); res.status != 401 {
			t.Errorf("%q: %d", header, res.status)
		}
	}
	if res, _ := ask(t, s, "POST", "/login", "token=", "Content-Type: application/x-www-form-urlencoded"); res.status != 401 {
		t.Errorf("login: %d", res.status)
	}
}

func TestWithTheToken(t *testing.T) {
	s := start(t, nil)
	tests := []struct {
		method, target string
		status         int
		text           string
	}{
		{"GET", "/", 200, "/asynqmon"},
		{"GET", "/metrics", 200, "metrics GET /metrics"},
		{"GET", "/asynqmon", 200, "asynqmon GET /asynqmon"},
		{"GET", "/asynqmon/api/queues?size=1", 200, "asynqmon GET /asynqmon/api/queues"},
		{"GET", "/debug/pprof/", 200, "goroutine"},
		{"GET", "/debug/pprof/goroutine?debug=1", 200, "goroutine profile"},
		{"GET", "/debug/pprof/cmdline", 404, "not-found"},
		{"POST", "/asynqmon/api/queues/crm:pause", 405, "method-not-allowed"},
		{"DELETE", "/asynqmon/api/queues/crm", 405, "method-not-allowed"},
		{"POST", "/metrics", 405, "method-not-allowed"},
		{"GET", "/adminX", 404, "not-found"},
		{"GET", "/asynqmonX", 404, "not-found"},
		{"GET", "/metricsX", 404, "not-found"},
		{"GET", "//asynqmon", 404, "not-found"},
		{"GET", "/%61synqmon", 404, "not-found"},
		{"GET", "/logout", 405, "method-not-allowed"},
		{"BREW", "/metrics", 501, "method-unknown"},
	}
	for _, tt := range tests {
		res, text := ask(t, s, tt.method, tt.target, "", bearer)
		if res.status != tt.status || !strings.Contains(text, tt.text) {
			t.Errorf("%s %s: %d %s, want %d %s", tt.method, tt.target, res.status, text, tt.status, tt.text)
		}
	}
}

func TestLogin(t *testing.T) {
	s := start(t, nil)
	res, _ := ask(t, s, "GET", "/asynqmon", "", "Accept: text/html,*/*")
	if res.status != 303 || res.header.Get("Location") != "/login" {
		t.Fatalf("a browser got %d to %q", res.status, res.header.Get("Location"))
	}
	if res, text := ask(t, s, "GET", "/login", ""); res.status != 200 || !strings.Contains(text, "<form") {
		t.Fatalf("the form: %d", res.status)
	}
	form := "Content-Type: application/x-www-form-urlencoded"
	res, text := ask(t, s, "POST", "/login", "token=wrong", form)
	if res.status != 401 || len(res.cookies) != 0 || strings.Contains(text, "wrong") {
		t.Fatalf("a wrong token got %d %v", res.status, res.cookies)
	}
	for name, tt := range map[string]struct {
		header string
		secure bool
	}{"plain": {"X-Nothing: 1", false}, "behind TLS": {"X-Forwarded-Proto: https", true}} {
		t.Run(name, func(t *testing.T) {
			res, _ := ask(t, s, "POST", "/login", "token="+token, form, tt.header)
			if res.status != 303 || res.header.Get("Location") != "/" || len(res.cookies) != 1 {
				t.Fatalf("got %d %v", res.status, res.header)
			}
			c := res.cookies[0]
			if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure != tt.secure || c.Path != "/" || strings.Contains(c.Value, token) {
				t.Errorf("the cookie is %v", c)
			}
			if res, _ := ask(t, s, "GET", "/metrics", "", "Cookie: "+c.Name+"="+c.Value); res.status != 200 {
				t.Errorf("the cookie got %d", res.status)
			}
			out, _ := ask(t, s, "POST", "/logout", "", "Cookie: "+c.Name+"="+c.Value)
			if out.status != 303 || len(out.cookies) != 1 || out.cookies[0].MaxAge >= 0 {
				t.Errorf("logout got %d %v", out.status, out.cookies)
			}
		})
	}
}

func TestSessionEnds(t *testing.T) {
	s := newSession(secret.New(token))
	at := time.Unix(1_700_000_000, 0)
	s.now = func() time.Time { return at }
	value, ends := s.cookie()
	if !s.valid(value) {
		t.Fatal("a fresh session is not valid")
	}
	at = ends
	if s.valid(value) {
		t.Error("the session is valid after its end")
	}
	at = at.Add(-time.Hour)
	_, mac, _ := strings.Cut(value, ".")
	if s.valid(fmt.Sprint(ends.Unix()+1) + "." + mac) {
		t.Error("its end can be moved")
	}
	other := newSession(secret.New("another"))
	other.now = s.now
	if other.valid(value) {
		t.Error("the session outlives its token")
	}
}

func TestHealth(t *testing.T) {
	var checks []Check
	s := start(t, func(o *Options) { o.Ready = func(context.Context) []Check { return checks } })
	checks = []Check{{Name: "redis", State: OK}, {Name: "persistence", State: Warning, Detail: "appendonly is off"}}
	for target, want := range map[string]string{
		"/livez":          "ok\n",
		"/readyz":         "ok\n",
		"/readyz?verbose": "[ok] redis\n[warning] persistence: appendonly is off\nready\n",
	} {
		if res, text := ask(t, s, "GET", target, "", bearer); res.status != 200 || text != want {
			t.Errorf("%s: %d %q", target, res.status, text)
		}
	}
	if res, text := ask(t, s, "GET", "/readyz", ""); res.status != 200 || text != "ok\n" {
		t.Errorf("without the token: %d %q", res.status, text)
	}
	if res, text := ask(t, s, "GET", "/readyz?verbose", ""); res.status != 401 || strings.Contains(text, "persistence") {
		t.Errorf("verbose without the token: %d %q", res.status, text)
	}
	checks = append(checks, Check{Name: "keys", State: Failed, Detail: "not fetched"}, Check{Name: "forgotten"})
	res, text := ask(t, s, "GET", "/readyz", "")
	if res.status != 503 || strings.Contains(text, "keys") || !strings.Contains(text, "2 of 4 checks failed") {
		t.Errorf("without the token: %d %s", res.status, text)
	}
	res, text = ask(t, s, "GET", "/readyz", "", bearer)
	if res.status != 503 || res.header.Get("Content-Type") != "application/problem+json" ||
		!strings.Contains(text, `"checks":[{"name":"keys","state":"failed","detail":"not fetched"},{"name":"forgotten","state":""}]`) {
		t.Errorf("got %d %s", res.status, text)
	}
	if _, text := ask(t, s, "GET", "/readyz?verbose", "", bearer); !strings.Contains(text, `"redis"`) {
		t.Errorf("verbose leaves good ones out: %s", text)
	}
	if res, _ := ask(t, s, "GET", "/livez", ""); res.status != 200 {
		t.Error("not ready is not dead")
	}
}

func TestDashboardPolicy(t *testing.T) {
	const script = `window.FLAG_ROOT_PATH="/asynqmon"`
	s := start(t, func(o *Options) {
		o.Asynqmon = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/asynqmon/api/queues":
				_, _ = io.WriteString(w, `{"queues":[]}`)
			case "/asynqmon/static/logo.svg":
				_, _ = io.WriteString(w, `<svg xmlns="http://www.w3.org/2000/svg"/>`)
			default:
				_, _ = io.WriteString(w, "<!doctype html><script>"+script+"</script>")
			}
		})
	})
	sum := sha256.Sum256([]byte(script))
	res, _ := ask(t, s, "GET", "/asynqmon", "", bearer)
	policy := res.header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "script-src 'self' 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") ||
		!strings.Contains(policy, "frame-ancestors 'none'") || len(res.header.Values("Content-Security-Policy")) != 1 {
		t.Errorf("the policy is %q", res.header.Values("Content-Security-Policy"))
	}
	for target, kind := range map[string]string{
		"/asynqmon/api/queues": "application/json", "/asynqmon/static/logo.svg": "image/svg+xml", "/asynqmon/queues/a.svg": "text/html; charset=utf-8",
	} {
		if res, _ := ask(t, s, "GET", target, "", bearer); res.header.Get("Content-Type") != kind {
			t.Errorf("%s is %q", target, res.header.Get("Content-Type"))
		}
	}
}

func TestPanicIsAnsweredAndContained(t *testing.T) {
	s := start(t, func(o *Options) {
		o.Metrics = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret") })
	})
	for range 2 {
		if res, text := ask(t, s, "GET", "/metrics", "", bearer); res.status != 500 || strings.Contains(text, "secret") {
			t.Fatalf("got %d %s", res.status, text)
		}
	}
}

// TestStopEndsProfiles: a profile of half a minute must not hold up the end.
func TestStopEndsProfiles(t *testing.T) {
	entered := make(chan struct{})
	s := start(t, func(o *Options) {
		o.Metrics = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(entered)
			<-r.Context().Done()
		})
	})
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: admin\r\n"+bearer+"\r\n\r\n")
	<-entered
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}
