package load

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"headgate/chaos/ledger"
)

// gateway answers the tries of each key in turn; the last answer stays.
type gateway struct {
	answers []func(w http.ResponseWriter)

	mu    sync.Mutex
	tries map[string]int
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		fmt.Fprint(w, `{"status": "succeeded", "targets": {"crm": {"state": "succeeded"}}}`)
		return
	}
	g.mu.Lock()
	n := g.tries[r.Header.Get("Idempotency-Key")]
	g.tries[r.Header.Get("Idempotency-Key")]++
	g.mu.Unlock()
	g.answers[min(n, len(g.answers)-1)](w)
}

// tried is how often an order was sent under a key.
func (g *gateway) tried(key string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tries[key]
}

func accepted(w http.ResponseWriter) {
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprint(w, `{"tracking_id": "trk_1", "targets": {"crm": "pending"}}`)
}

// TestOrderIsRepeated: what was not accepted is sent again under the same key, and each
// answer is put into the books as what it was.
func TestOrderIsRepeated(t *testing.T) {
	g := &gateway{tries: map[string]int{}, answers: []func(w http.ResponseWriter){
		func(w http.ResponseWriter) { http.Error(w, `{"type": "unavailable"}`, http.StatusServiceUnavailable) },
		func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"type": "urn:headgate:problem:outcome-unknown", "tracking_id": "trk_1"}`)
		},
		func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		accepted,
	}}
	server := httptest.NewServer(g)
	defer server.Close()
	c := &Clients{Gateways: func() []string { return []string{server.URL} }, Books: ledger.New(), Rate: 1}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c.Start(ctx)
	defer c.Close()
	c.Order(ctx, "7")
	if n := g.tried("key-7"); n != 4 {
		t.Errorf("%d tries, want 4", n)
	}
	c.Stop()
	c.Follow(ctx)
	c.Repeat(ctx)
	if n := g.tried("key-7"); n != 5 {
		t.Errorf("%d tries after the repeat, want 5", n)
	}
	v := c.Books.Judge()
	if v.Refused < 1 || v.Unknown < 1 || v.Cut < 1 || v.NotFinal != 0 || v.NeverAccepted != 0 {
		t.Errorf("the books say %+v", v)
	}
}

// TestWrongAnswerIsNotRepeated: a 422 is for good.
func TestWrongAnswerIsNotRepeated(t *testing.T) {
	g := &gateway{tries: map[string]int{}, answers: []func(w http.ResponseWriter){
		func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnprocessableEntity); fmt.Fprint(w, `{}`) },
	}}
	server := httptest.NewServer(g)
	defer server.Close()
	c := &Clients{Gateways: func() []string { return []string{server.URL} }, Books: ledger.New(), http: server.Client()}
	c.Order(t.Context(), "7")
	if v := c.Books.Judge(); v.Wrong != 1 || g.tried("key-7") != 1 {
		t.Errorf("after %d tries the books say %+v", g.tried("key-7"), v)
	}
}

// TestForgotten: a gateway that knows nothing of an acknowledged dispatch is believed
// after a few times.
func TestForgotten(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	c := &Clients{Gateways: func() []string { return []string{server.URL} }, Books: ledger.New(), http: server.Client()}
	c.Books.Acknowledged("1", "trk_1", "crm")
	c.Follow(t.Context())
	if v := c.Books.Judge(); v.Lost != 1 || v.NotFinal != 1 {
		t.Errorf("the books say %+v", v)
	}
}
