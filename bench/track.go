package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"headgate/chaos/world"
)

// trackedDispatches is how many are asked for in turn: no answer is there from before.
const trackedDispatches = 1000

// trackings measures how many times a second clients can ask how their dispatches stand.
func trackings(ctx context.Context, o options, binaries world.Binaries) ([]Figure, error) {
	s, err := newStage(ctx, o, binaries)
	if err != nil {
		return nil, err
	}
	defer s.close()
	ours, err := s.headgate("headgate", true)
	if err != nil {
		return nil, err
	}
	nothing, err := s.baseline("no-op", "no-op", false)
	if err != nil {
		return nil, err
	}
	ask, err := s.dispatches(ours, trackedDispatches)
	if err != nil {
		return nil, err
	}
	say("tracking: %d rounds", o.rounds())
	got, err := measure(o.rounds(), []*contender{ours, nothing}, func(c *contender) (values, error) {
		got, err := s.flood(c, flooding{Ask: ask, For: 1500 * time.Millisecond, Want: http.StatusOK})
		if err != nil {
			return nil, err
		}
		return values{"asked": float64(got.Done) / got.Seconds, "p99": got.P99}, nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.profile(ours, "tracking", flooding{Ask: ask, For: 5 * time.Second, Want: http.StatusOK}); err != nil {
		return nil, err
	}
	return []Figure{
		got.ratio("GET /tracking/<id> per second ÷ no-op", "asked", "headgate", "no-op").atLeast(0.25),
		got.figure("GET /tracking/<id>", "1/s", "asked", "headgate"),
		got.figure("GET /tracking/<id>, no-op", "1/s", "asked", "no-op"),
	}, nil
}

// dispatches makes some, waits until they are delivered, and gives where to ask for them.
func (s *stage) dispatches(c *contender, n int64) ([]string, error) {
	before, err := s.told("count")
	if err != nil {
		return nil, err
	}
	client := s.client(c, "tracked")
	paths := make([]string, 0, n)
	for range n {
		_, answer, err := client.post(s.ctx, "/profiles/", client.record())
		if err != nil {
			return nil, err
		}
		var accepted struct {
			ID string `json:"tracking_id"`
		}
		if err := json.Unmarshal(answer, &accepted); err != nil {
			return nil, err
		}
		paths = append(paths, "/tracking/"+accepted.ID)
	}
	if err := s.awaitArrivals(c.name, before+3*n); err != nil {
		return nil, err
	}
	return paths, sleep(s.ctx, time.Second) // until the last ends are written down
}
