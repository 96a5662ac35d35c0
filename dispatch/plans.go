package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

// Plans finds the plan that a delivery was accepted under: among the live ones first,
// so that a reload reaches the workers, then among those kept in the store.
type Plans struct {
	live  func() map[string]*target.Plan
	store tracking.Store

	mu      sync.Mutex
	kept    map[string]*target.Plan // by hash
	renewed map[string]time.Time    // by hash, when the store was last asked to keep it
}

// NewPlans makes a finder. live gives the plans of the files as they are now, by target.
func NewPlans(live func() map[string]*target.Plan, store tracking.Store) *Plans {
	return &Plans{live: live, store: store, kept: map[string]*target.Plan{}, renewed: map[string]time.Time{}}
}

// maxKept bounds the compiled plans of targets that have left the files.
const maxKept = 1000

// ErrPlanGone means that no process has the plan and the store does not know it either.
var ErrPlanGone = errors.New("the plan is no longer known")

// Live gives the plan the files have for a target now; nil when there is none.
func (p *Plans) Live(name string) *target.Plan { return p.live()[name] }

// Renew has the store keep a plan for as long as it is needed; it asks once a day.
// Errors: ErrPlanGone, or the store's.
func (p *Plans) Renew(ctx context.Context, hash string) error {
	p.mu.Lock()
	at, known := p.renewed[hash]
	p.mu.Unlock()
	if known && time.Since(at) < planRenewal {
		return nil
	}
	if _, err := p.store.PlanSource(ctx, hash); err != nil {
		if errors.Is(err, tracking.ErrNotFound) {
			return ErrPlanGone
		}
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.renewed) >= maxKept {
		clear(p.renewed)
	}
	p.renewed[hash] = time.Now()
	return nil
}

// Find gives the plan of a target by its hash. Errors: ErrPlanGone, or the store's.
func (p *Plans) Find(ctx context.Context, name, hash string) (*target.Plan, error) {
	if plan := p.live()[name]; plan != nil && plan.Hash == hash {
		return plan, nil
	}
	p.mu.Lock()
	plan := p.kept[hash]
	p.mu.Unlock()
	if plan != nil {
		return plan, nil
	}
	source, err := p.store.PlanSource(ctx, hash)
	if errors.Is(err, tracking.ErrNotFound) {
		return nil, fmt.Errorf("target %s: %w", name, ErrPlanGone)
	}
	if err != nil {
		return nil, err
	}
	if plan, err = target.FromSource(name, source); err != nil {
		return nil, fmt.Errorf("target %s: %w: %w", name, ErrPlanGone, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.kept) >= maxKept {
		clear(p.kept)
	}
	p.kept[hash] = plan
	return plan, nil
}
