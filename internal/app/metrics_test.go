package app_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/internal/app"
	"headgate/internal/obs"
	"headgate/internal/testenv"
)

// scraped are the values of one scrape, by name and labels.
type scraped map[string]float64

func (r *rig) scrape(t *testing.T, a *app.App) scraped {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.AdminAddr()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+os.Getenv("HEADGATE_ADMIN_TOKEN"))
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d, %v\n%s", resp.StatusCode, err, text)
	}
	out := scraped{}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseFloat(value, 64); ok && err == nil {
			out[name] = n
		}
	}
	return out
}

// names gives the figures of ours, without what histograms add to theirs.
func (s scraped) names() map[string]bool {
	out := map[string]bool{}
	series := regexp.MustCompile(`^(headgate_[a-z0-9_]*?)(_bucket|_sum|_count)?(\{.*)?$`)
	for key := range s {
		if found := series.FindStringSubmatch(key); found != nil {
			out[found[1]] = true
		}
	}
	return out
}

// sum adds up what has all of these labels.
func (s scraped) sum(name string, labels ...string) (total float64) {
	for key, n := range s {
		if head, tail, _ := strings.Cut(key, "{"); head == name && !slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(tail, l) }) {
			total += n
		}
	}
	return total
}

// join starts one more process with the same files.
func (r *rig) join(t *testing.T, role app.Role) *app.App {
	t.Helper()
	a, err := app.New(t.Context(), app.Options{
		ConfigPath: filepath.Join(r.dir, "headgate.yaml"), Role: role, Log: slog.New(slog.DiscardHandler), Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a
}

// seldom are figures that exist once something out of the ordinary has happened.
var seldom = []string{
	"headgate_refused_total",   // there was no room
	"headgate_callbacks_total", // a backend called back
	"headgate_repairs_total",   // a task or a process was lost
	"headgate_batch_records",   // a target takes batches
}

// Gateways and workers tell the same of the fleet; what happened is told by those to whom it
// happened, once; and the reference lists all of it, and nothing else.
func TestMetricsOfAFleet(t *testing.T) {
	server := testenv.Redis(t, testenv.WithConf("maxmemory", "1000000000"))
	metricsOfAFleet(t, newRigOn(t, "url: "+server.URL(), func(t testing.TB) redis.UniversalClient { return server.Client(t) }, giveUpSoon))
}

func metricsOfAFleet(t *testing.T, r *rig) {
	r.start(t)
	gateway, worker := r.join(t, app.RoleGateway), r.join(t, app.RoleWorker)
	apps := []*app.App{r.App, gateway, worker}
	resume := r.pauseCRM(t)
	const posts = 5
	ids := make([]string, posts)
	began := time.Now()
	for i := range ids {
		var err error
		if ids[i], err = r.post(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	least := time.Since(began).Seconds()
	for i, a := range apps {
		testenv.Eventually(t, 20*time.Second, func() bool {
			s := r.scrape(t, a)
			age := s[`headgate_oldest_pending_age_seconds{target="crm"}`]
			return s["headgate_redis_up"] == 1 && s["headgate_workers"] == 2 && s[`headgate_target_paused{target="crm"}`] == 1 &&
				s[`headgate_target_paused{target="billing"}`] == 0 && s[`headgate_target_draining{target="crm"}`] == 0 &&
				s[`headgate_pending_deliveries{target="crm"}`] == posts && s[`headgate_open_deliveries{target="crm"}`] == posts &&
				age >= least && age < time.Since(began).Seconds()+1 && s[`headgate_pending_deliveries{target="billing"}`] == 0 &&
				s.sum("headgate_redis_memory_used_bytes") > 1<<16 && s.sum("headgate_redis_memory_bound_bytes") == 0.9*s.sum("headgate_redis_memory_max_bytes")
		}, fmt.Sprintf("process %d does not tell of the backlog", i))
	}
	r.cancel(t, ids[0])
	resume()
	for _, id := range ids[1:] {
		if _, err := r.await(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	r.died(t, 100)
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all []scraped
	testenv.Eventually(t, 20*time.Second, func() bool {
		all = nil
		for _, a := range apps {
			all = append(all, r.scrape(t, a))
		}
		return all[0][`headgate_dead_letters{target="crm"}`] == 1 && all[1][`headgate_dead_letters{target="crm"}`] == 1 && all[0].sum("headgate_open_deliveries") == 0
	}, "the dead letter is not told of")
	total := func(name string, labels ...string) (out float64) {
		for _, s := range all {
			out += s.sum(name, labels...)
		}
		return out
	}
	if n := total("headgate_deliveries_total"); n != 5*(posts+1) {
		t.Errorf("%v deliveries have ended, want %d", n, 5*(posts+1))
	}
	if n := all[0].sum("headgate_deliveries_total", `state="canceled"`, `target="crm"`); n != 1 {
		t.Errorf("%v deliveries to crm were canceled, want 1", n)
	}
	if n := total("headgate_deliveries_total", `state="failed"`, `reason="server_error"`, `target="crm"`); n != 1 {
		t.Errorf("%v deliveries to crm failed, want 1", n)
	}
	if n := all[0].sum("headgate_accept_duration_seconds_count"); n != posts+1 {
		t.Errorf("%v requests were accepted, want %d", n, posts+1)
	}
	if total("headgate_polls_total", `outcome="not_yet"`) == 0 || total("headgate_attempts_total", `outcome="retrying"`, `reason="server_error"`) == 0 {
		t.Error("attempts or polls are not told")
	}
	for i, s := range all {
		if s.sum("headgate_redis_duration_seconds_count", `kind="command"`) == 0 || s.sum("headgate_redis_duration_seconds_count", `kind="pipeline"`) == 0 ||
			s.sum("headgate_redis_pool_connections") == 0 || s["headgate_config_last_reload_successful"] != 1 || s.sum("headgate_build_info") != 1 {
			t.Errorf("process %d does not tell how it is", i)
		}
		// A look at empty queues is held for up to 5 s: what is held is no round trip.
		if slow := s.sum("headgate_redis_duration_seconds_count") - s.sum("headgate_redis_duration_seconds_bucket", `le="1"`); slow > 0 {
			t.Errorf("process %d tells of %v round trips of more than a second", i, slow)
		}
	}

	figures, err := obs.Figures()
	if err != nil {
		t.Fatal(err)
	}
	documented, seen := map[string]bool{}, map[string]bool{}
	for _, f := range figures {
		documented[f.Name] = true
	}
	for _, s := range all {
		maps.Copy(seen, s.names())
	}
	for name := range seen {
		if !documented[name] {
			t.Errorf("%s is not documented", name)
		}
	}
	for name := range documented {
		if !seen[name] && !slices.Contains(seldom, name) {
			t.Errorf("%s is documented, and not there", name)
		}
	}
}

func TestMetricsOfAFleetOnACluster(t *testing.T) {
	cluster := testenv.Cluster(t, false)
	settings, rdb := onCluster(cluster)
	metricsOfAFleet(t, newRigOn(t, settings, rdb, giveUpSoon))
}

// While Redis is away nothing old is told of the fleet.
func TestMetricsWithoutRedis(t *testing.T) {
	server := testenv.Redis(t, testenv.WithAOF())
	r := newRigOn(t, "url: "+server.URL(), func(t testing.TB) redis.UniversalClient { return server.Client(t) }, nil)
	r.start(t)
	if s := r.scrape(t, r.App); s["headgate_redis_up"] != 1 || s.sum("headgate_workers") != 1 {
		t.Fatalf("before: %v", s)
	}
	server.Kill()
	testenv.Eventually(t, 20*time.Second, func() bool { return r.scrape(t, r.App)["headgate_redis_up"] == 0 }, "it is not told that Redis is away")
	s := r.scrape(t, r.App)
	for name := range s.names() {
		for _, stale := range []string{"_open_deliveries", "_pending", "_oldest", "_waiting", "_dead_letters", "_workers", "_memory", "_target_"} {
			if strings.Contains(name, stale) {
				t.Errorf("%s is told", name)
			}
		}
	}
	if s.sum("headgate_redis_errors_total") == 0 || s.sum("headgate_breaker_state") != 0 || !s.names()["headgate_breaker_state"] {
		t.Error("what the process knows by itself is not told")
	}
	server.Restart()
	testenv.Eventually(t, 20*time.Second, func() bool {
		s := r.scrape(t, r.App)
		return s["headgate_redis_up"] == 1 && s.names()["headgate_open_deliveries"]
	}, "it is not told that Redis is back")
}
