package load

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"headgate/chaos/ledger"
)

// view is what is read of a tracking answer.
type view struct {
	Status  string
	Targets map[string]struct {
		State  string
		Reason string
	}
}

// Follow asks for every acknowledged dispatch until it is final or ctx ends, and gives
// the time at which the last one was.
func (c *Clients) Follow(ctx context.Context) time.Time {
	const followers = 16
	ids := make(chan string)
	var wait sync.WaitGroup
	for range followers {
		wait.Go(func() {
			for id := range ids {
				c.follow(ctx, id)
			}
		})
	}
	for _, id := range c.Books.IDs() {
		ids <- id
	}
	close(ids)
	wait.Wait()
	return time.Now()
}

// follow asks for one dispatch. A 404 is final when it comes several times: nobody will
// ever be able to tell the client more.
func (c *Clients) follow(ctx context.Context, id string) {
	const enough = 3
	for unknown := 0; ; {
		status, text, err := c.call(ctx, http.MethodGet, "/tracking/"+id, nil, http.Header{"Prefer": {"wait=5"}})
		var v view
		switch {
		case err != nil:
		case status == http.StatusNotFound:
			if unknown++; unknown == enough {
				c.Books.Gone(id)
				return
			}
		case status == http.StatusOK && json.Unmarshal(text, &v) == nil:
			final := v.Status != "in_progress"
			for target, d := range v.Targets {
				c.Books.Tracked(id, target, ledger.End{State: d.State, Reason: d.Reason, Final: final})
			}
			if final {
				return
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Wait has n clients wait for the end of the newest dispatch, again and again, until ctx ends. A wait that is not answered 200 is wrong, which is called by one goroutine at a
// time and not after done has returned; done gives how many were answered.
func (c *Clients) Wait(ctx context.Context, n int, wrong func(string)) (done func() int) {
	var clients sync.WaitGroup
	var mu sync.Mutex
	answered := 0
	for range n {
		clients.Go(func() {
			for ctx.Err() == nil {
				id, _ := c.newest.Load().(string)
				if id == "" {
					time.Sleep(firstPause)
					continue
				}
				status, text, err := c.call(ctx, http.MethodGet, "/tracking/"+id, nil, http.Header{"Prefer": {"wait=5"}})
				mu.Lock()
				switch {
				case ctx.Err() != nil: // the wait was given up here
				case err != nil:
					wrong(fmt.Sprintf("waiting for %s: %v", id, err))
				case status != http.StatusOK:
					wrong(fmt.Sprintf("waiting for %s was answered %d: %s", id, status, text))
				default:
					answered++
				}
				mu.Unlock()
			}
		})
	}
	return func() int { clients.Wait(); return answered }
}

// Repeat sends again, once each, the orders of which it was not certain whether they
// had been accepted: they must be the same dispatch.
func (c *Clients) Repeat(ctx context.Context) {
	for _, order := range c.Books.Uncertain() {
		c.Order(ctx, order)
	}
}
