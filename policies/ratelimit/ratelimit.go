// Package ratelimit owns the question whether a caller has asked too often: rules
// over fixed windows, counted by whoever is given as Deps.Limit. It knows no Redis.
package ratelimit

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"headgate/policies"
)

// Register adds the policy to the registry, as `rate_limit`.
func Register(r *policies.Registry) {
	r.Policy("rate_limit", &Config{}, func(b policies.Build) policies.Policy {
		if p := New(b); p != nil {
			return p
		}
		return nil
	})
}

// Policy counts a request under every rule and refuses it when any is exceeded. A
// refused request counts as well.
type Policy struct {
	rules    []rule
	declared string // RateLimit-Policy
	limit    func(ctx context.Context, key string, limit int64, per time.Duration) (policies.LimitState, error)
}

// Name implements policies.Policy.
func (*Policy) Name() string { return "rate_limit" }

// Stage implements policies.Policy.
func (*Policy) Stage() policies.Stage { return policies.Admit }

// answer is what came back for one rule.
type answer struct {
	state policies.LimitState
	err   error
}

// Check implements policies.Policy. Without Deps.Limit everything passes.
func (p *Policy) Check(ctx context.Context, r *policies.Request) policies.Decision {
	if p.limit == nil {
		return policies.Pass()
	}
	return p.decide(p.ask(ctx, r))
}

// ask counts the hit under all rules in one wave of round trips.
func (p *Policy) ask(ctx context.Context, r *policies.Request) []answer {
	out := make([]answer, len(p.rules))
	var wg sync.WaitGroup
	for i := 1; i < len(p.rules); i++ {
		wg.Go(func() { out[i] = p.askOne(ctx, i, r) })
	}
	out[0] = p.askOne(ctx, 0, r)
	wg.Wait()
	return out
}

func (p *Policy) askOne(ctx context.Context, i int, r *policies.Request) answer {
	rule := &p.rules[i]
	state, err := p.limit(ctx, rule.key(i, r), rule.Limit, rule.Per.D())
	return answer{state, err}
}

func (p *Policy) decide(answers []answer) policies.Decision {
	strictest := -1
	refused, failed := false, false
	var log []string
	for i, a := range answers {
		rule := &p.rules[i]
		if a.err != nil {
			log = append(log, fmt.Sprintf("count %s: %s", rule.name, a.err))
			failed = failed || rule.OnError != OnErrorAllow
			continue
		}
		if a.state.Exceeded {
			refused = true
			log = append(log, fmt.Sprintf("more than %d requests in %s by %s", rule.Limit, rule.Per, rule.By))
		}
		if strictest < 0 || stricter(a.state, answers[strictest].state) {
			strictest = i
		}
	}
	d := policies.Pass()
	switch {
	case refused:
		d = policies.Deny(tooMany(answers[strictest].state.Reset, &p.rules[strictest]), "")
	case failed:
		d = policies.Deny(policies.Problem{
			Status: http.StatusServiceUnavailable,
			Type:   "unavailable",
			Title:  "Temporarily unavailable",
			Detail: "requests cannot be counted right now",
			Retry:  time.Second,
		}, "")
	}
	d.Log = strings.Join(log, "; ")
	if strictest >= 0 {
		d.Headers = p.headers(&p.rules[strictest], answers[strictest].state)
	}
	return d
}

// stricter orders states by how soon they stop a caller, and for how long.
func stricter(a, b policies.LimitState) bool {
	if a.Exceeded != b.Exceeded {
		return a.Exceeded
	}
	if !a.Exceeded && a.Remaining != b.Remaining {
		return a.Remaining < b.Remaining
	}
	return a.Reset > b.Reset
}

func tooMany(reset time.Duration, r *rule) policies.Problem {
	return policies.Problem{
		Status: http.StatusTooManyRequests,
		Type:   "rate-limited",
		Title:  "Too many requests",
		Detail: fmt.Sprintf("more than %d requests in %s", r.Limit, r.Per),
		Retry:  time.Duration(seconds(reset)) * time.Second,
	}
}

// headers follow draft-ietf-httpapi-ratelimit-headers: every rule is declared, the
// state is that of the strictest.
func (p *Policy) headers(r *rule, s policies.LimitState) map[string]string {
	return map[string]string{
		"RateLimit-Policy": p.declared,
		"RateLimit":        r.quoted + ";r=" + strconv.FormatInt(max(s.Remaining, 0), 10) + ";t=" + strconv.FormatInt(seconds(s.Reset), 10),
	}
}

// seconds rounds up, to one at least: who comes back then must not be too early.
func seconds(d time.Duration) int64 {
	return max(int64((d+time.Second-1)/time.Second), 1)
}
