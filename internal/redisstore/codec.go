package redisstore

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// encode writes a delivery as "<seq> <letter> <token or -> <plan or -> <state><JSON of the
// rest, if any>": what scripts compare stands in front, so that they need not decode JSON,
// and a hash whose values have 64 bytes at most takes Redis a third of the memory. One
// that has not begun or was sent without ado has less. In place of the token, of which a
// queued delivery has none, scripts put down since when it is queued; see count.lua.
func encode(d tracking.Delivery) (string, error) {
	mark, ok := marks[d.State]
	if !ok {
		return "", fmt.Errorf("encode delivery: %w: state %q", tracking.ErrInvalid, d.State)
	}
	if strings.ContainsRune(d.Plan, ' ') {
		return "", fmt.Errorf("encode delivery: %w: plan %q", tracking.ErrInvalid, d.Plan)
	}
	var body []byte
	if r := restOf(d); !r.empty() {
		var err error
		if body, err = json.Marshal(&r); err != nil {
			return "", fmt.Errorf("encode delivery: %w", err)
		}
	}
	return strconv.Itoa(d.Seq) + " " + letter(d) + " " + orDash(d.Token) + " " + orDash(d.Plan) + " " + mark + string(body), nil
}

// marks stand for states in values.
var marks = map[tracking.State]string{
	tracking.Pending: "p", tracking.Collecting: "c", tracking.Delivering: "d", tracking.Waiting: "w", tracking.Retrying: "r",
	tracking.Succeeded: "S", tracking.Warned: "W", tracking.Rejected: "R", tracking.Failed: "F", tracking.Unknown: "U",
	tracking.Skipped: "K", tracking.Superseded: "P", tracking.Canceled: "C",
}

var states = func() map[byte]tracking.State {
	out := make(map[byte]tracking.State, len(marks))
	for state, mark := range marks {
		out[mark[0]] = state
	}
	return out
}()

// rest is what a value holds as JSON. Times are in ms.
type rest struct {
	Attempts     int                        `json:"a,omitempty"`
	Batch        string                     `json:"b,omitempty"`
	PastAttempts int                        `json:"c,omitempty"`
	StepSince    int64                      `json:"d,omitempty"`
	EndedAt      int64                      `json:"e,omitempty"`
	PollFaults   int                        `json:"f,omitempty"`
	HTTPStatus   int                        `json:"h,omitempty"`
	JobID        string                     `json:"i,omitempty"`
	JobState     string                     `json:"j,omitempty"`
	KeySuffix    string                     `json:"k,omitempty"`
	KeepPayload  bool                       `json:"l,omitempty"`
	Message      string                     `json:"m,omitempty"`
	NextAt       int64                      `json:"n,omitempty"`
	Polls        int                        `json:"o,omitempty"`
	Replays      int                        `json:"p,omitempty"`
	ReplayedAt   int64                      `json:"q,omitempty"`
	Reason       fault.Reason               `json:"r,omitempty"`
	Step         string                     `json:"s,omitempty"`
	StepAttempts int                        `json:"t,omitempty"`
	Result       map[string]json.RawMessage `json:"u,omitempty"`
	Verdict      tracking.State             `json:"v,omitempty"`
	Saved        map[string]json.RawMessage `json:"w,omitempty"`
}

// empty reports whether there is nothing to be held: the delivery has not been run.
func (r *rest) empty() bool {
	return r.Attempts == 0 && r.Batch == "" && r.PastAttempts == 0 && r.StepSince == 0 && r.EndedAt == 0 && r.PollFaults == 0 &&
		r.HTTPStatus == 0 && r.JobID == "" && r.JobState == "" && r.KeySuffix == "" && !r.KeepPayload && r.Message == "" &&
		r.NextAt == 0 && r.Polls == 0 && r.Replays == 0 && r.ReplayedAt == 0 && r.Reason == "" && r.Step == "" &&
		r.StepAttempts == 0 && len(r.Result) == 0 && r.Verdict == "" && len(r.Saved) == 0
}

func restOf(d tracking.Delivery) rest {
	return rest{
		Attempts: d.Attempts, Batch: d.Batch, PastAttempts: d.PastAttempts, StepSince: inMillis(d.StepSince),
		EndedAt: inMillis(d.EndedAt), PollFaults: d.PollFaults, HTTPStatus: d.HTTPStatus, JobID: d.JobID, JobState: d.JobState,
		KeySuffix: d.KeySuffix, KeepPayload: d.KeepPayload, Message: d.Message, NextAt: inMillis(d.NextAt), Polls: d.Polls,
		Replays: d.Replays, ReplayedAt: inMillis(d.ReplayedAt), Reason: d.Reason, Step: d.Step, StepAttempts: d.StepAttempts,
		Result: d.Result, Verdict: d.Verdict, Saved: d.Saved,
	}
}

func (r *rest) delivery() tracking.Delivery {
	return tracking.Delivery{
		Attempts: r.Attempts, Batch: r.Batch, PastAttempts: r.PastAttempts, StepSince: ofMillis(r.StepSince),
		EndedAt: ofMillis(r.EndedAt), PollFaults: r.PollFaults, HTTPStatus: r.HTTPStatus, JobID: r.JobID, JobState: r.JobState,
		KeySuffix: r.KeySuffix, KeepPayload: r.KeepPayload, Message: r.Message, NextAt: ofMillis(r.NextAt), Polls: r.Polls,
		Replays: r.Replays, ReplayedAt: ofMillis(r.ReplayedAt), Reason: r.Reason, Step: r.Step, StepAttempts: r.StepAttempts,
		Result: r.Result, Verdict: r.Verdict, Saved: r.Saved,
	}
}

// inMillis gives 0 for no time at all.
func inMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func ofMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// letter is the delivery's phase, or its lane when its task is in the queue and it has
// not begun.
func letter(d tracking.Delivery) string {
	if d.Phase == tracking.Queued && d.Lane != tracking.LaneResume {
		return string(rune(d.Lane))
	}
	return string(rune(d.Phase))
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func ofDash(text string) string {
	if text == "-" {
		return ""
	}
	return text
}

func decode(value string) (d tracking.Delivery, err error) {
	parts := strings.SplitN(value, " ", 5)
	if len(parts) != 5 || len(parts[1]) != 1 || parts[4] == "" {
		return d, fmt.Errorf("decode delivery: %.40q is not one of ours", value)
	}
	state, ok := states[parts[4][0]]
	if !ok {
		return d, fmt.Errorf("decode delivery: %.40q has no state", value)
	}
	var r rest
	if body := parts[4][1:]; body != "" {
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			return d, fmt.Errorf("decode delivery: %w", err)
		}
	}
	d = r.delivery()
	d.State, d.Plan = state, strings.Clone(ofDash(parts[3]))
	if d.Seq, err = strconv.Atoi(parts[0]); err != nil {
		return d, fmt.Errorf("decode delivery: %w", err)
	}
	switch l := parts[1][0]; tracking.Lane(l) {
	case tracking.LaneNew, tracking.LaneBulk:
		d.Phase, d.Lane = tracking.Queued, tracking.Lane(l)
	case tracking.LaneResume:
	default:
		d.Phase = tracking.Phase(l)
	}
	if d.Phase != tracking.Queued {
		d.Token = strings.Clone(ofDash(parts[2]))
	}
	return d, nil
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
