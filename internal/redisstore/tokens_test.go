package redisstore

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"headgate/config/secret"
	"headgate/config/yamlsrc"
	"headgate/dispatch/fault"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

func TestTokens(t *testing.T) {
	server, mini, cluster := testenv.Redis(t), miniredis.RunT(t), testenv.Cluster(t, false).Addrs()
	for name, o := range map[string]Options{
		"redis":                  {Network: "tcp", Addr: server.Addr(), AutoPipeline: true},
		"emulation":              {Network: "tcp", Addr: mini.Addr(), AutoPipeline: true},
		"cluster":                {Cluster: cluster},
		"cluster, auto-pipeline": {Cluster: cluster, AutoPipeline: true},
	} {
		t.Run(name, func(t *testing.T) {
			_, conn := open(t, o)
			tokens, ctx := NewTokens(conn.Shared), t.Context()
			is := func(name, want string) {
				t.Helper()
				got, left, err := tokens.Get(ctx, name)
				if err != nil || string(got) != want || (left > 0) != (want != "") || left > time.Minute {
					t.Errorf("%s is %q for %s (%v), want %q", name, got, left, err, want)
				}
			}
			for _, name := range []string{"a", "b", strings.ReplaceAll(t.Name(), "/", "")} { // in slots of their own
				is(name, "")
				must(t, tokens.Put(ctx, name, []byte("first\x00\xff"), time.Minute))
				is(name, "first\x00\xff")
				must(t, tokens.Put(ctx, name, []byte("second"), time.Minute))
				must(t, tokens.Drop(ctx, name, []byte("first\x00\xff")))
				is(name, "second")
				must(t, tokens.Drop(ctx, name, []byte("second")))
				is(name, "")
				must(t, tokens.Drop(ctx, name, []byte("second")))

				unlock, ok, err := tokens.Lock(ctx, name, time.Minute)
				if !ok || err != nil {
					t.Fatalf("not locked: %v", err)
				}
				if _, ok, err := tokens.Lock(ctx, name, time.Minute); ok || err != nil {
					t.Errorf("locked twice: %v", err)
				}
				// It was taken over: the end of the first is not the end of the second.
				must(t, conn.Base.Del(ctx, tokenLockKey(name)).Err())
				second, ok, err := tokens.Lock(ctx, name, time.Minute)
				if !ok || err != nil {
					t.Fatalf("not locked again: %v", err)
				}
				unlock()
				if _, ok, _ := tokens.Lock(ctx, name, time.Minute); ok {
					t.Error("the end of one lock ended another")
				}
				second()
				stopped, stop := context.WithCancel(ctx)
				third, ok, err := tokens.Lock(stopped, name, time.Minute)
				if !ok || err != nil {
					t.Fatalf("the lock was not ended: %v", err)
				}
				stop()
				third()
				if fourth, ok, _ := tokens.Lock(ctx, name, time.Minute); !ok {
					t.Error("a run that was stopped keeps its lock")
				} else {
					fourth()
				}
			}
		})
	}
}

// A value without an end stays, and is replaced and dropped like any other.
func TestTokensWithoutAnEnd(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	tokens, ctx := NewTokens(rdb), t.Context()
	must(t, tokens.Put(ctx, "a", []byte("x"), time.Minute))
	must(t, tokens.Put(ctx, "a", []byte("y"), 0))
	if got, left, err := tokens.Get(ctx, "a"); err != nil || string(got) != "y" || left > 0 {
		t.Errorf("%q for %s (%v)", got, left, err)
	}
	if ttl, err := rdb.TTL(ctx, tokenKey("a")).Result(); err != nil || ttl >= 0 {
		t.Errorf("it ends after %s (%v)", ttl, err)
	}
	must(t, tokens.Drop(ctx, "a", []byte("y")))
	if got, _, err := tokens.Get(ctx, "a"); err != nil || got != nil {
		t.Errorf("%q is left (%v)", got, err)
	}
}

