package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"headgate/dispatch/tracking"
	"headgate/internal/app"
)

// stormFor is how long files, orders and the log's level change under traffic.
const stormFor = time.Second

// stormTargets are the settings that one file may have: what changes at run time changes in
// each, and one target comes and goes.
func stormTargets(url string) map[string]string {
	limits := func() string {
		out := fmt.Sprintf("limits: {concurrency: %d, timeout: 5s", 2+rand.IntN(12))
		if rand.IntN(2) == 0 {
			out += fmt.Sprintf(", rate: %d/s", 200+rand.IntN(500))
		}
		if rand.IntN(3) == 0 {
			out += ", backlog: 2000"
		}
		return fmt.Sprintf("%s}, breaker: {failures: %d, open_for: 100ms}, retry: {attempts: 1000, first: 5ms, max: 50ms}", out, 3+rand.IntN(3))
	}
	batch := func() string {
		return fmt.Sprintf(", batch: {max_records: %d, linger: %dms, max_in_flight: %d}", 2+rand.IntN(20), 10+rand.IntN(40), 1+rand.IntN(3))
	}
	order := `, order: {key: "${{ .payload.key }}"}`
	out := map[string]string{
		"plain": " {url: " + url + ", post: /plain, " + limits() + "}",
		"mails": " {url: " + url + ", post: /mails, " + limits(),
		"lined": " {url: " + url + ", post: /lined, " + limits() + order,
	}
	if rand.IntN(3) > 0 { // now and then each is sent by itself
		out["mails"] += batch()
	}
	if rand.IntN(2) == 0 {
		out["lined"] += batch()
	}
	out["mails"] += "}"
	out["lined"] += "}"
	if rand.IntN(2) == 0 {
		out["guest"] = " {url: " + url + ", post: /guest, " + limits() + "}"
	}
	return out
}

// TestReloadsUnderLoad changes everything that changes at run time, all at once, under
// traffic. The race detector and the search for goroutines that are left judge, and each
// dispatch that was accepted must end.
func TestReloadsUnderLoad(t *testing.T) {
	var ill atomic.Bool
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if ill.Load() || rand.IntN(20) == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(backend.Close)
	r := reloadRig(t, stormTargets(backend.URL))
	over, cancel := context.WithTimeout(t.Context(), stormFor)
	defer cancel()
	var (
		all sync.WaitGroup
		mu  sync.Mutex
		ids []string
	)
	until := func(f func()) {
		all.Go(func() {
			for over.Err() == nil {
				f()
			}
		})
	}
	paths := []string{"plain", "mails", "lined", "guest"}
	for range 3 {
		until(func() {
			body := fmt.Sprintf(`{"key":"k%d"}`, rand.IntN(20))
			status, text, err := r.do(t.Context(), http.MethodPost, "/"+paths[rand.IntN(len(paths))], body)
			var accepted struct {
				ID string `json:"tracking_id"`
			}
			switch {
			case err != nil:
				t.Error(err)
			case status == http.StatusAccepted && json.Unmarshal(text, &accepted) == nil:
				mu.Lock()
				ids = append(ids, accepted.ID)
				mu.Unlock()
			case status != http.StatusNotFound && status != http.StatusServiceUnavailable && status != http.StatusTooManyRequests:
				t.Errorf("%d %s", status, text)
			}
			time.Sleep(time.Duration(rand.IntN(8)) * time.Millisecond)
		})
	}
	until(func() {
		r.routes(t, stormTargets(backend.URL))
		by := []app.Trigger{app.BySignal, app.ByFile, app.ByAPI}[rand.IntN(3)]
		if _, err := r.ReloadBy(t.Context(), by); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
	})
	ask := func(method, path, body string) {
		resp, err := r.open(t.Context(), method, path, body)
		if err != nil {
			t.Error(err)
			return
		}
		_ = resp.Body.Close()
		if resp.StatusCode >= http.StatusInternalServerError {
			t.Errorf("%s %s: %d", method, path, resp.StatusCode)
		}
	}
	until(func() {
		target, verb := paths[rand.IntN(len(paths))], []string{"pause", "drain", "resume", "resume"}[rand.IntN(4)]
		ask(http.MethodPost, "/targets/"+target+"/"+verb, "{}")
		ill.Store(rand.IntN(5) == 0)
		time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
	})
	until(func() {
		level := []string{"debug", "info", "warn", "error"}[rand.IntN(4)]
		ask(http.MethodPut, "/loglevel", fmt.Sprintf(`{"level":%q,"for":"%dms"}`, level, 1+rand.IntN(50)))
		ask(http.MethodGet, []string{"/metrics", "/targets", "/readyz?verbose", "/reload", "/config"}[rand.IntN(5)], "")
	})
	all.Wait()
	ill.Store(false)
	for _, target := range paths {
		ask(http.MethodPost, "/targets/"+target+"/resume", "{}")
	}
	ctx, end := context.WithTimeout(t.Context(), time.Minute)
	defer end()
	states := map[tracking.State]int{}
	each(16, len(ids), func(i int) {
		view, err := r.await(ctx, ids[i])
		if err != nil {
			_, text, _ := r.do(t.Context(), http.MethodGet, "/tracking/"+ids[i], "")
			t.Errorf("%s has not ended: %v %s", ids[i], err, text)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		states[view.Targets[0].Value.State]++
	})
	if len(ids) == 0 || states[tracking.Succeeded] != len(ids) {
		t.Errorf("%d dispatches ended as %v", len(ids), states)
	}
}
