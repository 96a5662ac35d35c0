package target

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"headgate/dispatch/encode"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
	"headgate/dispatch/transform"
)

// findings are what the lists say together.
type findings struct {
	groups    map[*int]*group // by where the places of the records lie, which correlation gives
	order     []*group        // as they were first named
	lists     int             // read, of those that the step has
	read      int             // items read, of whichever record
	strangers int             // items that mean none of the batch's records
	complete  bool            // there are no more items
	accounts  bool            // a list of what was taken is among them
	mixed     map[*int]bool   // groups of records that have a key in common and are not the same
}

// group is what the items say of records that they cannot tell apart; mostly it is one.
type group struct {
	places  []int
	remarks []remark
}

// remark is what one item says of its record.
type remark struct {
	means  tracking.State
	reason string
	result map[string]json.RawMessage
}

// add takes the item in scope into account, for the records at places.
func (f *findings) add(list *rejects, scope transform.Scope, resp *response, places []int) *fault.Fault {
	if places == nil {
		f.strangers++
	}
	if len(places) == 0 {
		return nil
	}
	code := itemText(list.code, scope)
	reason := strings.TrimSpace(code + " " + itemText(list.reason, scope))
	means, err := list.classified(code, scope)
	if err != nil {
		return unreadable(resp, err)
	}
	if reason == "" && means != tracking.Succeeded {
		reason = unreasoned[means]
	}
	g := f.groups[&places[0]]
	if g == nil {
		g = &group{places: places}
		f.groups[&places[0]] = g
		f.order = append(f.order, g)
	}
	g.remarks = append(g.remarks, remark{means, reason, list.resultOf(scope)})
	return nil
}

// resultOf gives what is shown of an item; what it does not have is left out.
func (l *rejects) resultOf(scope transform.Scope) map[string]json.RawMessage {
	var out map[string]json.RawMessage
	size := 0
	for _, n := range l.result {
		v, err := n.value.Eval(scope)
		if err != nil || v == nil {
			continue
		}
		raw, err := encode.AppendJSON(nil, v)
		if size += len(n.name) + len(raw); err != nil || size > maxKept {
			continue
		}
		if out == nil {
			out = make(map[string]json.RawMessage, len(l.result))
		}
		out[n.name] = raw
	}
	return out
}

// unreasoned stands for a reason that the backend does not give.
var unreasoned = map[tracking.State]string{
	tracking.Rejected: "refused, without a reason",
	tracking.Warned:   "a warning, without a reason",
	tracking.Retrying: "to be sent again, without a reason",
}

func (l *rejects) classified(code string, scope transform.Scope) (tracking.State, error) {
	for _, class := range l.classes {
		if holds, err := class.when.Eval(scope); err != nil || holds {
			return class.as, err
		}
	}
	if code != "" && l.warnings[code] {
		return tracking.Warned, nil
	}
	return l.means, nil
}

// verdict is what the lists say about one record: the reasons by what they mean, and what is
// shown of it.
type verdict struct {
	mixed   bool // what is said is said of records that differ, and not the same of all
	reasons map[tracking.State][]string
	result  map[string]json.RawMessage
}

func (v *verdict) add(one remark) {
	v.reasons[one.means] = append(v.reasons[one.means], one.reason)
	v.result = tracking.Merged(v.result, one.result)
}

// says reports whether an item gives the record this end, and joins its reasons.
func (v *verdict) says(means tracking.State) (string, bool) {
	if v == nil {
		return "", false
	}
	reasons, ok := v.reasons[means]
	return strings.Join(slices.DeleteFunc(slices.Clone(reasons), func(s string) bool { return s == "" }), "; "), ok
}

// agreed reports whether all that is said of a group is the same, and said of each.
func (g *group) agreed() bool {
	for _, one := range g.remarks {
		if one.means != g.remarks[0].means {
			return false
		}
	}
	return len(g.remarks) >= len(g.places)
}

// verdicts gives what is said of each record. Those that share a key share its items. But where
// lists account for each record, each has an item of its own: as many items as records
// are given out one by one, and with fewer nobody knows whom they leave out, so that they
// cannot say of any that it was taken.
func (f *findings) verdicts() map[int]*verdict {
	out := make(map[int]*verdict, len(f.order))
	for _, g := range f.order {
		for i, place := range g.places {
			if out[place] == nil {
				out[place] = &verdict{reasons: map[tracking.State][]string{}}
			}
			if f.accounts && f.mixed[&g.places[0]] && !g.agreed() {
				out[place].mixed = true
				continue
			}
			for n, one := range g.remarks {
				switch {
				case f.accounts && len(g.remarks) == len(g.places) && n != i:
				case f.accounts && len(g.remarks) < len(g.places) && one.means == tracking.Succeeded:
				default:
					out[place].add(one)
				}
			}
		}
	}
	return out
}

