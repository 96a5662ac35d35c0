package doctor

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/internal/flow"
	"headgate/internal/redisstore"
	"headgate/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Leaks(m) }

const planted = "planted-secret-that-nobody-prints"

// site is a folder of files with one target, and what they name.
type site struct {
	t       *testing.T
	dir     string
	redis   string // redis.url
	backend string // url of the target crm
	more    string // of the target
	auth    string // of the route file
	op      string // more of the operator's file
	o       Options
}

func (s *site) write(name, text string) string {
	s.t.Helper()
	file := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// examine writes the files and looks.
func (s *site) examine() []Finding { s.t.Helper(); return s.examineReading(s.dir) }

// examineReading is examine for route files that may read secrets below a folder.
func (s *site) examineReading(folder string) []Finding {
	s.t.Helper()
	s.t.Setenv("CRM_TOKEN", planted)
	s.t.Setenv("HEADGATE_ADMIN_TOKEN", planted)
	s.o.ConfigPath = s.write("headgate.yaml", "admin: {listen: \"127.0.0.1:1\", token: {env: HEADGATE_ADMIN_TOKEN}}\nredis: {url: \""+s.redis+"\"}\n"+
		"routes_may_read: {env: [CRM_TOKEN], files: ["+folder+"]}\n"+s.op)
	s.write("routes/r.yaml", s.auth+"targets:\n  crm:\n    url: "+s.backend+"\n    auth: {bearer: {env: CRM_TOKEN}}\n"+s.more+
		"    post: /contacts\nroutes:\n  - {name: r, match: POST /r, auth: none, targets: {crm: {}}}\n")
	found := Examine(s.t.Context(), s.o)
	for _, f := range found {
		if text := fmt.Sprint(f); strings.Contains(text, planted) {
			s.t.Errorf("it prints a secret: %s", text)
		}
	}
	return found
}

// wants reports whether there is a finding, and that it says what to do unless all is well.
func wants(t *testing.T, found []Finding, about string, state State, what string) {
	t.Helper()
	for _, f := range found {
		if f.About == about && f.State == state && strings.Contains(f.What, what) {
			if state == Problem && f.Do == "" {
				t.Errorf("%q does not say what to do", f.What)
			}
			return
		}
	}
	t.Errorf("no %s about %s with %q in:\n%s", state, about, what, list(found))
}

func list(found []Finding) string {
	var out strings.Builder
	for _, f := range found {
		fmt.Fprintf(&out, "%s %s: %s (%s)\n", f.About, f.State, f.What, f.Do)
	}
	return out.String()
}

func backend(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("a backend got %s %s", r.Method, r.URL) }))
	t.Cleanup(s.Close)
	return s.URL
}

