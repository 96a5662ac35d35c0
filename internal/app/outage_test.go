package app_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// Redis goes away and comes back while requests arrive: what got a 202 ends, what got
// none may be repeated with its key, and no key makes two dispatches.
func TestRedisGoesAway(t *testing.T) {
	for name, outage := range map[string]func(r *testenv.RedisServer, while func()){
		"restart": func(r *testenv.RedisServer, while func()) { r.Stop(); while(); r.Restart() },
		"killed":  func(r *testenv.RedisServer, while func()) { r.Kill(); while(); r.Restart() },
		"stalled": func(r *testenv.RedisServer, while func()) { r.Pause(); while(); r.Resume() },
	} {
		t.Run(name, func(t *testing.T) {
			server := testenv.Redis(t, testenv.WithAOF())
			r, backend := newBatchRig(t, server, inBatches)
			requests := throughOutage(t, r, func(post func() error) {
				outage(server, func() {
					// Away long enough for commands in flight to fail, and until one is refused.
					began := time.Now()
					testenv.Eventually(t, time.Minute, func() bool { return post() != nil && time.Since(began) > 4*time.Second },
						"nothing was refused while redis was away")
				})
			})
			backend.check(t, requests)
		})
	}
}

// throughOutage calls outage while requests arrive. It is given one more to send. The
// result is how many were acknowledged, each of another profile.
func throughOutage(t *testing.T, r *rig, outage func(post func() error)) int {
	t.Helper()
	r.start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	const requests = 300
	var mu sync.Mutex
	acknowledged := map[int]string{}
	post := func(i int) error {
		id, err := r.post(ctx, i)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			if first, ok := acknowledged[i]; ok && first != id {
				t.Errorf("request %d became %s and %s", i, first, id)
			}
			acknowledged[i] = id
		}
		return err
	}
	half := make(chan struct{})
	var refused sync.Map
	var load sync.WaitGroup
	load.Go(func() {
		each(16, requests, func(i int) {
			if i == requests/3 {
				close(half)
			}
			if err := post(i); err != nil {
				refused.Store(i, err)
			}
		})
	})
	<-half
	outage(func() error { _, err := r.post(ctx, requests+1); return err })
	load.Wait()
	repeated := 0
	refused.Range(func(i, _ any) bool {
		repeated++
		testenv.Eventually(t, time.Minute, func() bool { return post(i.(int)) == nil }, "a request could not be repeated")
		return true
	})
	// A request that did get a 202 is the same one when it is repeated.
	each(16, requests, func(i int) {
		for err := post(i); err != nil; err = post(i) {
			if ctx.Err() != nil {
				t.Errorf("repeat %d: %v", i, err)
				return
			}
		}
	})
	t.Logf("%d of %d requests had to be repeated", repeated, requests)
	if len(acknowledged) != requests {
		t.Fatalf("%d of %d acknowledged", len(acknowledged), requests)
	}
	each(32, requests, func(i int) {
		view, err := r.await(ctx, acknowledged[i])
		if err != nil {
			t.Error(err)
			return
		}
		for _, target := range view.Targets {
			if target.Value.State != want[target.Name] && target.Value.State != tracking.Unknown {
				t.Errorf("%s %s: %s (%s %s)", acknowledged[i], target.Name, target.Value.State, target.Value.Reason, target.Value.Message)
			}
		}
	})
	for name := range want {
		stats := r.backends.Backend(name).Stats()
		t.Logf("%s: %d keys, %d duplicates", name, stats.UniqueKeys, stats.Duplicates)
	}
	r.nothingLeft(t)
	return requests
}
