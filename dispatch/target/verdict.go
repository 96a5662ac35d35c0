package target

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
	"headgate/dispatch/transform"
)

// findings are what a list of rejects says.
type findings struct {
	of        map[int]*verdict // by the place of the record; a delivery by itself has place 0
	read      int              // items read, of whichever record
	strangers int              // items that mean none of the batch's records
	complete  bool             // there are no more items, and each is understood
}

// verdict is what the list says about one record.
type verdict struct {
	reasons  []string // why it was refused
	warnings []string // what the backend remarked on although it took it
	refused  bool
	warned   bool
}

// add takes one item into account, for the records that it means.
func (f *findings) add(spec *rejects, scope transform.Scope, places []int) {
	code := itemText(spec.code, scope)
	reason := itemText(spec.reason, scope)
	if code != "" {
		reason = strings.TrimSpace(code + " " + reason)
	}
	if reason == "" {
		reason = "refused, without a reason"
	}
	if places == nil {
		f.strangers++
	}
	for _, place := range places {
		v := f.of[place]
		if v == nil {
			v = new(verdict)
			f.of[place] = v
		}
		if code != "" && spec.warnings[code] {
			v.warned = true
			v.warnings = append(v.warnings, reason)
		} else {
			v.refused = true
			v.reasons = append(v.reasons, reason)
		}
	}
}

// correlation gives what finds the records that the item in scope means: their places, or
// nil when it means none of ours. The records of a batch are read for it once.
func (r *run) correlation(ctx context.Context, scope transform.Scope) (func(*response) ([]int, *fault.Fault), *fault.Fault) {
	spec := r.step.rejects
	if r.plan.Batch == nil {
		return func(resp *response) ([]int, *fault.Fault) {
			if spec.match == nil {
				return []int{0}, nil
			}
			ours, err := spec.match.Eval(scope)
			switch {
			case err != nil:
				return nil, unreadable(resp, err)
			case ours:
				return []int{0}, nil
			}
			return []int{}, nil // of another upload, which the list has as well
		}, nil
	}
	records, keys, err := r.in.Records(ctx)
	if err != nil {
		return nil, &fault.Fault{Reason: fault.Internal, Retry: true, Err: err, Message: "the records of the batch cannot be read: " + err.Error()}
	}
	if spec.index != nil {
		return func(*response) ([]int, *fault.Fault) {
			place, err := strconv.Atoi(itemText(spec.index, scope))
			if err != nil || place < 0 || place >= len(records) {
				return nil, nil
			}
			return []int{place}, nil
		}, nil
	}
	byKey := make(map[string][]int, len(records))
	for place, record := range records {
		payload, err := decodeJSON(record)
		if err != nil {
			continue // it has left the batch since, and what comes of it is told elsewhere
		}
		if key := itemText(spec.recordKey, transform.Scope{"record": payload, "key": keys[place]}); key != "" {
			byKey[key] = append(byKey[key], place)
		}
	}
	return func(*response) ([]int, *fault.Fault) { return byKey[itemText(spec.itemKey, scope)], nil }, nil
}

// judged reads the list of rejects and says what came of the delivery, or of each record
// of a batch. What cannot be read after a poll is asked for again by the next one; after
// an upload, nothing may make it be sent again.
func (r *run) judged(ctx context.Context, end ending, last *response, answer tracking.Answer, message string) tracking.Event {
	found, f := r.readRejects(ctx, last)
	switch {
	case f != nil && r.step.poll != nil:
		return r.pollFailed(f)
	case f != nil:
		return r.conclude(answer, tracking.Unknown, fault.BadResponse, f.Message)
	case r.plan.Batch == nil:
		v := found.of[0]
		if v == nil {
			v = new(verdict)
		}
		return r.ended(answer, judge(end, v, found, answer, message))
	}
	whole, _ := r.ended(answer, judge(end, new(verdict), found, answer, message)).(tracking.Concluded)
	whole.Records = make(map[int]tracking.End, len(found.of))
	for place, v := range found.of {
		one := judge(end, v, found, answer, message)
		one.Message = clip(one.Message, maxMessage)
		whole.Records[place] = one
	}
	return whole
}

// ended makes the event of an end.
func (r *run) ended(answer tracking.Answer, e tracking.End) tracking.Event {
	if e.State == tracking.Succeeded || e.State == tracking.Warned {
		return r.done(answer, e.State, e.Message)
	}
	return r.conclude(answer, e.State, e.Reason, e.Message)
}

// judge joins how the job ended with what the list says about one record.
func judge(end ending, v *verdict, found *findings, answer tracking.Answer, message string) tracking.End {
	switch {
	case v.refused:
		return tracking.End{State: tracking.Rejected, Reason: fault.Rejected, Message: strings.Join(v.reasons, "; ")}
	case end == failed:
		return tracking.End{State: tracking.Failed, Reason: fault.JobFailed, Message: also(jobFailed(answer, message), strings.Join(v.warnings, "; "))}
	case v.warned:
		return tracking.End{State: tracking.Warned, Message: strings.Join(v.warnings, "; ")}
	case !found.complete:
		return tracking.End{State: tracking.Unknown, Reason: fault.BadResponse, Message: incomplete(found, answer)}
	case end == succeeded, end == partial && found.read > 0:
		// Some records were refused, the list is whole, and this one is not in it.
		return tracking.End{State: tracking.Succeeded, Message: message}
	}
	return tracking.End{State: tracking.Warned, Message: also(message,
		fmt.Sprintf("the backend's job ended in state %q and names no refused record", answer.JobState))}
}

// incomplete says why nothing is known of a record that no item names.
func incomplete(found *findings, answer tracking.Answer) string {
	why := fmt.Sprintf("its list of refused records is not complete: %d read", found.read)
	if found.strangers > 0 {
		why = fmt.Sprintf("%d of the %d items in its list of refused records name no record of this batch", found.strangers, found.read)
	}
	if answer.JobState == "" {
		return "the backend answered, but " + why
	}
	return fmt.Sprintf("the backend's job ended in state %q, but %s", answer.JobState, why)
}

// errNoRecords is what a step without a batch behind it is told.
var errNoRecords = errors.New("there is no batch")

// Records gives the records of a batch in the order in which they were sent, and what
// names the delivery of each; a record that has left since is nil.
func (in *Input) Records(ctx context.Context) (records [][]byte, keys []string, err error) {
	if in.Members == nil {
		return nil, nil, errNoRecords
	}
	return in.Members(ctx)
}
