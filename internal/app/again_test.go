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

	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// lockingBackend takes uploads as jobs. The records whose address has a 7 are locked the first
// time, those with 77 each time; the lists of what it did are NDJSON and CSV.
type lockingBackend struct {
	mu   sync.Mutex
	jobs map[string][]string
	seen map[string]int // how often an address was uploaded
	ends map[string]string
}

func (b *lockingBackend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
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
		if b.jobs[job] == nil { // a key that it knows does nothing new
			for _, e := range events {
				b.seen[e.Email]++
				b.jobs[job] = append(b.jobs[job], e.Email)
				if locked := strings.Contains(e.Email, "77") || strings.Contains(e.Email, "7") && b.seen[e.Email] == 1; locked {
					b.ends[job+e.Email] = "locked"
				}
			}
		}
		_, _ = fmt.Fprintf(w, `{"job":%q}`, job)
	case strings.HasSuffix(r.URL.Path, "/failed"):
		for i, email := range b.jobs[job] {
			if b.ends[job+email] != "" {
				_, _ = fmt.Fprintf(w, `{"place":%d,"why":"UNABLE_TO_LOCK_ROW"}`+"\n", i)
			}
		}
	case strings.HasSuffix(r.URL.Path, "/successful"):
		_, _ = fmt.Fprint(w, "line,email\r\n")
		for i, email := range b.jobs[job] {
			if b.ends[job+email] == "" {
				_, _ = fmt.Fprintf(w, "%d,%q\r\n", i+2, email)
			}
		}
	default:
		_, _ = fmt.Fprint(w, `{"state":"complete"}`)
	}
}

const lockingTarget = `
    batch: {max_records: 40, linger: 300ms}
    retry: {attempts: 3, first: 100ms, max: 500ms}
    steps:
    - name: upload
      post: /upload
      save: {job: "${{ .response.body.job }}"}
    - name: finish
      get: /jobs?job=${{ .saved.job }}
      until:
        state: ${{ .response.body.state }}
        succeeded: [complete]
        every: {first: 100ms, max: 200ms}
      rejects:
      - get: /failed?job=${{ .saved.job }}
        format: ndjson
        items: ${{ .response.body }}
        index: ${{ .item.place }}
        reason: ${{ .item.why }}
        classify: [{when: '${{ .item.why == "UNABLE_TO_LOCK_ROW" }}', as: retry}]
      - get: /successful?job=${{ .saved.job }}
        format: csv
        items: ${{ .response.body }}
        index: ${{ (.item.line | tonumber) - 2 }}
        means: succeeded
`

// Records that the backend wants to have again go with other batches, until they are taken or
// given up; the others are uploaded once.
func TestRecordsAreSentAgain(t *testing.T) {
	const records = 100
	backend := &lockingBackend{jobs: map[string][]string{}, seen: map[string]int{}, ends: map[string]string{}}
	server := httptest.NewServer(backend)
	t.Cleanup(server.Close)
	redisServer := testenv.Redis(t)
	rdb := func(t testing.TB) redis.UniversalClient { return redisServer.Client(t) }
	r := newRigOn(t, "url: "+redisServer.URL(), rdb, func(routes string) string {
		return strings.Replace(routes, "${BACKENDS_URL}/analytics\n    post: /events\n    retry: {attempts: 8, first: 200ms, max: 5s}\n", server.URL+lockingTarget, 1)
	})
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
		for _, target := range view.Targets {
			if target.Name != "analytics" {
				continue
			}
			email, want, sent := fmt.Sprintf("User%d@Example.com", i), tracking.Succeeded, 1
			switch {
			case strings.Contains(email, "77"):
				want, sent = tracking.Failed, 3
			case strings.Contains(email, "7"):
				sent = 2
			}
			backend.mu.Lock()
			if got := target.Value; got.State != want || backend.seen[email] != sent {
				t.Errorf("%s was sent %d times: %+v", email, backend.seen[email], got)
			}
			backend.mu.Unlock()
		}
	})
	r.nothingLeft(t)
}
