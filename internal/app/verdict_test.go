package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
	"headgate/gateway"
	"headgate/internal/testenv"
)

// jobBackend takes uploads as jobs, and refuses the records whose address has a 7: its
// list of them is paged and goes by the place in the upload. A job ends with a warning if it
// refused any of its records, and otherwise in success: how many travel together is chance.
type jobBackend struct {
	mu   sync.Mutex
	jobs map[string][]string // addresses of an upload, by job
	asks int
	// hold, when it is not nil, is asked at each poll whether the job still runs.
	hold func(addresses []string) bool
}

func (b *jobBackend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	answer := map[string]any{}
	job := r.URL.Query().Get("job")
	switch {
	case r.Method == http.MethodPost:
		var events []struct {
			Email string `json:"email"`
		}
		if err := json.NewDecoder(r.Body).Decode(&events); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		job = r.Header.Get("Idempotency-Key")
		b.jobs[job] = nil
		for _, e := range events {
			b.jobs[job] = append(b.jobs[job], e.Email)
		}
		answer["job"] = job
	case strings.HasSuffix(r.URL.Path, "/refused"):
		refused := b.refused(job)
		var from int
		_, _ = fmt.Sscan(r.URL.Query().Get("offset"), &from)
		answer["total"] = len(refused)
		answer["items"] = refused[from:min(from+2, len(refused))]
	default:
		answer["state"] = "success"
		if len(b.refused(job)) > 0 {
			answer["state"] = "warning"
		}
		if b.asks++; b.asks%3 == 0 || b.hold != nil && b.hold(b.jobs[job]) {
			answer["state"] = "active"
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// refused gives the items of a job's list. The caller holds mu.
func (b *jobBackend) refused(job string) []any {
	out := []any{}
	for i, email := range b.jobs[job] {
		if strings.Contains(email, "7") {
			out = append(out, map[string]any{"recordIndex": i + 1, "message": "no sevens: " + email})
		}
	}
	return out
}

const jobTarget = `
    batch: {max_records: 40, linger: 300ms}
    steps:
    - name: upload
      post: /upload
      save: {job: "${{ .response.body.job }}"}
    - name: finish
      get: /jobs?job=${{ .saved.job }}
      until:
        state: ${{ .response.body.state }}
        running: [active]
        succeeded: [success]
        partial: [warning]
        every: {first: 100ms, max: 200ms}
      rejects:
        get: /refused?job=${{ .saved.job }}
        items: ${{ .response.body.items }}
        index: ${{ .item.recordIndex - 1 }}
        reason: ${{ .item.message }}
        total: ${{ .response.body.total }}
        page: {limit: 2}
`

// newJobRig is the quickstart with analytics sending to b.
func newJobRig(t *testing.T, b *jobBackend) *rig {
	t.Helper()
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	redisServer := testenv.Redis(t)
	rdb := func(t testing.TB) redis.UniversalClient { return redisServer.Client(t) }
	return newRigOn(t, "url: "+redisServer.URL(), rdb, func(routes string) string {
		return strings.Replace(routes, "${BACKENDS_URL}/analytics\n    post: /events\n", server.URL+jobTarget, 1)
	})
}

// endedByItself checks that record i ended as the backend's list says.
func endedByItself(t *testing.T, view *gateway.TrackingView, i int) {
	t.Helper()
	for _, target := range view.Targets {
		if target.Name != "analytics" {
			continue
		}
		got, email := target.Value, fmt.Sprintf("User%d@Example.com", i)
		switch {
		case got.Batch == "" || got.JobID == "":
			t.Errorf("%s: %+v", email, got)
		case strings.Contains(email, "7"):
			if got.State != tracking.Rejected || got.Reason != fault.Rejected || got.Message != "no sevens: "+email {
				t.Errorf("%s: %+v", email, got)
			}
		case got.State != tracking.Succeeded:
			t.Errorf("%s: %+v", email, got)
		}
	}
}

// Records that travel together end by themselves, as the backend's list says.
func TestRecordsEndByThemselves(t *testing.T) {
	const records = 200
	r := newJobRig(t, &jobBackend{jobs: map[string][]string{}})
	r.start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	each(32, records, func(i int) {
		id, err := r.post(ctx, i)
		if err != nil {
			t.Error(err)
			return
		}
		view, err := r.await(ctx, id)
		if err != nil {
			t.Error(err)
			return
		}
		endedByItself(t, view, i)
	})
	r.nothingLeft(t)
}

// Mistake 02: after a restart it is no longer known which record an item of a list is about,
// and refused records pass for delivered. Here the process that uploaded is gone when the job
// ends, and the next one tells them apart as well.
func TestMistake02CorrelationOutlivesTheProcess(t *testing.T) {
	const records = 30
	backend := &jobBackend{jobs: map[string][]string{}}
	uploaded, all := map[string]bool{}, make(chan struct{})
	restarted := false
	backend.hold = func(addresses []string) bool { // a job that is polled is recorded
		for _, address := range addresses {
			uploaded[address] = true
		}
		if len(uploaded) == records && all != nil {
			close(all)
			all = nil
		}
		return !restarted
	}
	r, polled := newJobRig(t, backend), all
	r.start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	ids := make([]string, records)
	each(records, records, func(i int) {
		var err error
		if ids[i], err = r.post(ctx, i); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-polled:
	case <-ctx.Done():
		t.Fatal("not all records were uploaded")
	}
	if err := r.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	backend.mu.Lock()
	restarted = true
	backend.mu.Unlock()
	r.start(t)
	each(records, records, func(i int) {
		view, err := r.await(ctx, ids[i])
		if err != nil {
			t.Error(err)
			return
		}
		endedByItself(t, view, i)
	})
	r.nothingLeft(t)
}
