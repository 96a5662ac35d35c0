// Package policytest owns the conformance suite of policies and authenticators: what
// every one of them must hold to, whatever it asks. It knows no single policy.
package policytest

import (
	"context"
	"maps"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/policies"
)

// prompt is how long a check may take whose caller has gone.
const prompt = 2 * time.Second

// Run tells whether a policy behaves. build makes a fresh one; it must let allowed
// pass and refuse denied, each time anew: what a policy counts, build must reset.
func Run(t *testing.T, build func() policies.Policy, allowed, denied *policies.Request) {
	t.Helper()
	t.Run("has a name and a stage", func(t *testing.T) {
		p := build()
		if p.Name() == "" || p.Stage() < policies.Identify || p.Stage() > policies.Content {
			t.Errorf("name %q, stage %d", p.Name(), p.Stage())
		}
	})
	t.Run("zero request", func(_ *testing.T) {
		build().Check(context.Background(), &policies.Request{}) // must not panic
	})
	t.Run("allows", func(t *testing.T) {
		d := build().Check(context.Background(), Clone(allowed))
		if !d.Allow {
			t.Fatalf("denied: %+v (%s)", d.Problem, d.Log)
		}
	})
	t.Run("denies in full", func(t *testing.T) {
		r := Clone(denied)
		d := build().Check(context.Background(), r)
		if d.Allow {
			t.Fatal("allowed")
		}
		if d.Problem.Status < 400 || d.Problem.Status > 599 {
			t.Errorf("status %d is no error", d.Problem.Status)
		}
		if d.Problem.Type == "" || d.Problem.Title == "" || d.Log == "" {
			t.Errorf("a denial needs a type, a title and a log: %+v, log %q", d.Problem, d.Log)
		}
		noCredentials(t, denied, d.Log, d.Problem.Detail, d.Problem.Title)
	})
	t.Run("same request, same decision", func(t *testing.T) {
		for _, r := range []*policies.Request{allowed, denied} {
			a := build().Check(context.Background(), Clone(r))
			b := build().Check(context.Background(), Clone(r))
			if !reflect.DeepEqual(a, b) {
				t.Errorf("first %+v, then %+v", a, b)
			}
		}
	})
	t.Run("concurrent checks", func(t *testing.T) {
		p := build()
		each(func(i int) {
			r := allowed
			if i%2 == 1 {
				r = denied
			}
			p.Check(context.Background(), Clone(r))
		})
	})
	t.Run("canceled context", func(t *testing.T) {
		promptly(t, func(ctx context.Context) { build().Check(ctx, Clone(allowed)) })
	})
}

// RunAuthenticator is Run for an authenticator: it must accept accepted, reject
// rejected and find nothing of its kind in absent.
func RunAuthenticator(t *testing.T, build func() policies.Authenticator, accepted, rejected, absent *policies.Request) {
	t.Helper()
	make := func(t *testing.T) policies.Authenticator {
		a := build()
		t.Cleanup(a.Close)
		return a
	}
	t.Run("zero request", func(t *testing.T) {
		p, result := make(t).Authenticate(context.Background(), &policies.Request{})
		if result.Outcome == policies.Accepted || p.Authenticated() {
			t.Fatalf("nobody was accepted: %+v", p)
		}
	})
	t.Run("accepts", func(t *testing.T) {
		p, result := make(t).Authenticate(context.Background(), Clone(accepted))
		if result.Outcome != policies.Accepted || !p.Authenticated() {
			t.Fatalf("outcome %d: %s", result.Outcome, result.Log)
		}
	})
	t.Run("rejects", func(t *testing.T) {
		p, result := make(t).Authenticate(context.Background(), Clone(rejected))
		if result.Outcome != policies.Rejected || p.Authenticated() {
			t.Fatalf("outcome %d, principal %+v", result.Outcome, p)
		}
		if result.Log == "" || result.Detail == "" {
			t.Errorf("a rejection needs a log and a detail: %+v", result)
		}
		noCredentials(t, rejected, result.Log, result.Detail)
	})
	t.Run("finds nothing", func(t *testing.T) {
		if _, result := make(t).Authenticate(context.Background(), Clone(absent)); result.Outcome != policies.Absent {
			t.Fatalf("outcome %d: %s", result.Outcome, result.Log)
		}
	})
	t.Run("same request, same principal", func(t *testing.T) {
		a := make(t)
		p, _ := a.Authenticate(context.Background(), Clone(accepted))
		q, _ := a.Authenticate(context.Background(), Clone(accepted))
		if !reflect.DeepEqual(p, q) {
			t.Errorf("first %+v, then %+v", p, q)
		}
	})
	t.Run("concurrent", func(t *testing.T) {
		a := make(t)
		requests := []*policies.Request{accepted, rejected, absent}
		each(func(i int) { a.Authenticate(context.Background(), Clone(requests[i%len(requests)])) })
	})
	t.Run("canceled context", func(t *testing.T) {
		a := make(t)
		promptly(t, func(ctx context.Context) { a.Authenticate(ctx, Clone(accepted)) })
	})
	t.Run("challenge and close", func(t *testing.T) {
		a := build()
		if !strings.Contains(a.Challenge(), `realm="`) || strings.ContainsAny(a.Challenge(), "\r\n") {
			t.Errorf("challenge %q", a.Challenge())
		}
		a.Close()
		a.Close() // a second time changes nothing
		a.Authenticate(context.Background(), Clone(accepted))
	})
}

// Clone copies a request, so that what one check sets does not reach the next.
func Clone(r *policies.Request) *policies.Request {
	out := *r
	out.Params = maps.Clone(r.Params)
	out.Header = maps.Clone(r.Header)
	out.Body = append([]byte(nil), r.Body...)
	return &out
}

// each runs f from several goroutines at once, for the race detector.
func each(f func(i int)) {
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

func promptly(t *testing.T, f func(context.Context)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	done := make(chan struct{})
	go func() { defer close(done); f(ctx) }()
	select {
	case <-done:
	case <-time.After(prompt):
		t.Fatalf("still busy %s after its caller had gone", prompt)
	}
}

// noCredentials fails when a text holds what a header of the request holds: whole, or
// any dot-separated part of a token that is long enough to be one.
func noCredentials(t *testing.T, r *policies.Request, texts ...string) {
	t.Helper()
	for _, name := range []string{"Authorization", "X-Api-Key", "Cookie"} {
		for _, value := range r.Header[name] {
			for _, part := range strings.FieldsFunc(value, func(c rune) bool { return c == ' ' || c == '.' }) {
				for _, text := range texts {
					if len(part) > 10 && strings.Contains(text, part) {
						t.Errorf("%s appears in %q", name, text)
					}
				}
			}
		}
	}
}
