package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// loadTarget has the slots that a load needs.
const loadTarget = `
    url: ${BACKENDS_URL}/crm
    put: /contacts/${{ .params.id }}
    limits: {concurrency: 8}
`

// TestGatewayKilledUnderLoad kills the gateway in the middle of many requests and starts
// it again. Clients repeat what was not answered, under the same keys, as the contract
// tells them to. Whatever was answered 202 ends, and there is one dispatch for each key:
// also for those requests that had been recorded when the answer was lost.
func TestGatewayKilledUnderLoad(t *testing.T) {
	t.Parallel()
	const requests, concurrency, killAfter = 300, 16, 100
	w := newCrashWorld(t, loadTarget)
	w.up("worker", "--role", "worker", "--admin-listen", "127.0.0.1:0")

	var answered, lost atomic.Int64
	enough := make(chan struct{})
	orders := make(chan int)
	var mu sync.Mutex
	ids := map[int][]string{} // by order: the ID of every 202, first answers and repeats
	failed := map[int]error{}
	var clients sync.WaitGroup
	for range concurrency {
		clients.Go(func() {
			for order := range orders {
				path, key := fmt.Sprintf("/orders/%d", order), fmt.Sprintf("order-%d", order)
				var id string
				var err error
				if !within(2*patience, func() bool {
					if id, err = w.offer(path, key); err != nil {
						lost.Add(1)
					}
					return err == nil
				}) {
					mu.Lock()
					failed[order] = err
					mu.Unlock()
					continue
				}
				mu.Lock()
				ids[order] = append(ids[order], id)
				mu.Unlock()
				if answered.Add(1) == killAfter {
					close(enough)
				}
			}
		})
	}
	go func() {
		defer close(orders)
		for i := range requests {
			orders <- i
		}
	}()
	<-enough
	w.processes["gateway"].kill()
	w.up("gateway", "--role", "gateway")
	clients.Wait()
	for order, err := range failed {
		t.Errorf("order %d was never accepted: %v", order, err)
	}
	if lost.Load() == 0 {
		t.Error("no request was cut off: the gateway was not killed under load")
	}

	for order, first := range ids {
		again, err := w.offer(fmt.Sprintf("/orders/%d", order), fmt.Sprintf("order-%d", order))
		if err != nil || again != first[0] {
			t.Errorf("order %d was accepted as %s, and again as %s (%v)", order, first[0], again, err)
		}
		if doc := w.track(first[0]); doc.Status != "succeeded" {
			t.Errorf("order %d ended %s: %s", order, doc.Status, doc.text)
		}
	}
	s := w.stats("crm")
	if s.UniqueKeys != requests || s.Requests != requests {
		t.Errorf("the backend saw %d calls with %d keys, want %d of each", s.Requests, s.UniqueKeys, requests)
	}
	w.nothingOpen()
	t.Logf("%d requests were answered when the gateway was killed, %d tries were lost", killAfter, lost.Load())
}
