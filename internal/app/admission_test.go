package app_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/dispatch/tracking"
	"headgate/internal/flow"
	"headgate/internal/redisstore"
	"headgate/internal/testenv"
)

// crmOnly leaves one target of the example's route, with these limits.
func crmOnly(limits string) func(string) string {
	return func(s string) string {
		head, rest, _ := strings.Cut(s, "      newsletter:\n        when:")
		_, tail, _ := strings.Cut(rest, "    done_when: all")
		s = strings.Replace(head, ", schema: schemas/profile.json", "", 1) + "    done_when: all" + tail
		return strings.Replace(s, "  crm:\n    url:", "  crm:\n    limits: {"+limits+"}\n    url:", 1)
	}
}

// pauseCRM holds the deliveries back until resume is called.
func (r *rig) pauseCRM(t *testing.T) (resume func()) {
	t.Helper()
	orders := redisstore.NewFlow(r.rdb(t))
	if err := orders.Order(t.Context(), "crm", flow.Order{Mode: flow.Halted}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := orders.Order(t.Context(), "crm", flow.Order{}); err != nil {
			t.Error(err)
		}
	}
}

// reply is an answer to a request that may be refused.
type reply struct {
	status     int
	slug       string // of a problem
	retryAfter string
	id         string
}

func (r *rig) offer(t *testing.T, key, name string) (out reply) {
	t.Helper()
	body := fmt.Sprintf(`{"email":"ada@example.com","first":%q,"last":"B","consent":true}`, name)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.Addr()+"/profiles/7", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {"Bearer " + r.token}, "Content-Type": {"application/json"}, "Idempotency-Key": {key}}
	resp, err := r.client.Do(req)
	if err != nil {
		t.Error(err)
		return out
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	var doc struct {
		Type string `json:"type"`
		ID   string `json:"tracking_id"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	out = reply{resp.StatusCode, doc.Type[strings.LastIndexByte(doc.Type, ':')+1:], resp.Header.Get("Retry-After"), doc.ID}
	if out.status != http.StatusAccepted && (out.retryAfter == "" || err != nil) {
		t.Errorf("refused without Retry-After: %d %s", out.status, text)
	}
	return out
}

// readiness gives /readyz?verbose.
func (r *rig) readiness(t *testing.T) string {
	t.Helper()
	resp, err := r.open(t.Context(), http.MethodGet, "/readyz?verbose", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(resp.Body)
	return string(text)
}

// TestRedisFills: a Redis with little memory is filled. Requests are refused with 503,
// what was acknowledged is delivered all the same, and then there is room again. Once up
// to the limit that leaves room, once until Redis itself refuses.
func TestRedisFills(t *testing.T) {
	for _, limit := range []string{"70%", "100%"} {
		t.Run(limit, func(t *testing.T) {
			r := newRig(t, crmOnly("concurrency: 16"), testenv.WithConf("maxmemory", "12mb"))
			r.rewrite(t, "headgate.yaml", func(s string) string {
				return strings.Replace(s, "redis:\n", "redis:\n  max_memory: "+limit+"\n", 1)
			})
			resume := r.pauseCRM(t)
			r.start(t)
			name := strings.Repeat("x", 10_000)
			var mu sync.Mutex
			var ids []string
			refused := map[string]int{}
			each(8, 8, func(client int) {
				for i := 0; i < 5000; i++ {
					got := r.offer(t, fmt.Sprint(client, "-", i), name)
					mu.Lock()
					if got.status == http.StatusAccepted {
						ids = append(ids, got.id)
					} else {
						refused[got.slug]++
					}
					mu.Unlock()
					if got.status != http.StatusAccepted {
						return
					}
				}
			})
			info := r.rdb(t).Info(t.Context(), "memory").Val()
			_, used, _ := strings.Cut(info, "used_memory_human:")
			t.Logf("%d accepted, refused %v, redis has used %.6s", len(ids), refused, used)
			if n := refused["storage-full"] + refused["unavailable"]; n == 0 || len(refused) > 2 {
				t.Fatalf("refused: %v, want 503s only", refused)
			}
			if told := r.readiness(t); !strings.Contains(told, "] redis memory: ") {
				t.Errorf("nobody is told how full redis is:\n%s", told)
			}
			resume()
			each(16, len(ids), func(i int) {
				view, err := r.await(t.Context(), ids[i])
				if err != nil || view.Targets[0].Value.State != tracking.Succeeded {
					t.Errorf("%s: %+v, %v", ids[i], view, err)
				}
			})
			testenv.Eventually(t, 20*time.Second, func() bool {
				return r.offer(t, "after", "Ada").status == http.StatusAccepted
			}, "it does not take requests again")
			r.nothingLeft(t)
		})
	}
}

// TestBacklogLimits: beyond its own limit a tenant gets 429, beyond that of all everybody
// gets 503; a known key is answered, what is queued is delivered, and then there is room.
func TestBacklogLimits(t *testing.T) {
	const all, perTenant = 30, 20
	r := newRig(t, crmOnly(fmt.Sprintf("backlog: %d, backlog_per_tenant: %d", all, perTenant)))
	resume := r.pauseCRM(t)
	r.start(t)
	alice := r.token
	bob := r.sign(t, "bob", "umbrella")
	ids := map[string]string{}
	fill := func(tenant string, n int) {
		t.Helper()
		for i := range n {
			key := fmt.Sprint(tenant, "-", i)
			// What is accepted while the counts are read counts twice until the next reading.
			testenv.Eventually(t, 10*time.Second, func() bool {
				got := r.offer(t, key, "Ada")
				ids[got.id] = r.token
				return got.status == http.StatusAccepted
			}, key+" is refused")
		}
	}
	refused := func(status int, slug string) {
		t.Helper()
		if got := r.offer(t, "one-more", "Ada"); got.status != status || got.slug != slug {
			t.Errorf("%+v, want %d %s", got, status, slug)
		}
	}
	fill("alice", perTenant)
	refused(http.StatusTooManyRequests, "tenant-backlog-full")
	r.token = bob
	fill("bob", all-perTenant)
	refused(http.StatusServiceUnavailable, "backlog-full")
	if again := r.offer(t, "bob-0", "Ada"); again.status != http.StatusAccepted || ids[again.id] != bob {
		t.Errorf("a known key is answered %+v", again)
	}
	testenv.Eventually(t, 10*time.Second, func() bool {
		return strings.Contains(r.readiness(t), "[warning] backlog crm: 30 of 30 deliveries are under way")
	}, "nobody is told that the backlog is full")
	figures := r.figures(t)
	for _, want := range []string{
		`headgate_open_deliveries{target="crm"} 30`, `headgate_refused_total{full="backlog",target="crm"} `,
		`headgate_refused_total{full="tenant",target="crm"} `,
	} {
		if !strings.Contains(figures, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	resume()
	delete(ids, "")
	for id, token := range ids {
		r.token = token
		if view, err := r.await(t.Context(), id); err != nil || view.Targets[0].Value.State != tracking.Succeeded {
			t.Errorf("%s: %+v, %v", id, view, err)
		}
	}
	for i, token := range []string{alice, bob} {
		r.token = token
		testenv.Eventually(t, 10*time.Second, func() bool {
			return r.offer(t, fmt.Sprint("after-", i), "Ada").status == http.StatusAccepted
		}, "it does not take requests again")
	}
	r.nothingLeft(t)
}

// sign gives a token for another tenant.
func (r *rig) sign(t *testing.T, sub, org string) string {
	t.Helper()
	signer := r.Table().Authenticators()["mobile"].(interface {
		Sign(claims map[string]any, ttl time.Duration) (string, error)
	})
	token, err := signer.Sign(map[string]any{"sub": sub, "org": org, "scope": "profiles:write"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (r *rig) figures(t *testing.T) string {
	t.Helper()
	resp, err := r.open(t.Context(), http.MethodGet, "/metrics", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(resp.Body)
	return string(text)
}
