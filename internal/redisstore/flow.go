package redisstore

import (
	"context"
	_ "embed" // the scripts
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/internal/flow"
)

var (
	//go:embed flow.lua
	flowSource string
	//go:embed flowlook.lua
	flowLookSource string
	//go:embed rate.lua
	rateSource string

	flowScript     = redis.NewScript(flowSource)
	flowLookScript = redis.NewScript(flowLookSource)
	rateScript     = redis.NewScript(rateSource)
)

// Flow keeps what holds targets back for all workers; it implements flow.Store.
type Flow struct {
	rdb redis.UniversalClient
}

// NewFlow makes a Flow on a plain client: it subscribes, and what it asks must not wait
// for the commands of others.
func NewFlow(rdb redis.UniversalClient) *Flow { return &Flow{rdb: rdb} }

var _ flow.Store = (*Flow)(nil)

// Look implements flow.Store.
func (f *Flow) Look(ctx context.Context, worker string, probing []string, right time.Duration) (map[string]flow.Fleet, error) {
	args := make([]any, 0, 2+len(probing))
	args = append(args, worker, right.Milliseconds())
	for _, target := range probing {
		args = append(args, target)
	}
	rows, err := flowLookScript.Run(ctx, f.rdb, []string{flowKey}, args...).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("look at what holds targets back: %w", err)
	}
	out := make(map[string]flow.Fleet, len(rows)/2)
	now := atoi64(rows[0])
	for i := 1; i+1 < len(rows); i += 2 {
		kind, target, _ := strings.Cut(rows[i], ":")
		first, second, _ := strings.Cut(rows[i+1], " ")
		seen := out[target]
		switch kind {
		case "open":
			seen.Open = true
			seen.OpenFor = max(time.Duration(atoi64(second)-now)*time.Millisecond, 0)
		case "probe":
			seen.Mine = second == worker
		case "hold":
			seen.Held = time.Duration(atoi64(first)-now) * time.Millisecond
		case string(flow.Halted), string(flow.Draining):
			seen.Order = flow.Order{Mode: flow.Mode(kind), Since: ofMillis(atoi64(first))}
			var said said
			if err := json.Unmarshal([]byte(second), &said); err == nil { // otherwise it is not known who
				seen.Order.By, seen.Order.Note = said.By, said.Note
			}
		}
		out[target] = seen
	}
	return out, nil
}

// Trip implements flow.Store.
func (f *Flow) Trip(ctx context.Context, target, worker string, openFor, longest time.Duration) error {
	return f.change(ctx, "trip", target, worker, openFor.Milliseconds(), longest.Milliseconds())
}

// Reset implements flow.Store.
func (f *Flow) Reset(ctx context.Context, target string) error { return f.change(ctx, "reset", target) }

// Hold implements flow.Store.
func (f *Flow) Hold(ctx context.Context, target string, d time.Duration) error {
	return f.change(ctx, "hold", target, d.Milliseconds())
}

// said is what an operator's order says besides its mode.
type said struct {
	By   string `json:"by,omitempty"`
	Note string `json:"note,omitempty"`
}

// Order puts a target into a mode for the whole fleet, until another order; Since is the
// store's to say. What runs goes on to its end. That it is in the mode already is no error:
// it stays so since when it was, and is told of a new note only.
func (f *Flow) Order(ctx context.Context, target string, o flow.Order) error {
	text, err := json.Marshal(said{By: o.By, Note: o.Note})
	if err != nil {
		return fmt.Errorf("order target %s: %w", target, err)
	}
	why := ""
	if o.Note != "" {
		why = "1"
	}
	return f.change(ctx, "order", target, string(o.Mode), text, why)
}

// Fleet gives what holds targets back and what was ordered for them, to who is no worker.
func (f *Flow) Fleet(ctx context.Context) (map[string]flow.Fleet, error) {
	return f.Look(ctx, "", nil, 0)
}

// Draining lists the targets that take no requests.
func (f *Flow) Draining(ctx context.Context) ([]string, error) {
	fleet, err := f.Fleet(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for target, seen := range fleet {
		if seen.Order.Mode == flow.Draining {
			out = append(out, target)
		}
	}
	return out, nil
}

func (f *Flow) change(ctx context.Context, what, target string, args ...any) error {
	args = append([]any{what, target, flowChannel}, args...)
	if err := flowScript.Run(ctx, f.rdb, []string{flowKey}, args...).Err(); err != nil {
		return fmt.Errorf("%s target %s: %w", what, target, err)
	}
	return nil
}

// Lease implements flow.Store.
func (f *Flow) Lease(ctx context.Context, target string, every time.Duration, burst, want int) (int, time.Duration, error) {
	got, err := rateScript.Run(ctx, f.rdb, []string{rateKey(target)}, micros(every), burst, want).Int64Slice()
	if err != nil || len(got) != 2 {
		return 0, 0, fmt.Errorf("lease tokens of %s: %w", target, err)
	}
	return int(got[0]), time.Duration(got[1]) * time.Microsecond, nil
}

// Return implements flow.Store.
func (f *Flow) Return(ctx context.Context, target string, every time.Duration, tokens int) error {
	// What is given back counts from the time it was due: nothing is kept for longer.
	if err := rateScript.Run(ctx, f.rdb, []string{rateKey(target)}, micros(every), tokens+1, -tokens).Err(); err != nil {
		return fmt.Errorf("return tokens of %s: %w", target, err)
	}
	return nil
}

// micros rounds up: a rate is never exceeded.
func micros(d time.Duration) int64 { return max(int64((d+time.Microsecond-1)/time.Microsecond), 1) }

// Changes implements flow.Store.
func (f *Flow) Changes(ctx context.Context) (changes <-chan struct{}, end func()) {
	sub := f.rdb.Subscribe(ctx, flowChannel)
	messages := sub.Channel()
	out, done := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(done)
		for range messages {
			select {
			case out <- struct{}{}:
			default: // one look shows them all
			}
		}
	}()
	return out, func() { _ = sub.Close(); <-done }
}
