package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
)

// ledger is a backend that notes, for each key, which numbers it took; it turns every fourth call away.
type ledger struct {
	mu    sync.Mutex
	calls int
	took  map[string][]int
	some  chan struct{} // closed once it took a few
}

func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var order struct {
		ID string
		N  int
	}
	if err := json.NewDecoder(r.Body).Decode(&order); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls++; l.calls == 60 {
		close(l.some)
	}
	if l.calls%4 == 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if seen := l.took[order.ID]; !slices.Contains(seen, order.N) { // a call whose worker was killed comes again
		l.took[order.ID] = append(seen, order.N)
	}
}

// TestOrderThroughKills kills a worker in the middle of many deliveries whose order counts, and the gateway
// as well: what each key's deliveries do first, they do in the order in which they were accepted, and
// none is lost.
func TestOrderThroughKills(t *testing.T) {
	t.Parallel()
	const keys, each = 12, 20
	backend := &ledger{took: map[string][]int{}, some: make(chan struct{})}
	server := httptest.NewServer(backend)
	t.Cleanup(server.Close)
	w := newCrashWorld(t, `
    url: `+server.URL+`
    post: /orders
    order: {key: "${{ .payload.id }}"}
    retry: {attempts: 100, first: 10ms, max: 50ms}
    breaker: {failures: 1000000}
`)
	w.up("one", "--role", "worker", "--admin-listen", "127.0.0.1:0")
	w.up("other", "--role", "worker", "--admin-listen", "127.0.0.1:0")

	var mu sync.Mutex
	accepted, ids := map[string][]int{}, []string{}
	var clients sync.WaitGroup
	for k := range keys {
		clients.Go(func() {
			for n := range each {
				key := fmt.Sprint("k", k)
				body := fmt.Appendf(nil, `{"id":%q,"n":%d}`, key, n)
				header := http.Header{"Authorization": {"Bearer " + w.token}, "Content-Type": {"application/json"}, "Idempotency-Key": {fmt.Sprint(k, "-", n)}}
				var a answer
				var err error
				if !within(2*patience, func() bool {
					a, err = call(http.MethodPost, w.vars["LISTEN_URL"]+"/orders/1", body, header)
					return err == nil && a.code == http.StatusAccepted
				}) {
					t.Errorf("%s was not accepted: %v, %s", body, err, a.body)
					return
				}
				var doc struct {
					ID string `json:"tracking_id"`
				}
				if err := json.Unmarshal([]byte(a.body), &doc); err != nil {
					t.Error(err)
				}
				mu.Lock()
				accepted[key], ids = append(accepted[key], n), append(ids, doc.ID)
				mu.Unlock()
			}
		})
	}
	<-backend.some
	w.processes["one"].kill()
	w.processes["gateway"].kill()
	w.up("gateway", "--role", "gateway")
	clients.Wait()
	for _, id := range ids {
		if doc := w.track(id); doc.Status != "succeeded" {
			t.Errorf("%s ended %s", id, doc.Status)
		}
	}
	backend.mu.Lock()
	defer backend.mu.Unlock()
	for key, want := range accepted {
		if got := backend.took[key]; !slices.Equal(got, want) {
			t.Errorf("of %s the backend took %v, accepted were %v", key, got, want)
		}
	}
	w.eventually("nobody stands in a line", func() bool {
		rows, err := w.dump(t.Context(), "hg:{*}:line:*")
		return err == nil && rows == ""
	})
	w.nothingOpen()
}
