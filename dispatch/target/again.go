package target

import (
	"fmt"
	"time"

	"headgate/dispatch/tracking"
)

// Again says what becomes at the time now of a delivery whose record the backend wants to have
// once more: it goes on after the wait in the end that is given, or has failed when the
// attempts or the time of its retries are used up. Each round counts as an attempt. random, from
// 0 to below 1, draws the wait.
func (p *Plan) Again(d *tracking.Delivery, e tracking.End, acceptedAt, now time.Time, random float64) tracking.End {
	e.After = p.backoff(d.Rounds, random)
	var why string
	switch {
	case d.Rounds+1 >= p.retry.Attempts:
		why = fmt.Sprintf("it was sent %d times, as often as retry.attempts says", d.Rounds+1)
	case p.tooLate(d, acceptedAt, now.Add(e.After)):
		why = fmt.Sprintf("its next try would be later than retry.within (%s) says", p.retry.Within)
	default:
		return e
	}
	return tracking.End{State: tracking.Failed, Reason: e.Reason, Message: also(e.Message, why)}
}

// again makes the event of a delivery by itself whose record is to be sent once more.
func (r *run) again(answer tracking.Answer, e tracking.End) tracking.Event {
	e = r.plan.Again(&r.in.Delivery, e, r.in.AcceptedAt, r.now(), r.engine.random())
	if e.State != tracking.Retrying {
		return r.conclude(answer, e.State, e.Reason, e.Message)
	}
	return tracking.Again{Answer: answer, After: e.After, Reason: e.Reason, Message: clip(e.Message, maxReasons), Poll: r.step.poll != nil}
}
