package load

import (
	"context"
	"encoding/json"
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

// Repeat sends again, once each, the orders of which it was not certain whether they
// had been accepted: they must be the same dispatch.
func (c *Clients) Repeat(ctx context.Context) {
	for _, order := range c.Books.Uncertain() {
		c.Order(ctx, order)
	}
}
