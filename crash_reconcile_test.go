package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// TestWorkerKilledAfterTheAnswer kills a worker when the backend has made its job and the
// worker cannot have written that down: the one that takes over asks before it makes
// another, by itself and for a batch.
func TestWorkerKilledAfterTheAnswer(t *testing.T) {
	for name, batch := range map[string]string{"by itself": "", "a batch": "\n    batch: {max_records: 10, linger: 100ms}"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var w *crashWorld
			var mu sync.Mutex
			var killed sync.Once
			dead := make(chan struct{})
			made, uploads := []string{}, map[string]int{}
			backend := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				answer := map[string]any{}
				switch r.Method {
				case http.MethodGet:
					found := []any{}
					for _, job := range made {
						if job == r.URL.Query().Get("name") {
							found = append(found, map[string]any{"id": job})
						}
					}
					answer["items"] = found
				case http.MethodPost:
					made = append(made, r.URL.Query().Get("name"))
					answer["id"] = r.URL.Query().Get("name")
					killed.Do(func() {
						w.processes["worker"].kill()
						close(dead)
					})
				case http.MethodPut:
					uploads[r.URL.Path]++
				}
				rw.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(rw).Encode(answer)
			}))
			t.Cleanup(backend.Close)
			w = newCrashWorld(t, `
    url: `+backend.URL+batch+`
    steps:
    - name: create
      post: /jobs?name=${{ .tracking }}
      json: {}
      save: {job: "${{ .response.body.id }}"}
      reconcile:
        get: /jobs?name=${{ .tracking }}
        found: ${{ .response.body.items | length > 0 }}
        save: {job: "${{ .response.body.items[0].id }}"}
    - {name: upload, put: "/jobs/${{ .saved.job }}", json: {}}
`)
			w.up("worker", "--role", "worker", "--admin-listen", "127.0.0.1:0")
			id := w.post("/orders/7", "")
			<-dead
			w.up("successor", "--role", "worker", "--admin-listen", "127.0.0.1:0")
			if doc := w.track(id); doc.Status != "succeeded" {
				t.Errorf("the delivery is %s: %s", doc.Status, doc.text)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(made) != 1 || len(uploads) != 1 || uploads["/jobs/"+made[0]] != 1 {
				t.Errorf("made %v, uploads %v", made, uploads)
			}
		})
	}
}
