package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"headgate/chaos/load"
	"headgate/chaos/world"
)

// harness runs scenarios.
type harness struct {
	dir      string // a folder of its own for each scenario
	keep     bool   // also of those that went well
	seed     uint64
	short    bool
	parallel int
	binaries world.Binaries
	report   func(result) // called by one goroutine at a time
}

// How long things may take: the first bounds what a client repeats and the healing, on a
// machine that has much else to do.
const (
	healPatience = 4 * time.Minute
	leftPatience = 30 * time.Second
	warmUp       = 2 * time.Second
	defaultRate  = 25
)

// all runs the scenarios, several side by side, and reports whether each went well.
func (h *harness) all(ctx context.Context, list []*scenario) bool {
	todo := make(chan *scenario)
	var lanes sync.WaitGroup
	var mu sync.Mutex
	good := true
	for range h.parallel {
		lanes.Go(func() {
			for s := range todo {
				r := h.one(ctx, s)
				mu.Lock()
				good = good && r.OK
				h.report(r)
				mu.Unlock()
			}
		})
	}
	for _, s := range list {
		select {
		case todo <- s:
		case <-ctx.Done():
			good = false
		}
	}
	close(todo)
	lanes.Wait()
	return good
}

// inTurn puts the scenarios into the order in which they are begun: the longest first,
// those that need another binary last, since it is built meanwhile.
func inTurn(list []*scenario) []*scenario {
	return slices.SortedStableFunc(slices.Values(list), func(a, b *scenario) int {
		return int(a.spec.Variant() - b.spec.Variant())
	})
}

// one runs a scenario and gives what became of it.
func (h *harness) one(ctx context.Context, s *scenario) result {
	began := time.Now()
	dir := filepath.Join(h.dir, s.name)
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(s.name))
	r := &run{scenario: s, short: h.short, rand: rand.New(rand.NewPCG(h.seed, sum.Sum64()))} //nolint:gosec // a schedule is no secret
	out, err := h.play(ctx, r, dir)
	if err != nil {
		out.Scenario, out.OK = s.name, false
		out.Problems = append(out.Problems, err.Error())
	}
	out.TookS = seconds(time.Since(began))
	if out.OK && !h.keep {
		_ = os.RemoveAll(dir)
	} else {
		out.Logs = dir
	}
	return out
}

func (h *harness) play(ctx context.Context, r *run, dir string) (result, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return result{}, err
	}
	w, err := world.New(ctx, dir, r.spec, h.binaries)
	if err != nil {
		return result{}, err
	}
	defer w.Close()
	r.world = w
	r.clients = &load.Clients{Gateways: r.gateways, Books: w.Books, Rate: r.rate}
	if r.rate == 0 {
		r.clients.Rate = defaultRate
	}
	patient, cancel := context.WithCancel(ctx)
	defer cancel()
	r.clients.Start(patient)
	defer r.clients.Close()
	fault := r.sleep(ctx, warmUp)
	if fault == nil {
		fault = r.fault(ctx, r)
	}
	if r.lifted.IsZero() {
		r.lifted = time.Now()
	}
	time.AfterFunc(healPatience, cancel)
	r.clients.Stop()
	healed := r.clients.Follow(patient)
	r.clients.Repeat(patient)
	h.after(ctx, r)
	out := judge(r.scenario, w.Books.Judge(), r.problems)
	out.HealedS = seconds(healed.Sub(r.lifted))
	if fault != nil {
		return out, fmt.Errorf("the fault itself did not work: %w", fault)
	}
	return out, ctx.Err()
}

// after looks at what must hold once everything is final.
func (h *harness) after(ctx context.Context, r *run) {
	r.problems = append(r.problems, r.world.Complaints()...)
	if r.check != nil {
		r.check()
	}
	// A batch ends a moment after the last of its records.
	left, err := r.world.LeftOver(ctx)
	for deadline := time.Now().Add(leftPatience); err == nil && len(left) > 0 && time.Now().Before(deadline); {
		if err = r.sleep(ctx, 50*time.Millisecond); err == nil {
			left, err = r.world.LeftOver(ctx)
		}
	}
	if err != nil {
		r.wrong(err.Error())
	}
	for _, index := range left {
		r.wrong("still there although everything is final: " + index)
	}
}

// gateways are those that clients may try: a client does not know which of them live.
func (r *run) gateways() []string {
	if b := r.world.Balancer; b != nil {
		return []string{b.URL}
	}
	var out []string
	for _, g := range r.world.Gateways {
		out = append(out, g.URL)
	}
	return out
}

func seconds(d time.Duration) float64 {
	return float64(d.Round(100*time.Millisecond)) / float64(time.Second)
}
