package ledger

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Verdict is what the books come to. All but the first block count deliveries: one
// acknowledged request promises one for each target.
type Verdict struct {
	Requests      int // acknowledged requests
	Repeated      int // of those, the ones that were sent more than once
	Cut           int // tries without an answer
	Unknown       int // tries answered 503 outcome-unknown
	Refused       int // tries answered otherwise than 202
	NeverAccepted int // requests that were refused to the end
	Wrong         int // requests that got an answer which no repeat can mend
	Doubled       int // idempotency keys that became more than one dispatch

	Acknowledged int // promised by a 202
	Delivered    int // done by the backend at least once
	Duplicates   int // times that a backend did the same again, by its idempotency key
	Lost         int // neither done, nor ended in a state that says why
	NotFinal     int // without an end that the client can read
	Failed       int // ended, but not well
	Rekeyed      int // records that came in two batches: no idempotency key could have helped

	Details []string // the first few of what went wrong
}

// maxDetails bounds Verdict.Details: the pattern shows in the first few.
const maxDetails = 12

func (v *Verdict) note(format string, args ...any) {
	if len(v.Details) < maxDetails {
		v.Details = append(v.Details, fmt.Sprintf(format, args...))
	}
}

// Judge reads the books.
func (l *Ledger) Judge() Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	var v Verdict
	for _, key := range slices.Sorted(maps.Keys(l.orders)) {
		l.judgeOrder(&v, key, l.orders[key])
	}
	for _, keys := range l.executions {
		for _, done := range keys {
			v.Duplicates += len(done) - 1
		}
	}
	for r, keys := range l.records {
		for _, times := range keys {
			v.Duplicates += times - 1
		}
		if len(keys) > 1 {
			v.Duplicates += len(keys) - 1
			v.Rekeyed++
			v.note("order %s came to %s in several batches: %s", r.order, r.target, strings.Join(slices.Sorted(maps.Keys(keys)), " "))
		}
	}
	return v
}

func (l *Ledger) judgeOrder(v *Verdict, key string, o *order) {
	v.Cut += o.cut
	v.Unknown += o.unknown
	v.Refused += o.refused
	if o.wrong != "" {
		v.Wrong++
		v.note("request %s was answered %s", key, o.wrong)
	}
	if len(o.ids) == 0 {
		v.NeverAccepted++
		v.note("request %s was never accepted", key)
		return
	}
	v.Requests++
	if o.cut+o.unknown+o.refused > 0 {
		v.Repeated++
	}
	ids := maps.Clone(l.dispatches[key])
	if ids == nil {
		ids = map[string]bool{}
	}
	for id := range o.ids {
		ids[id] = true
	}
	if len(ids) > 1 {
		v.Doubled++
		v.note("request %s became several dispatches: %s", key, strings.Join(slices.Sorted(maps.Keys(ids)), " "))
	}
	for _, id := range slices.Sorted(maps.Keys(o.ids)) {
		for _, target := range o.ids[id] {
			l.judgeDelivery(v, key, id, target)
		}
	}
}

func (l *Ledger) judgeDelivery(v *Verdict, order, id, target string) {
	v.Acknowledged++
	done := l.done(id, target) || len(l.records[record{target, order}]) > 0
	if done {
		v.Delivered++
	}
	end, tracked := l.ends[id][target]
	switch {
	case l.gone[id], !tracked, !end.Final:
		v.NotFinal++
		if !done {
			v.Lost++
		}
		v.note("%s %s: %s, done by the backend: %t", id, target, l.standing(id, end), done)
	case end.State == "succeeded" || end.State == "warned":
		if !done {
			v.Lost++
			v.note("%s %s is said to have succeeded, and the backend never did it", id, target)
		}
	default:
		v.Failed++
		v.note("%s %s ended %s (%s), done by the backend: %t", id, target, end.State, end.Reason, done)
		if !done && end.Reason == "" {
			v.Lost++
		}
	}
}

func (l *Ledger) standing(id string, end End) string {
	switch {
	case l.gone[id]:
		return "no longer known"
	case end.State == "":
		return "was never looked at"
	}
	return "still " + end.State
}

// done reports whether a backend did at least one call of a delivery.
func (l *Ledger) done(id, target string) bool {
	prefix := id + ":" + target
	for key := range l.executions[id] {
		if key == prefix || strings.HasPrefix(key, prefix+":") {
			return true
		}
	}
	return false
}