// judged reads the lists and says what came of the delivery, or of each record of a batch.
// What cannot be read after a poll is asked for again by the next one; after an upload,
// nothing may make it be sent again.
func (r *run) judged(ctx context.Context, end ending, last *response, answer tracking.Answer, message string) tracking.Event {
	found, f := r.readLists(ctx, last)
	switch {
	case f != nil && r.step.poll != nil:
		return r.pollFailed(f)
	case f != nil:
		return r.conclude(answer, tracking.Unknown, fault.BadResponse, f.Message)
	}
	if end == partial && found.lists == 0 {
		return r.conclude(answer, tracking.Unknown, fault.JobFailed, also(message, partOf(answer)))
	}
	of := found.verdicts()
	if r.plan.Batch == nil {
		return r.ended(answer, judge(end, of[0], found, answer, message))
	}
	if found.accounts {
		for place := range r.records {
			if of[place] == nil {
				of[place] = &verdict{}
			}
		}
	}
	unnamed := *found
	unnamed.accounts = false // those that it leaves out have ends of their own
	usual := judge(end, nil, &unnamed, answer, message)
	whole, _ := r.ended(answer, usual).(tracking.Concluded)
	whole.Records = make(map[int]tracking.End, len(of))
	for place, v := range of {
		one := judge(end, v, found, answer, message)
		if one.State == tracking.Succeeded && usual.State == tracking.Succeeded && one.Message == usual.Message && one.Result == nil {
			continue // it ends as its batch
		}
		one.Message = clip(one.Message, maxMessage)
		whole.Records[place] = one
	}
	return whole
}

// ended makes the event of an end.
func (r *run) ended(answer tracking.Answer, e tracking.End) tracking.Event {
	switch e.State {
	case tracking.Succeeded, tracking.Warned:
		return withResult(r.done(answer, e.State, e.Message), e.Result)
	case tracking.Retrying:
		return r.again(answer, e)
	default:
		return withResult(r.conclude(answer, e.State, e.Reason, e.Message), e.Result)
	}
}

// withResult adds what the lists show of a record to its end.
func withResult(e tracking.Event, result map[string]json.RawMessage) tracking.Event {
	end, ok := e.(tracking.Concluded)
	if !ok || len(result) == 0 {
		return e
	}
	end.Result = tracking.Merged(end.Result, result)
	return end
}

// judge joins how the job ended with what the lists say about one record; the worst that they
// say counts.
func judge(end ending, v *verdict, found *findings, answer tracking.Answer, message string) tracking.End {
	e := sentence(end, v, found, answer, message)
	if v != nil {
		e.Result = v.result
	}
	return e
}

func sentence(end ending, v *verdict, found *findings, answer tracking.Answer, message string) tracking.End {
	if v != nil && v.mixed {
		return tracking.End{State: tracking.Unknown, Reason: fault.BadResponse, Message: also(atTheEnd(answer,
			"says different things of records that have a key in common, and not which it means"), message)}
	}
	warnings, warned := v.says(tracking.Warned)
	if reasons, refused := v.says(tracking.Rejected); refused {
		return tracking.End{State: tracking.Rejected, Reason: fault.Rejected, Message: reasons}
	}
	if reasons, again := v.says(tracking.Retrying); again {
		return tracking.End{State: tracking.Retrying, Reason: fault.JobFailed, Message: also(reasons, message)}
	}
	remarks, taken := v.says(tracking.Succeeded)
	switch {
	case taken && warned:
		return tracking.End{State: tracking.Warned, Message: warnings}
	case taken:
		return tracking.End{State: tracking.Succeeded, Message: also(message, remarks)}
	case found.accounts && !warned && !(end == failed && found.read == 0):
		return tracking.End{State: tracking.Unknown, Reason: fault.BadResponse, Message: also(unaccounted(answer), message)}
	case end == failed:
		return tracking.End{State: tracking.Failed, Reason: fault.JobFailed, Message: also(jobFailed(answer, message), warnings)}
	case warned:
		return tracking.End{State: tracking.Warned, Message: warnings}
	case !found.complete, found.strangers > 0:
		return tracking.End{State: tracking.Unknown, Reason: fault.BadResponse, Message: incomplete(found, answer)}
	case end == succeeded, end == partial && found.read > 0:
		// Some records were refused, the list is whole, and this one is not in it.
		return tracking.End{State: tracking.Succeeded, Message: message}
	}
	return tracking.End{State: tracking.Warned, Message: also(message,
		fmt.Sprintf("the backend's job ended in state %q and names no refused record", answer.JobState))}
}

// partOf says why nothing is known of any record of a job.
func partOf(answer tracking.Answer) string {
	return fmt.Sprintf("the backend's job ended in state %q: some records failed, and the backend does not tell which", answer.JobState)
}

// unaccounted says why nothing is known of a record that none of the lists names, though they
// should name each.
func unaccounted(answer tracking.Answer) string {
	return atTheEnd(answer, "none of its lists names this record")
}

// incomplete says why nothing is known of a record that no item names.
func incomplete(found *findings, answer tracking.Answer) string {
	if found.strangers > 0 {
		return atTheEnd(answer, fmt.Sprintf("%d of the %d items in its list of refused records name no record of this batch", found.strangers, found.read))
	}
	return atTheEnd(answer, fmt.Sprintf("its list of refused records is not complete: %d read", found.read))
}

func atTheEnd(answer tracking.Answer, why string) string {
	if answer.JobState == "" {
		return "the backend answered, but " + why
	}
	return fmt.Sprintf("the backend's job ended in state %q, but %s", answer.JobState, why)
}
