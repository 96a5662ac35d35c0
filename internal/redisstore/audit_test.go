package redisstore

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// TestCountsAgreeAfterChaos: whatever happens to deliveries, in whatever order, while the
// server is killed under way, the counts are those of the records at the end.
func TestCountsAgreeAfterChaos(t *testing.T) {
	server := testenv.Redis(t, testenv.WithAOF())
	s, conn := open(t, Options{Network: "tcp", Addr: server.Addr(), AutoPipeline: true})
	s.KeepDeadLetters(50 * time.Millisecond) // so that some expire under way
	const hands, perHand, kills = 8, 250, 2
	pool := &refPool{}
	kill := make(chan struct{})
	var all sync.WaitGroup
	for hand := range hands {
		all.Go(func() {
			dice := rand.New(rand.NewPCG(7, uint64(hand)))
			for i := range perHand {
				if hand == 0 && i%(perHand/(kills+1)) == perHand/(kills+1)-1 && i < perHand-10 {
					kill <- struct{}{}
				}
				awaitUp(t, conn) // otherwise all there is to do fails while the server is away
				ref, n := pool.pick(dice)
				if n < 50 || dice.IntN(4) == 0 {
					pool.accept(t, s, dice)
				} else {
					disturb(t, s, ref, dice, fmt.Sprintf("hand-%d.%d", hand, i))
				}
			}
		})
	}
	for range kills {
		<-kill
		server.Kill()
		server.Restart()
	}
	all.Wait()
	awaitUp(t, conn)
	faults, err := s.Audit(t.Context())
	if err != nil || len(faults) > 0 {
		t.Errorf("%d counts are wrong (%v): %v", len(faults), err, faults)
	}
	b, err := s.Backlog(t.Context(), nil)
	accepted := len(pool.refs) / 2
	t.Logf("%d deliveries of each target, under way %v (%v)", accepted, b.Targets, err)
	if n := b.Targets["crm"]; n == 0 || n >= accepted {
		t.Errorf("%d of %d are under way: too little happened", n, accepted)
	}
	shard, _ := keysOf(pool.refs[0].Tracking)
	conn.Base.HIncrBy(t.Context(), tenantsKey(shard), "o:crm:nobody", 2)
	if faults, err := s.Audit(t.Context()); err != nil || len(faults) != 1 || faults[0].Counted != 2 || faults[0].Found != 0 {
		t.Errorf("a wrong count is told as %v (%v)", faults, err)
	}
}

// awaitUp waits until the server answers: the client gives a moment to one that did not.
func awaitUp(t *testing.T, conn *Conn) {
	t.Helper()
	testenv.Eventually(t, 20*time.Second, func() bool { return conn.Base.Ping(t.Context()).Err() == nil }, "the server does not answer")
}

// refPool is what has been accepted so far.
type refPool struct {
	mu   sync.Mutex
	refs []tracking.Ref
}

// pick gives one of them, and how many there are.
func (p *refPool) pick(dice *rand.Rand) (ref tracking.Ref, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n = len(p.refs); n > 0 {
		ref = p.refs[dice.IntN(n)]
	}
	return ref, n
}

func (p *refPool) accept(t *testing.T, s *Store, dice *rand.Rand) {
	a := request(t, fmt.Sprint("key-", dice.IntN(1000)), "crm", "mail")
	a.Dispatch.Tenant = fmt.Sprint("keys/", dice.IntN(3))
	a.FairShare = map[string]int{"crm": 64, "mail": 128}
	if taken, err := s.Accept(t.Context(), a); err != nil || taken != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, target := range []string{"crm", "mail"} {
		p.refs = append(p.refs, tracking.Ref{Tracking: a.Dispatch.ID, Target: target})
	}
}

// disturb does one of the things that happen to a delivery. Errors are part of it: it may
// have moved, or the server is away.
func disturb(t *testing.T, s *Store, ref tracking.Ref, dice *rand.Rand, token string) {
	ctx := t.Context()
	d, err := s.Load(ctx, ref.Tracking)
	if err != nil {
		return
	}
	now := d.Deliveries[ref.Target]
	switch dice.IntN(8) {
	case 0:
		_, _ = s.Cancel(ctx, ref.Tracking, d.Tenant)
	case 1:
		if !now.State.Final() {
			_ = s.Apply(ctx, ref, now.Fence, tracking.TakeOver(now))
		}
	case 2:
		_, _ = s.ExpireDeadLetters(ctx, 5)
		_ = s.DropDeadLetter(ctx, ref)
	case 3:
		if now.State == tracking.Failed || now.State == tracking.Rejected {
			next := tracking.Revive(now, tracking.Revival{Mass: dice.IntN(2) == 0}, time.Now())
			_ = s.Revive(ctx, ref, now.Fence, next, []byte(`{}`))
		}
	default:
		c, err := s.Claim(ctx, ref, now.Seq, token, time.Minute)
		if err != nil {
			return
		}
		events := []tracking.Event{
			failed(false), failed(true), tracking.NotYet{After: time.Second}, tracking.Advanced{Next: "more"},
			tracking.Concluded{State: tracking.Succeeded}, tracking.Concluded{State: tracking.Rejected},
		}
		if n := dice.IntN(len(events) + 1); n < len(events) { // otherwise the run dies
			_ = s.Apply(ctx, ref, c.Delivery.Fence, tracking.Apply(c.Delivery, events[n], c.Now))
		}
	}
}