func TestTokensEnd(t *testing.T) {
	tokens, ctx := NewTokens(testenv.Redis(t).Client(t)), t.Context()
	must(t, tokens.Put(ctx, "a", []byte("x"), 50*time.Millisecond))
	if _, ok, err := tokens.Lock(ctx, "a", 50*time.Millisecond); !ok || err != nil {
		t.Fatalf("not locked: %v", err)
	}
	testenv.Eventually(t, patience, func() bool { got, _, err := tokens.Get(ctx, "a"); return err == nil && got == nil }, "the token does not end")
	testenv.Eventually(t, patience, func() bool { _, ok, _ := tokens.Lock(ctx, "a", time.Minute); return ok }, "the lock does not end")
}

// issuer is a token server and a backend that takes its newest token only.
type issuer struct {
	*httptest.Server
	asked  atomic.Int32
	life   atomic.Value // text of expires_in
	broken atomic.Bool
	taken  atomic.Value // the token that the backend takes; empty: the newest
}

const plantedSecret = "planted-client-secret"

func newIssuer(t *testing.T) *issuer {
	i := &issuer{}
	i.life.Store("600")
	i.taken.Store("")
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			n := i.asked.Add(1)
			if i.broken.Load() {
				w.WriteHeader(http.StatusInternalServerError)
			}
			_, _ = fmt.Fprintf(w, `{"access_token": "planted-token-%d", "expires_in": %s}`, n, i.life.Load())
			return
		}
		if taken := i.taken.Load().(string); taken != "" && r.Header.Get("Authorization") != "Bearer "+taken {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) plan(t *testing.T) *target.Plan {
	t.Helper()
	t.Setenv("CRM_SECRET", plantedSecret)
	var report yamlsrc.Report
	n := yamlsrc.Parse("t.yaml", []byte("url: "+i.URL+"\npost: /x\nauth: {oauth2: {token_url: "+i.URL+"/token, client_id: a, client_secret: {env: CRM_SECRET}}}"), &report)
	p := target.Compile("crm", n, secret.Access{Env: []string{"CRM_*"}}, &report)
	must(t, report.Err())
	return p
}

// worker is what a process has of its own.
func worker(t *testing.T, tokens target.Tokens) *target.Engine {
	e := target.NewEngine(target.Outgoing{Tokens: tokens}, nil)
	t.Cleanup(e.Close)
	return e
}

func send(t *testing.T, e *target.Engine, p *target.Plan) tracking.Event {
	return e.Run(t.Context(), p, target.Input{Tracking: "trk_1", Payload: []byte(`{}`), Now: time.Now(), AcceptedAt: time.Now()})
}

func concluded(t *testing.T, event tracking.Event) {
	t.Helper()
	if _, ok := event.(tracking.Concluded); !ok {
		t.Errorf("%T %+v", event, event)
	}
}

func turnedAway(t *testing.T, event tracking.Event) {
	t.Helper()
	got, ok := event.(tracking.AttemptFailed)
	if !ok || got.Fault.Reason != fault.Auth || !got.Fault.Retry || got.Final {
		t.Errorf("%T %+v", event, event)
	}
}

// sealedOnly looks for secrets in everything that Redis holds.
func sealedOnly(t *testing.T, rdb redis.UniversalClient, wantKeys int) {
	t.Helper()
	keys, err := rdb.Keys(t.Context(), "*").Result()
	must(t, err)
	if len(keys) != wantKeys {
		t.Errorf("%d keys, want %d: %v", len(keys), wantKeys, keys)
	}
	for _, key := range keys {
		value, err := rdb.Get(t.Context(), key).Result()
		must(t, err)
		if text := key + value; strings.Contains(text, "planted") || !strings.HasPrefix(key, prefix+"token:") {
			t.Errorf("%s holds %q", key, value)
		}
	}
}

