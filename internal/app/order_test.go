package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/dispatch/tracking"
	"headgate/gateway"
)

// orderedBackend takes events, one or many in a call, fails at random, and looks whether those of one
// address come one after the other and in order.
type orderedBackend struct {
	mu    sync.Mutex
	now   map[string]int   // calls under way, by address
	taken map[string][]int // what was taken, by address
	wrong []string
}

type update struct {
	Email string `json:"email"`
	First string `json:"first"` // its number
}

func (b *orderedBackend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	var updates []update
	if err == nil && strings.HasPrefix(string(raw), "[") {
		err = json.Unmarshal(raw, &updates)
	} else if err == nil {
		updates = make([]update, 1)
		err = json.Unmarshal(raw, &updates[0])
	}
	b.begin(updates, err)
	time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond) // of the backend's own work
	b.mu.Lock()
	defer b.mu.Unlock()
	failed := rand.IntN(4) == 0
	for _, u := range updates {
		b.now[u.Email]--
		if n, _ := strconv.Atoi(u.First); !failed {
			b.taken[u.Email] = append(b.taken[u.Email], n)
		}
	}
	if failed {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (b *orderedBackend) begin(updates []update, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.wrong = append(b.wrong, err.Error())
	}
	for _, u := range updates {
		if b.now[u.Email]++; b.now[u.Email] > 1 {
			b.wrong = append(b.wrong, u.Email+" is being sent twice at a time")
		}
	}
}

// orderRig is the quickstart with analytics keeping an order.
func orderRig(t *testing.T, make func(*testing.T, func(string) string) *rig, more string) (*rig, *orderedBackend) {
	t.Helper()
	backend := &orderedBackend{now: map[string]int{}, taken: map[string][]int{}}
	server := httptest.NewServer(backend)
	t.Cleanup(server.Close)
	return make(t, func(routes string) string {
		routes = strings.Replace(routes, "{attempts: 8, first: 200ms, max: 5s}", "{attempts: 1000, first: 5ms, max: 20ms}", 1)
		return strings.Replace(routes, "${BACKENDS_URL}/analytics\n", server.URL+"\n    "+more+"\n", 1)
	}), backend
}

// updates sends numbered updates about some people, those of each one after the other, and follows them.
func (r *rig) updates(t *testing.T, people, each int) map[string][]gateway.DeliveryView {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var mu sync.Mutex
	out := map[string][]gateway.DeliveryView{}
	var clients sync.WaitGroup
	for person := range people {
		clients.Go(func() {
			email := fmt.Sprintf("user%d@example.com", person)
			var ids []string
			for n := range each {
				body := fmt.Sprintf(`{"email":%q,"first":"%d","last":"B","consent":true,"balance":1.10}`, email, n)
				status, text, err := r.do(ctx, http.MethodPost, "/profiles/"+strconv.Itoa(person), body)
				var accepted struct {
					ID string `json:"tracking_id"`
				}
				if err == nil {
					err = json.Unmarshal(text, &accepted)
				}
				if err != nil || status != http.StatusAccepted {
					t.Errorf("%d: %s, %v", status, text, err)
					return
				}
				ids = append(ids, accepted.ID)
			}
			for _, id := range ids {
				view, err := r.await(ctx, id)
				if err != nil {
					t.Error(err)
					return
				}
				for _, target := range view.Targets {
					if target.Name == "analytics" {
						mu.Lock()
						out[email] = append(out[email], target.Value)
						mu.Unlock()
					}
				}
			}
		})
	}
	clients.Wait()
	return out
}

func plainRig(t *testing.T, edit func(string) string) *rig { return newRig(t, edit) }

// Updates of one thing reach the backend in the order in which they were accepted, none is lost, and
// others do not wait for them.
func TestUpdatesInOrder(t *testing.T) {
	for name, more := range map[string]string{
		"one by one": `order: {key: "${{ .payload.email }}"}`,
		"batches":    "batch: {max_records: 10, linger: 50ms}\n" + `    order: {key: "${{ .payload.email }}"}`,
	} {
		t.Run(name, func(t *testing.T) {
			r, backend := orderRig(t, plainRig, more)
			updatesInOrder(t, r, backend)
		})
	}
}

func updatesInOrder(t *testing.T, r *rig, backend *orderedBackend) {
	const people, each = 20, 15
	r.start(t)
	for email, views := range r.updates(t, people, each) {
		for n, view := range views {
			if view.State != tracking.Succeeded {
				t.Errorf("number %d of %s ended as %s (%s)", n, email, view.State, view.Message)
			}
		}
	}
	backend.mu.Lock()
	defer backend.mu.Unlock()
	for _, text := range backend.wrong {
		t.Error(text)
	}
	if len(backend.taken) != people {
		t.Errorf("%d of %d are known", len(backend.taken), people)
	}
	for email, got := range backend.taken {
		for i, n := range got {
			if i != n || len(got) != each {
				t.Fatalf("of %s it took %v", email, got)
			}
		}
	}
	r.nothingLeft(t)
	r.empty(t, "hg:*:line:*")
}

// Of those that wait only the newest is sent, and each of the others says which made it moot.
func TestOnlyTheNewestUpdate(t *testing.T) {
	r, backend := orderRig(t, plainRig, `order: {key: "${{ .payload.email }}", coalesce: latest}`)
	const people, each = 10, 30
	r.start(t)
	moot := 0
	for email, views := range r.updates(t, people, each) {
		for n, view := range views {
			switch {
			case view.State == tracking.Superseded && view.SupersededBy != "" && n < each-1:
				moot++
			case view.State != tracking.Succeeded || view.SupersededBy != "":
				t.Errorf("number %d of %s ended as %s, %q", n, email, view.State, view.SupersededBy)
			}
		}
	}
	backend.mu.Lock()
	defer backend.mu.Unlock()
	for email, got := range backend.taken {
		for i, n := range got {
			if i > 0 && n <= got[i-1] || i == len(got)-1 && n != each-1 {
				t.Fatalf("of %s it took %v", email, got)
			}
		}
	}
	if moot == 0 || len(backend.taken) != people || len(backend.wrong) > 0 {
		t.Errorf("%d were moot, %d people are known; %v", moot, len(backend.taken), backend.wrong)
	}
	r.nothingLeft(t)
	r.empty(t, "hg:*:line:*")
}
