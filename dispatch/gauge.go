package dispatch

import (
	"container/list"
	"time"

	"headgate/dispatch/tracking"
)

// gauge estimates one count from above: what the store said last, and what this process
// added since. What other processes added since is what it does not know.
type gauge struct {
	known    int
	inFlight int // accepts under way: the store may count them already
	since    int // accepted since the reading of known began
	marked   int // of since: counted by the reading that is under way

	readAt time.Time
	drain  float64 // how many fewer there are each second; 0 when there are not
}

func (g *gauge) estimate() int { return g.known + g.inFlight + g.since }

// settle takes over what a reading that began at the time now found.
func (g *gauge) settle(found int, now time.Time) {
	g.drain = 0
	if passed := now.Sub(g.readAt).Seconds(); !g.readAt.IsZero() && passed > 0 && found < g.known {
		g.drain = float64(g.known-found) / passed
	}
	g.known, g.since, g.marked, g.readAt = found, g.since-g.marked, 0, now
}

// The bounds of Retry-After when a backlog is full. backlogRetry is for one that does not
// get shorter: nobody knows when there will be room.
const (
	backlogRetry = 5 * time.Second
	leastRetry   = time.Second
	mostRetry    = time.Minute
)

// roomAfter guesses when the count will be below limit.
func (g *gauge) roomAfter(limit int) time.Duration {
	if g.drain == 0 {
		return backlogRetry
	}
	seconds := float64(g.estimate()-limit+1) / g.drain
	return time.Duration(min(max(seconds, leastRetry.Seconds()), mostRetry.Seconds()) * float64(time.Second))
}

// maxTenants bounds the tenants whose counts are read each time. Of those that come on
// top, the one that has sent nothing for longest is forgotten: its limit holds again from
// the reading after its next request.
const maxTenants = 1024

// tenantGauges holds a gauge for each tenant that was asked for lately.
type tenantGauges struct {
	byTenant map[tracking.TenantRef]*list.Element
	recent   *list.List // of *tenantGauge, the latest first
}

type tenantGauge struct {
	gauge
	who  tracking.TenantRef
	used time.Time
}

func newTenantGauges() *tenantGauges {
	return &tenantGauges{byTenant: map[tracking.TenantRef]*list.Element{}, recent: list.New()}
}

// get gives the tenant's gauge, a new one when there is none.
func (t *tenantGauges) get(who tracking.TenantRef, now time.Time) *tenantGauge {
	e := t.byTenant[who]
	if e == nil {
		e = t.recent.PushFront(&tenantGauge{who: who})
		t.byTenant[who] = e
		if t.recent.Len() > maxTenants {
			t.remove(t.recent.Back())
		}
	}
	t.recent.MoveToFront(e)
	g := e.Value.(*tenantGauge)
	g.used = now
	return g
}

// forget drops the tenants that have sent nothing since before.
func (t *tenantGauges) forget(before time.Time) {
	for e := t.recent.Back(); e != nil && e.Value.(*tenantGauge).used.Before(before); e = t.recent.Back() {
		t.remove(e)
	}
}

func (t *tenantGauges) remove(e *list.Element) {
	delete(t.byTenant, e.Value.(*tenantGauge).who)
	t.recent.Remove(e)
}

func (t *tenantGauges) all() []*tenantGauge {
	out := make([]*tenantGauge, 0, t.recent.Len())
	for e := t.recent.Front(); e != nil; e = e.Next() {
		out = append(out, e.Value.(*tenantGauge))
	}
	return out
}