// alive shows signs of life like a worker's until the test ends; the first when it returns.
func alive(t *testing.T, s *redisstore.Store) {
	t.Helper()
	if err := s.Beat(t.Context(), "LIVING00"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.Tick(100 * time.Millisecond); ctx.Err() == nil; <-tick {
			_ = s.Beat(ctx, "LIVING00")
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

func storeAt(t *testing.T, server *testenv.RedisServer) *redisstore.Store {
	t.Helper()
	rdb := server.Client(t)
	s := redisstore.New(rdb, rdb)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Where everything is well, nothing else is said.
func TestAllIsWell(t *testing.T) {
	server := testenv.Redis(t, testenv.WithAOF(), testenv.WithConf("maxmemory", "1gb"))
	alive(t, storeAt(t, server))
	process := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+planted {
			w.WriteHeader(http.StatusUnauthorized)
		}
		switch r.URL.Path {
		case "/livez":
			fmt.Fprintln(w, "ok")
		case "/readyz":
			fmt.Fprintln(w, "[ok] redis\nready")
		case "/metrics":
			fmt.Fprintln(w, `headgate_build_info{go_version="go1.26",version="v1.2.3"} 1`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(process.Close)
	s := site{t: t, dir: t.TempDir(), redis: server.URL(), backend: backend(t), o: Options{URLs: []string{process.URL}, Version: "v1.2.3"}}
	found := s.examine()
	for _, f := range found {
		if f.State != OK {
			t.Errorf("%s", list([]Finding{f}))
		}
	}
	for about, what := range map[string]string{
		"files": "1 route, 1 target", "redis": "answers in", "clocks": "agree", "workers": "1 worker process shows", "queues": "none paused",
		"targets": "is reached", "keys": "has its keys", "processes": "is ready, has this version",
	} {
		wants(t, found, about, OK, what)
	}
}

// What redis and its queues are in trouble with is told.
func TestTroubledRedis(t *testing.T) {
	server := testenv.Redis(t, testenv.WithConf("maxmemory-policy", "allkeys-lru"))
	rdb, store, ctx := server.Client(t), storeAt(t, server), t.Context()
	for _, step := range []error{
		store.Beat(ctx, "DEAD0000"),
		rdb.SAdd(ctx, "asynq:queues", "crm", "crm.bulk", "old.resume", "gone", "other").Err(),
		rdb.Set(ctx, "asynq:{crm}:paused", "1", 0).Err(),
		rdb.LPush(ctx, "asynq:{crm}:pending", "trk_1:crm:1").Err(),
		rdb.HSet(ctx, "asynq:{crm.bulk}:t:trk_2:crm:1", "pending_since", time.Now().Add(-3*time.Hour).UnixNano()).Err(),
		rdb.LPush(ctx, "asynq:{crm.bulk}:pending", "trk_2:crm:1").Err(),
		rdb.ZAdd(ctx, "asynq:{crm.bulk}:archived", row("trk_3:crm:1")).Err(),
		rdb.ZAdd(ctx, "asynq:{gone}:scheduled", row("x")).Err(),
		rdb.LPush(ctx, "asynq:{old.resume}:pending", "trk_4:old:2").Err(),
		rdb.HSet(ctx, "hg:{07}:open", "old:5f2b6a7c0d9e4f1a", 3).Err(),
		redisstore.NewFlow(rdb).Order(ctx, "crm", flow.Order{Mode: flow.Halted, Note: "release of the CRM"}),
		redisstore.NewFlow(rdb).Trip(ctx, "old", "w", time.Hour, time.Hour),
		rdb.ZAdd(ctx, "hg:{09}:dead", row("trk_5:crm")).Err(),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	s := site{t: t, dir: t.TempDir(), redis: server.URL() + `", max_memory: "500KB`, backend: backend(t), o: Options{Each: 4 * time.Second}}
	found := s.examine()
	wants(t, found, "redis", Problem, "evicts keys")
	wants(t, found, "redis", Warning, "no append-only file")
	wants(t, found, "redis", Problem, "is full")
	wants(t, found, "workers", Problem, "no worker shows a sign of life")
	wants(t, found, "workers", Warning, "1 worker process went without leaving")
	wants(t, found, "queues", Problem, "queue crm is paused in asynq, by hand: none of its 1 task")
	wants(t, found, "queues", Warning, "queue crm.bulk holds 1 task that was archived")
	wants(t, found, "queues", Warning, "queue crm.bulk has a task that has waited for 3h0m")
	wants(t, found, "queues", Warning, "queue gone belongs to no target and holds 1 task")
	wants(t, found, "queues", Warning, "target old has left the files and has 3 deliveries under way")
	wants(t, found, "queues", Warning, "target crm is paused (release of the CRM)")
	wants(t, found, "queues", Warning, "breaker of target old is open")
	wants(t, found, "queues", Warning, "1 delivery gave up")
	for _, f := range found {
		if strings.Contains(f.What, "queue other") || strings.Contains(f.What, "queue old.resume belongs") {
			t.Errorf("%s", list([]Finding{f}))
		}
	}
}

// With Redis away, or hanging, the rest is said all the same, and in time.
func TestRedisAway(t *testing.T) {
	server := testenv.Redis(t)
	s := site{t: t, dir: t.TempDir(), redis: server.URL(), backend: backend(t), o: Options{Each: 2 * time.Second}}
	for _, c := range []struct {
		name string
		harm func()
	}{{"hangs", server.Pause}, {"refuses", server.Kill}} {
		name := c.name
		c.harm()
		began := time.Now()
		found := s.examine()
		if took := time.Since(began); took > 2*s.o.Each {
			t.Errorf("%s: it took %s", name, took)
		}
		wants(t, found, "redis", Problem, "does not answer")
		wants(t, found, "queues", Warning, "not looked at")
		wants(t, found, "targets", OK, "is reached")
		wants(t, found, "keys", OK, "has its keys")
		said := 0
		for _, f := range found {
			if f.About == "queues" {
				said++
			}
		}
		if said != 1 {
			t.Errorf("%s: queues are spoken of %d times:\n%s", name, said, list(found))
		}
	}
}

// A user that may too little is told how to get it, and with that all is well.
func TestForbiddenByRedis(t *testing.T) {
	server := testenv.Redis(t, testenv.WithAOF(), testenv.WithConf("maxmemory", "1gb"))
	rdb := server.Client(t)
	if err := rdb.Do(t.Context(), "ACL", "SETUSER", "gate", "on", ">"+planted, "~hg:*", "&hg:*", "+@all", "-@dangerous", "+info", "-eval").Err(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("REDIS_PASSWORD", planted)
	s := site{t: t, dir: t.TempDir(), redis: server.URL() + `", username: gate, password: {env: REDIS_PASSWORD}, max_memory: "90%`, backend: backend(t)}
	found := s.examine()
	wants(t, found, "redis", Problem, "scripts that write to hg:*")
	grant := ""
	for _, f := range found {
		if _, after, ok := strings.Cut(f.Do, " ACL SETUSER "); ok {
			grant = after
		}
	}
	words := strings.Fields(strings.ReplaceAll(grant, "'", ""))
	if len(words) < 5 || words[0] != "gate" {
		t.Fatalf("it says to grant %q", grant)
	}
	args := []any{"ACL", "SETUSER"}
	for _, w := range words {
		args = append(args, w)
	}
	if err := rdb.Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(err)
	}
	for _, f := range s.examine() {
		if f.About == "redis" && f.State != OK {
			t.Errorf("with what it said to grant: %s", list([]Finding{f}))
		}
	}
}

// What a running process has otherwise is told by the names of keys, never their values.
func TestProcessesThatDiffer(t *testing.T) {
	server := testenv.Redis(t, testenv.WithAOF())
	answers := map[string]string{
		"/livez": "ok", "/readyz": "[ok] redis\n[warning] secret env X: it is not set\nready",
		"/metrics": `headgate_build_info{version="v9",go_version="go1"} 1`,
		"/config":  `{"config":{"listen":":9999","limits":{"max_wait":"1s"}},"targets":[{"name":"crm","plan":"other"},{"name":"new","plan":"x"}]}`,
	}
	var status int
	process := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" && status != 0 {
			w.WriteHeader(status)
		}
		fmt.Fprint(w, answers[r.URL.Path])
	}))
	t.Cleanup(process.Close)
	s := site{t: t, dir: t.TempDir(), redis: server.URL(), backend: backend(t), o: Options{URLs: []string{process.URL + "/"}, Version: "v1", Each: 2 * time.Second}}
	found := s.examine()
	wants(t, found, "processes", Warning, "has version v9, this is v1")
	wants(t, found, "processes", Warning, "limits.max_wait, listen, target crm, target new")
	wants(t, found, "processes", Warning, "says: secret env X")

	status = http.StatusUnauthorized
	wants(t, s.examine(), "processes", Warning, "does not take the admin token")
	status = http.StatusTooManyRequests
	wants(t, s.examine(), "processes", Warning, "does not listen to this address")
	status, answers["/readyz"] = http.StatusServiceUnavailable, `{"checks":[{"name":"redis","state":"failed","detail":"redis does not answer"},{"name":"x","state":"ok"}]}`
	found = s.examine()
	wants(t, found, "processes", Problem, "is not ready (503)")
	wants(t, found, "processes", Problem, "says of redis: redis does not answer")
	s.o.URLs = []string{"http://127.0.0.1:1"}
	wants(t, s.examine(), "processes", Warning, "does not answer: connect: connection refused")
}

// Files with problems are told with their places; of Redis only what is sure.
func TestBadFiles(t *testing.T) {
	server := testenv.Redis(t)
	s := site{t: t, dir: t.TempDir(), redis: server.URL(), backend: backend(t), more: "    pots: /x\n", o: Options{Each: 2 * time.Second}}
	found := s.examine()
	wants(t, found, "files", Problem, "r.yaml:5:5: ")
	wants(t, found, "redis", OK, "answers in")
	s.op = "lisen: x\n"
	found = s.examine()
	wants(t, found, "files", Problem, "headgate.yaml:4:1: ")
	wants(t, found, "redis", Warning, "it is not known which one")
}

func TestSecretsThatAreMissing(t *testing.T) {
	server := testenv.Redis(t)
	s := site{t: t, dir: t.TempDir(), redis: server.URL(), backend: "https://127.0.0.1:1", o: Options{Each: 2 * time.Second}}
	s.more = "    tls: {ca: {file: " + filepath.Join(s.dir, "none.pem") + "}}\n"
	found := s.examine()
	wants(t, found, "files", Warning, "target crm: ")
	wants(t, found, "targets", Warning, "is not tried: ")
}

func row(name string) redis.Z { return redis.Z{Score: float64(time.Now().UnixMilli()), Member: name} }

// An embedded Redis is its process's own: nobody starts another one to look at it.
func TestEmbeddedRedis(t *testing.T) {
	s := site{t: t, dir: t.TempDir(), redis: "embedded", backend: backend(t), o: Options{Each: 2 * time.Second}}
	found := s.examine()
	wants(t, found, "redis", OK, "it is embedded in its process")
	wants(t, found, "targets", OK, "is reached")
	for _, f := range found {
		if f.About == "queues" || f.About == "workers" || f.State == Problem {
			t.Errorf("%s", list([]Finding{f}))
		}
	}
}

// Of a cluster each master is spoken of, and one that is away is named.
func TestCluster(t *testing.T) {
	cluster := testenv.Cluster(t, false, testenv.WithConf("cluster-require-full-coverage", "no"), testenv.WithConf("maxmemory", "1gb"))
	s := site{t: t, dir: t.TempDir(), redis: cluster.URL(), backend: backend(t), o: Options{Each: 3 * time.Second}}
	found := s.examine()
	for _, m := range cluster.Masters {
		wants(t, found, "redis", OK, "at "+m.Addr()+" answers in")
		wants(t, found, "redis", Warning, "redis "+m.Addr()+" has no replica")
	}
	wants(t, found, "queues", OK, "0 queues")
	cluster.Masters[1].Kill()
	began := time.Now()
	found = s.examine()
	if took := time.Since(began); took > 2*s.o.Each {
		t.Errorf("it took %s", took)
	}
	wants(t, found, "redis", Problem, "a part of the cluster does not work: "+cluster.Masters[1].Addr())
	wants(t, found, "redis", OK, "at "+cluster.Masters[2].Addr()+" answers in")
	wants(t, found, "targets", OK, "is reached")
}
