package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
	"headgate/examples/quickstart"
	"headgate/gateway"
	"headgate/internal/app"
	"headgate/internal/simulate"
	"headgate/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Leaks(m) }

// rig is the quickstart example on a real Redis with simulated backends.
type rig struct {
	*app.App
	backends *simulate.Server
	rdb      func(testing.TB) redis.UniversalClient // of the same Redis
	dir      string
	token    string
	client   *http.Client
	level    slog.LevelVar // of its log
}

// newRig starts it. edit changes the route file before it is read.
func newRig(t *testing.T, edit func(routes string) string, options ...testenv.Option) *rig {
	t.Helper()
	server := testenv.Redis(t, options...)
	return newRigOn(t, "url: "+server.URL(), func(t testing.TB) redis.UniversalClient { return server.Client(t) }, edit)
}

// newRigOn takes what stands below `redis` in the operator's file.
func newRigOn(t *testing.T, settings string, rdb func(testing.TB) redis.UniversalClient, edit func(routes string) string) *rig {
	t.Helper()
	r := &rig{dir: t.TempDir(), rdb: rdb, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	t.Cleanup(r.client.CloseIdleConnections)
	backends := []*simulate.Backend{
		simulate.NewSync("crm"),
		simulate.NewSendGrid(simulate.SendGridOptions{Name: "newsletter", PollsUntilDone: 2}),
		simulate.NewEloqua(simulate.EloquaOptions{Name: "marketing", PollsUntilDone: 2}),
		simulate.NewFlaky("analytics", 2, time.Second),
		simulate.NewRejecting("billing"),
	}
	var err error
	if r.backends, err = simulate.Start("127.0.0.1:0", backends...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.backends.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := os.CopyFS(r.dir, quickstart.Files); err != nil {
		t.Fatal(err)
	}
	r.rewrite(t, "headgate.yaml", func(s string) string { return strings.Replace(s, "url: embedded", settings, 1) })
	r.rewrite(t, "routes/profiles.yaml", func(s string) string {
		s = strings.Replace(s, "limit: 100,", "limit: 1000000,", 1)
		if edit != nil {
			s = edit(s)
		}
		return s
	})
	for name, value := range map[string]string{
		"BACKENDS_URL": "http://" + r.backends.Addr(), "MOBILE_JWT_KEY": strings.Repeat("k", 32), "CRM_TOKEN": "c",
		"NEWSLETTER_KEY": "n", "MARKETING_PASSWORD": "m", "HEADGATE_ADMIN_TOKEN": "admin",
	} {
		t.Setenv(name, value)
	}
	return r
}

func (r *rig) rewrite(t *testing.T, name string, edit func(string) string) {
	t.Helper()
	path := filepath.Join(r.dir, name)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(edit(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) start(t *testing.T, change ...func(*app.Options)) {
	t.Helper()
	o := app.Options{
		ConfigPath: filepath.Join(r.dir, "headgate.yaml"), Role: app.RoleAll, Log: slog.New(slog.DiscardHandler), Level: &r.level,
		Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0",
	}
	for _, f := range change {
		f(&o)
	}
	var err error
	r.App, err = app.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := r.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	signer := r.Table().Authenticators()["mobile"].(interface {
		Sign(claims map[string]any, ttl time.Duration) (string, error)
	})
	if r.token, err = signer.Sign(map[string]any{"sub": "alice", "org": "acme", "scope": "profiles:write"}, time.Hour); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) do(ctx context.Context, method, path, body string, header ...string) (status int, text []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+r.Addr()+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err = io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

// post sends a profile and gives its tracking ID.
func (r *rig) post(ctx context.Context, id int) (string, error) {
	body := fmt.Sprintf(`{"email":"User%d@Example.com","first":"A","last":"B","consent":true,"balance":1.10}`, id)
	status, text, err := r.do(ctx, http.MethodPost, fmt.Sprintf("/profiles/%d", id), body, "Idempotency-Key", fmt.Sprint("key-", id))
	if err != nil {
		return "", err
	}
	var accepted struct {
		ID string `json:"tracking_id"`
	}
	if err := json.Unmarshal(text, &accepted); err != nil || status != http.StatusAccepted {
		return "", fmt.Errorf("%d: %s", status, text)
	}
	return accepted.ID, nil
}

// await follows a dispatch to its end. Like a client, it asks again when it is told to:
// Redis may have stood still for a moment.
func (r *rig) await(ctx context.Context, id string) (*gateway.TrackingView, error) {
	for {
		status, text, err := r.do(ctx, http.MethodGet, "/tracking/"+id, "", "Prefer", "wait=20")
		if err != nil {
			return nil, err
		}
		if status == http.StatusServiceUnavailable {
			select {
			case <-ctx.Done():
				return nil, fmt.Errorf("%w: %s", ctx.Err(), text)
			case <-time.After(100 * time.Millisecond):
				continue
			}
		}
		view := new(gateway.TrackingView)
		if err := json.Unmarshal(text, view); err != nil || status != http.StatusOK {
			return nil, fmt.Errorf("%d: %s", status, text)
		}
		if view.Status != tracking.InProgress {
			return view, nil
		}
	}
}

// want is how each target of the example ends.
var want = map[string]tracking.State{
	"crm": tracking.Succeeded, "newsletter": tracking.Succeeded, "marketing": tracking.Warned,
	"analytics": tracking.Succeeded, "billing": tracking.Rejected,
}

// Many requests at once: every dispatch ends, every backend has seen each key, nothing
// was sent twice, and when all is over no row and no task is left.
func TestManyRequestsAtOnce(t *testing.T) { manyRequestsAtOnce(t, newRig(t, nil)) }

func manyRequestsAtOnce(t *testing.T, r *rig) {
	requests, atOnce := 2000, 64
	if testing.Short() {
		requests = 200
	}
	r.start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	ids := make([]string, requests)
	each(atOnce, requests, func(i int) {
		var err error
		if ids[i], err = r.post(ctx, i); err != nil {
			t.Error(err)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	each(atOnce, requests, func(i int) {
		view, err := r.await(ctx, ids[i])
		if err != nil {
			t.Error(err)
			return
		}
		for _, target := range view.Targets {
			if target.Value.State != want[target.Name] {
				t.Errorf("%s %s: %s (%s %s), want %s", ids[i], target.Name, target.Value.State, target.Value.Reason, target.Value.Message, want[target.Name])
			}
		}
	})
	for name := range want {
		stats := r.backends.Backend(name).Stats()
		keys := requests
		if name == "marketing" {
			keys = 3 * requests // define, upload, sync
		}
		if stats.UniqueKeys != keys || stats.Duplicates != 0 {
			t.Errorf("%s: %d unique keys (want %d), %d duplicates", name, stats.UniqueKeys, keys, stats.Duplicates)
		}
	}
	r.nothingLeft(t)
}

// nothingLeft checks that no index and no queue of ours holds anything. A run applies its
// outcome before asynq puts its task away; one that met an error of Redis meanwhile is
// looked at again by asynq after up to 15 s, and by the reconciler after 12.
func (r *rig) nothingLeft(t *testing.T) {
	t.Helper()
	r.empty(t, "hg:*:due", "hg:*:running", "hg:*:queued:*", "hg:*:open", "hg:*:tenants", "asynq:{*}:pending", "asynq:{*}:scheduled", "asynq:{*}:retry", "asynq:{*}:archived")
}

// empty waits until there is no key of these patterns.
func (r *rig) empty(t *testing.T, patterns ...string) {
	t.Helper()
	rdb := r.rdb(t)
	for _, pattern := range patterns {
		testenv.Eventually(t, time.Minute, func() bool {
			keys, err := keysOf(t.Context(), rdb, pattern)
			return err == nil && len(keys) == 0
		}, "keys are left: "+pattern)
	}
}

// keysOf lists keys, of all nodes when there are several.
func keysOf(ctx context.Context, rdb redis.UniversalClient, pattern string) (out []string, err error) {
	var mu sync.Mutex
	list := func(ctx context.Context, rdb *redis.Client) error {
		keys, err := rdb.Keys(ctx, pattern).Result()
		mu.Lock()
		defer mu.Unlock()
		out = append(out, keys...)
		return err
	}
	switch rdb := rdb.(type) {
	case *redis.ClusterClient:
		err = rdb.ForEachMaster(ctx, list)
	case *redis.Client:
		err = list(ctx, rdb)
	}
	return out, err
}

// each runs f for 0…n-1, at most atOnce at a time.
func each(atOnce, n int, f func(i int)) {
	next := make(chan int)
	var running sync.WaitGroup
	for range atOnce {
		running.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	running.Wait()
}
