package redisstore

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

func failed(final bool) tracking.Event {
	return tracking.AttemptFailed{Fault: &fault.Fault{Reason: fault.Timeout, Message: "no answer"}, Final: final}
}

var faces = map[string]bool{"plain": false, "auto-pipeline": true}

// TestRedisGone: a server that refuses connections is known to be away at once, and for
// certain: the client may try again without fear.
func TestRedisGone(t *testing.T) {
	for name, auto := range faces {
		t.Run(name, func(t *testing.T) {
			server := testenv.Redis(t)
			s, _ := open(t, Options{Network: "tcp", Addr: server.Addr(), AutoPipeline: auto})
			server.Kill()
			id := newID(t, "")
			ref := tracking.Ref{Tracking: id, Target: "crm"}
			next := tracking.Delivery{Fence: tracking.Fence{Seq: 2}, Phase: tracking.Queued, State: tracking.Pending}
			fastest := time.Hour
			for call, do := range map[string]func() error{
				"Accept":      func() error { _, err := s.Accept(t.Context(), request(t, "hash", "crm")); return err },
				"Idem":        func() error { _, err := s.Idem(t.Context(), "hash"); return err },
				"Claim":       func() error { _, err := s.Claim(t.Context(), ref, 1, "run", time.Second); return err },
				"Apply":       func() error { return s.Apply(t.Context(), ref, tracking.Fence{Seq: 1}, next) },
				"Load":        func() error { _, err := s.Load(t.Context(), id); return err },
				"Overdue":     func() error { _, err := s.Overdue(t.Context(), 0, 1); return err },
				"QueuedSince": func() error { _, err := s.QueuedSince(t.Context(), "crm", 0, 1); return err },
				"Touch":       func() error { return s.Touch(t.Context(), tracking.Row{Ref: ref, Now: time.Now()}) },
				"SavePlan":    func() error { return s.SavePlan(t.Context(), "hash", nil) },
				"PlanSource":  func() error { _, err := s.PlanSource(t.Context(), "hash"); return err },
				"OpenPlans":   func() error { _, err := s.OpenPlans(t.Context()); return err },
				"Prepare":     func() error { return s.Prepare(t.Context()) },
			} {
				begun := time.Now()
				if err := do(); !errors.Is(err, tracking.ErrUnavailable) {
					t.Errorf("%s: %v, want ErrUnavailable", call, err)
				}
				fastest = min(fastest, time.Since(begun))
			}
			// The client's own default is to dial five times, a tenth of a second apart. The
			// fastest call counts: a busy machine makes one slow, not all.
			if fastest > 350*time.Millisecond {
				t.Errorf("no call took less than %v to find out", fastest)
			}
		})
	}
}

// TestRedisHangs: a server that takes the command and says nothing leaves the outcome
// open, and the caller's deadline counts.
func TestRedisHangs(t *testing.T) {
	server := testenv.Redis(t)
	s, _ := open(t, Options{Network: "tcp", Addr: server.Addr()})
	accept(t, s, request(t, "", "crm")) // a connection stands
	server.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	a := request(t, "hash", "crm")
	begun := time.Now()
	if _, err := s.Accept(ctx, a); !errors.Is(err, tracking.ErrOutcomeUnknown) {
		t.Errorf("Accept: %v, want ErrOutcomeUnknown", err)
	}
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("the deadline of 100ms ended it after %v", took)
	}
	server.Resume()
	accept(t, s, a) // whatever became of the first sending
	if d, err := s.Load(t.Context(), a.Dispatch.ID); err != nil || len(d.Deliveries) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
}

// cutter stands between client and server. Armed, it passes the next request on, waits
// for the server's answer, and cuts the connection instead of giving it.
type cutter struct {
	net.Listener
	server string
	cuts   atomic.Int32 // how many answers are still to be swallowed
	done   atomic.Int32 // how many were
	wg     sync.WaitGroup
}

func newCutter(t *testing.T, server string) *cutter {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: l, server: server}
	c.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.wg.Go(func() { c.serve(conn) })
		}
	})
	t.Cleanup(c.wg.Wait)
	t.Cleanup(func() { _ = l.Close() })
	return c
}

func (c *cutter) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", c.server)
	if err != nil {
		return
	}
	c.wg.Go(func() {
		_, _ = io.Copy(server, client) // either side's end ends both
		_ = server.Close()
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		if c.cuts.Load() > 0 {
			c.cuts.Add(-1)
			c.done.Add(1)
			_ = server.Close()
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// TestAnswerLost: the server has done what it was told and nobody hears of it.
func TestAnswerLost(t *testing.T) {
	for name, auto := range faces {
		t.Run(name, func(t *testing.T) {
			server := testenv.Redis(t)
			proxy := newCutter(t, server.Addr())
			s, _ := open(t, Options{Network: "tcp", Addr: proxy.Addr().String(), AutoPipeline: auto, PoolSize: 2})
			direct, _ := open(t, Options{Network: "tcp", Addr: server.Addr()})
			if err := direct.Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			// So that what is cut is the script's answer, not the handshake's.
			warm := func() {
				t.Helper()
				testenv.Eventually(t, patience, func() bool { _, err := s.OpenPlans(t.Context()); return err == nil }, "a connection")
				if _, err := s.Idem(t.Context(), "none"); err != nil {
					t.Fatal(err)
				}
			}
			warm()
			proxy.cuts.Store(1)
			a := request(t, "hash", "crm", "mail")
			accept(t, s, a)
			if proxy.done.Load() == 0 {
				t.Fatal("no answer was cut")
			}
			if open, err := direct.OpenPlans(t.Context()); err != nil || open[tracking.PlanRef{Target: "crm", Hash: a.Dispatch.Deliveries["crm"].Plan}] != 1 {
				t.Errorf("recorded %v times (%v), want once", open, err)
			}

			warm()
			proxy.cuts.Store(1000)
			b := request(t, "hash2", "crm")
			if _, err := s.Accept(t.Context(), b); !errors.Is(err, tracking.ErrOutcomeUnknown) {
				t.Errorf("every answer lost: %v, want ErrOutcomeUnknown", err)
			}
			proxy.cuts.Store(0)
			warm()
			accept(t, s, b)
			if open, _ := direct.OpenPlans(t.Context()); open[tracking.PlanRef{Target: "crm", Hash: b.Dispatch.Deliveries["crm"].Plan}] != 2 {
				t.Errorf("open deliveries %v, want the two requests' once each", open)
			}

			// A claim and an apply whose answers were lost may be repeated as they were.
			ref := tracking.Ref{Tracking: a.Dispatch.ID, Target: "crm"}
			proxy.cuts.Store(1)
			if _, err := s.Claim(t.Context(), ref, 1, "run", time.Minute); !errors.Is(err, tracking.ErrUnavailable) {
				t.Errorf("Claim: %v, want ErrUnavailable", err)
			}
			warm()
			c, err := s.Claim(t.Context(), ref, 1, "run", time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			next := tracking.Apply(c.Delivery, failed(true), c.Now)
			proxy.cuts.Store(1)
			if err := s.Apply(t.Context(), ref, c.Delivery.Fence, next); !errors.Is(err, tracking.ErrUnavailable) {
				t.Errorf("Apply: %v, want ErrUnavailable", err)
			}
			warm()
			if err := s.Apply(t.Context(), ref, c.Delivery.Fence, next); err != nil {
				t.Errorf("Apply again: %v", err)
			}
		})
	}
}