func TestWorkersShareOneToken(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	i := newIssuer(t)
	p := i.plan(t)
	workers := []*target.Engine{worker(t, NewTokens(rdb)), worker(t, NewTokens(rdb))}
	var all sync.WaitGroup
	for range 10 {
		for _, w := range workers {
			all.Go(func() { concluded(t, send(t, w, p)) })
		}
	}
	all.Wait()
	if n := i.asked.Load(); n != 1 {
		t.Errorf("%d tokens asked for", n)
	}
	sealedOnly(t, rdb, 1)

	// The token is withdrawn: each worker finds out by one attempt, one of them fetches.
	i.taken.Store("planted-token-2")
	for _, w := range workers {
		turnedAway(t, send(t, w, p))
		concluded(t, send(t, w, p))
	}
	if n := i.asked.Load(); n != 2 {
		t.Errorf("%d tokens asked for after one was withdrawn, want 2", n)
	}
	concluded(t, send(t, worker(t, NewTokens(rdb)), p)) // a worker that starts now
	if n := i.asked.Load(); n != 2 {
		t.Errorf("a new worker asked for its own token: %d", n)
	}
	sealedOnly(t, rdb, 1)
}

// Workers follow a token server that takes each refresh token once.
func TestWorkersFollowRefreshTokens(t *testing.T) {
	t.Setenv("CRM_SECRET", "planted-refresh-0")
	var mu sync.Mutex
	n, refused := 0, 0
	i := newIssuer(t)
	i.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case r.URL.Path != "/token":
		case r.FormValue("refresh_token") != fmt.Sprintf("planted-refresh-%d", n):
			refused++
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error": "invalid_grant"}`))
		default:
			n++ // a token without a life: each call takes another one
			_, _ = fmt.Fprintf(w, `{"access_token": "planted-token-%d", "expires_in": 0, "refresh_token": "planted-refresh-%d"}`, n, n)
		}
	})
	var report yamlsrc.Report
	node := yamlsrc.Parse("t.yaml", []byte("url: "+i.URL+"\npost: /x\nauth: {oauth2: {grant: refresh_token, token_url: "+i.URL+"/token, client_id: a, refresh_token: {env: CRM_SECRET}}}"), &report)
	p := target.Compile("crm", node, secret.Access{Env: []string{"CRM_*"}}, &report)
	must(t, report.Err())
	rdb := testenv.Redis(t).Client(t)
	workers := []*target.Engine{worker(t, NewTokens(rdb)), worker(t, NewTokens(rdb)), worker(t, NewTokens(rdb))}
	var all sync.WaitGroup
	for _, w := range workers {
		all.Go(func() {
			for range 5 {
				concluded(t, send(t, w, p))
			}
		})
	}
	all.Wait()
	if n != 15 || refused != 0 {
		t.Errorf("%d were taken and %d refused, want 15 and none", n, refused)
	}
	sealedOnly(t, rdb, 1)
}

func TestSharedTokenExpires(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	i := newIssuer(t)
	i.life.Store("0.5")
	p, w := i.plan(t), worker(t, NewTokens(rdb))
	concluded(t, send(t, w, p))
	testenv.Eventually(t, patience, func() bool { concluded(t, send(t, w, p)); return i.asked.Load() > 1 }, "the token is used for ever")
}

// dying is a worker that is killed while it fetches a token: its lock stays.
type dying struct{ *Tokens }

func (d dying) Lock(ctx context.Context, name string, _ time.Duration) (unlock func(), ok bool, err error) {
	_, ok, err = d.Tokens.Lock(ctx, name, 400*time.Millisecond)
	return func() {}, ok, err
}

func TestTokenLockIsLost(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	i := newIssuer(t)
	i.broken.Store(true)
	p := i.plan(t)
	if got, ok := send(t, worker(t, dying{NewTokens(rdb)}), p).(tracking.AttemptFailed); !ok || got.Fault.Reason != fault.ServerError || strings.Contains(got.Fault.Error(), "planted") {
		t.Fatalf("%+v", got)
	}
	i.broken.Store(false)
	concluded(t, send(t, worker(t, NewTokens(rdb)), p))
	if n := i.asked.Load(); n != 2 {
		t.Errorf("%d tokens asked for", n)
	}
	sealedOnly(t, rdb, 1)
}

// Without Redis a worker goes on with tokens of its own.
func TestTokensWithoutRedis(t *testing.T) {
	server := testenv.Redis(t)
	i := newIssuer(t)
	p, w := i.plan(t), worker(t, NewTokens(server.Client(t)))
	server.Kill()
	for range 2 {
		concluded(t, send(t, w, p))
	}
	if n := i.asked.Load(); n != 1 {
		t.Errorf("%d tokens asked for", n)
	}
}
