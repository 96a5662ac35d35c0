package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// bulkBackend takes arrays of events. It turns every third key away once, and counts how
// often each record was taken.
type bulkBackend struct {
	mu     sync.Mutex
	bodies map[string]string // by idempotency key
	taken  map[string]int    // by e-mail address
	seen   map[string]bool   // keys that were turned away
	done   map[string]bool   // keys that were taken
	wrong  []string
}

func (b *bulkBackend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	var events []struct {
		Email string `json:"email"`
	}
	if err == nil {
		err = json.Unmarshal(raw, &events)
	}
	key := r.Header.Get("Idempotency-Key")
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil || key == "" || len(events) == 0 {
		b.wrong = append(b.wrong, key+": "+string(raw))
	}
	if before, known := b.bodies[key]; known && before != string(raw) {
		b.wrong = append(b.wrong, key+" came with another body")
	}
	b.bodies[key] = string(raw)
	if len(b.bodies)%3 == 0 && !b.seen[key] {
		b.seen[key] = true
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if b.done[key] {
		return // it keeps idempotency keys: nothing happens twice
	}
	b.done[key] = true
	for _, e := range events {
		b.taken[e.Email]++
	}
}

// inBatches is how the tests gather that are not about it.
const inBatches = `{max_records: 40, linger: 400ms}`

// newBatchRig is the quickstart with analytics gathering its events.
func newBatchRig(t *testing.T, on *testenv.RedisServer, batch string) (*rig, *bulkBackend) {
	t.Helper()
	backend := &bulkBackend{bodies: map[string]string{}, taken: map[string]int{}, seen: map[string]bool{}, done: map[string]bool{}}
	server := httptest.NewServer(backend)
	t.Cleanup(server.Close)
	rdb := func(t testing.TB) redis.UniversalClient { return on.Client(t) }
	r := newRigOn(t, "url: "+on.URL(), rdb, func(routes string) string {
		return strings.Replace(routes, "${BACKENDS_URL}/analytics\n",
			server.URL+"\n    batch: "+batch+"\n", 1)
	})
	return r, backend
}

func (b *bulkBackend) check(t *testing.T, records int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.wrong {
		t.Error(text)
	}
	// One more was sent for as long as redis was away; it may have been recorded.
	delete(b.taken, fmt.Sprintf("User%d@Example.com", records+1))
	if len(b.taken) != records {
		t.Errorf("%d records were taken, want %d", len(b.taken), records)
	}
	for email, n := range b.taken {
		if n != 1 {
			t.Errorf("%s was taken %d times", email, n)
		}
	}
	if len(b.bodies) > records/4 {
		t.Errorf("%d records came in %d calls: hardly gathered", records, len(b.bodies))
	}
}

// Many records, few calls, and each record ends by itself: also where a batch goes in parts,
// one batch after the other.
func TestRecordsTravelTogether(t *testing.T) {
	t.Run("whole", func(t *testing.T) { travelTogether(t, inBatches, 500) })
	t.Run("in parts", func(t *testing.T) {
		travelTogether(t, `{max_records: 40, linger: 400ms, max_in_flight: 1, chunk: {into: job, max_records: 15}}`, 150)
	})
}

// More than is held in memory is read from Redis while it is sent, and sent again.
func TestLargeUploads(t *testing.T) {
	travelTogether(t, `{max_records: 40, max_bytes: 50MB, linger: 10s}`, 120, func(routes string) string {
		const event = "      analytics: # no `transform`: the whole body\n"
		if !strings.Contains(routes, event) {
			t.Fatal("the route has no event")
		}
		return strings.Replace(routes, event, `      analytics:
        transform: {email: "${{ .body.email }}", pad: '${{ [range(20000) | "12345678"] | join("") }}'}
`, 1)
	})
}

func travelTogether(t *testing.T, batch string, records int, edits ...func(routes string) string) {
	r, backend := newBatchRig(t, testenv.Redis(t), batch)
	for _, edit := range edits {
		r.rewrite(t, "routes/profiles.yaml", edit)
	}
	r.start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	ids := make([]string, records)
	each(32, records, func(i int) {
		var err error
		if ids[i], err = r.post(ctx, i); err != nil {
			t.Error(err)
		}
	})
	each(32, records, func(i int) {
		if view, err := r.await(ctx, ids[i]); err != nil {
			t.Error(err)
		} else {
			for _, target := range view.Targets {
				if target.Name == "analytics" && target.Value.State != tracking.Succeeded {
					t.Errorf("%s ended as %s (%s)", ids[i], target.Value.State, target.Value.Message)
				}
			}
		}
	})
	backend.check(t, records)
	r.nothingLeft(t)
}

// Of what a batch takes, its call alone counts for the rate: its records end with it, and not an
// hour later.
func TestBatchTakesOneTokenOfTheRate(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(backend.Close)
	r := reloadRig(t, map[string]string{"mails": " {url: " + backend.URL + ", post: /, limits: {rate: 1/h}, batch: {max_records: 2, linger: 1h}}"})
	for _, id := range []string{r.submit(t, "/mails"), r.submit(t, "/mails")} {
		if view, err := r.await(t.Context(), id); err != nil || view.Status != "succeeded" {
			t.Errorf("%+v %v", view, err)
		}
	}
}
