package redisstore

import (
	"encoding/json"
	"strconv"
	"strings"

	"headgate/dispatch/encode"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// rest is what a value holds as JSON. Times are in ms. The next field gets a name of two
// letters: encoding/json looks past upper and lower case, so a version that does not know
// "H" yet would take it for "h", where it passes over "ha".
type rest struct {
	Attempts     int                        `json:"a,omitempty"`
	Batch        string                     `json:"b,omitempty"`
	PastAttempts int                        `json:"c,omitempty"`
	StepSince    int64                      `json:"d,omitempty"`
	EndedAt      int64                      `json:"e,omitempty"`
	PollFaults   int                        `json:"f,omitempty"`
	Rounds       int                        `json:"g,omitempty"`
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
	JobDone      int64                      `json:"x,omitempty"`
	JobTotal     int64                      `json:"y,omitempty"`
	PolledAt     int64                      `json:"z,omitempty"`
	Place        int                        `json:"A,omitempty"`
	Window       int                        `json:"B,omitempty"`
	WindowMax    int                        `json:"C,omitempty"`
	Sent         int                        `json:"D,omitempty"`
	Doubts       string                     `json:"E,omitempty"`
	Line         string                     `json:"F,omitempty"` // ends in ! when it stays there as a failed one
	SupersededBy string                     `json:"G,omitempty"`
}

// empty reports whether there is nothing to be held: the delivery has not been run.
func (r *rest) empty() bool {
	return r.Attempts == 0 && r.Batch == "" && r.PastAttempts == 0 && r.StepSince == 0 && r.EndedAt == 0 && r.PollFaults == 0 && r.Rounds == 0 && r.Doubts == "" &&
		r.HTTPStatus == 0 && r.JobID == "" && r.JobState == "" && r.KeySuffix == "" && !r.KeepPayload && r.Message == "" &&
		r.NextAt == 0 && r.Polls == 0 && r.Replays == 0 && r.ReplayedAt == 0 && r.Reason == "" && r.Step == "" &&
		r.StepAttempts == 0 && len(r.Result) == 0 && r.Verdict == "" && len(r.Saved) == 0 && r.JobDone == 0 && r.JobTotal == 0 &&
		r.Place == 0 && r.Window == 0 && r.WindowMax == 0 && r.Sent == 0 && r.PolledAt == 0 && r.Line == "" && r.SupersededBy == ""
}

func restOf(d tracking.Delivery) rest {
	return rest{
		Attempts: d.Attempts, Batch: d.Batch, PastAttempts: d.PastAttempts, StepSince: inMillis(d.StepSince),
		EndedAt: inMillis(d.EndedAt), PollFaults: d.PollFaults, Rounds: d.Rounds, Doubts: d.Doubts, HTTPStatus: d.HTTPStatus, JobID: d.JobID, JobState: d.JobState,
		KeySuffix: d.KeySuffix, KeepPayload: d.KeepPayload, Message: d.Message, NextAt: inMillis(d.NextAt), Polls: d.Polls,
		Replays: d.Replays, ReplayedAt: inMillis(d.ReplayedAt), Reason: d.Reason, Step: d.Step, StepAttempts: d.StepAttempts,
		Result: d.Result, Verdict: d.Verdict, Saved: d.Saved, JobDone: d.JobDone, JobTotal: d.JobTotal,
		Place: d.Place, Window: d.Window, WindowMax: d.WindowMax, Sent: d.Sent, PolledAt: inMillis(d.PolledAt),
		Line: lineText(d), SupersededBy: d.SupersededBy,
	}
}

// blocks ends the name of a line that a delivery stays in when it fails.
const blocks = "!"

func lineText(d tracking.Delivery) string {
	if d.Blocks {
		return d.Line + blocks
	}
	return d.Line
}

func (r *rest) delivery() tracking.Delivery {
	line, blocking := strings.CutSuffix(r.Line, blocks)
	return tracking.Delivery{
		Attempts: r.Attempts, Batch: r.Batch, PastAttempts: r.PastAttempts, StepSince: ofMillis(r.StepSince),
		EndedAt: ofMillis(r.EndedAt), PollFaults: r.PollFaults, Rounds: r.Rounds, Doubts: r.Doubts, HTTPStatus: r.HTTPStatus, JobID: r.JobID, JobState: r.JobState,
		KeySuffix: r.KeySuffix, KeepPayload: r.KeepPayload, Message: r.Message, NextAt: ofMillis(r.NextAt), Polls: r.Polls,
		Replays: r.Replays, ReplayedAt: ofMillis(r.ReplayedAt), Reason: r.Reason, Step: r.Step, StepAttempts: r.StepAttempts,
		Result: r.Result, Verdict: r.Verdict, Saved: r.Saved, JobDone: r.JobDone, JobTotal: r.JobTotal,
		Place: r.Place, Window: r.Window, WindowMax: r.WindowMax, Sent: r.Sent, PolledAt: ofMillis(r.PolledAt),
		Line: line, Blocks: blocking, SupersededBy: r.SupersededBy,
	}
}

// field gives where the member of that name is held; nil when it is an object or not one
// of ours.
func (r *rest) field(name byte) any {
	switch name {
	case 'a':
		return &r.Attempts
	case 'b':
		return &r.Batch
	case 'c':
		return &r.PastAttempts
	case 'd':
		return &r.StepSince
	case 'e':
		return &r.EndedAt
	case 'f':
		return &r.PollFaults
	case 'g':
		return &r.Rounds
	case 'h':
		return &r.HTTPStatus
	case 'i':
		return &r.JobID
	case 'j':
		return &r.JobState
	case 'k':
		return &r.KeySuffix
	case 'l':
		return &r.KeepPayload
	case 'm':
		return &r.Message
	case 'n':
		return &r.NextAt
	case 'o':
		return &r.Polls
	case 'p':
		return &r.Replays
	case 'q':
		return &r.ReplayedAt
	case 'r':
		return &r.Reason
	case 's':
		return &r.Step
	case 't':
		return &r.StepAttempts
	case 'v':
		return &r.Verdict
	case 'x':
		return &r.JobDone
	case 'y':
		return &r.JobTotal
	case 'z':
		return &r.PolledAt
	case 'A':
		return &r.Place
	case 'B':
		return &r.Window
	case 'C':
		return &r.WindowMax
	case 'D':
		return &r.Sent
	case 'E':
		return &r.Doubts
	case 'F':
		return &r.Line
	case 'G':
		return &r.SupersededBy
	}
	return nil
}

// plainFields are the names of those that are no objects, in the order in which they are written.
const plainFields = "abcdefghijklmnopqrstvxyzABCDEFG"

// append writes JSON. Nearly each value that is written or read passes here, and nearly
// none holds objects: what has none is written and read without reflection, which takes a
// fifth of the time.
func (r *rest) append(dst []byte) ([]byte, error) {
	if len(r.Result) > 0 || len(r.Saved) > 0 {
		text, err := json.Marshal(r)
		return append(dst, text...), err
	}
	lead, err := byte('{'), error(nil)
	for i := range len(plainFields) {
		name := plainFields[i]
		start := len(dst)
		dst = append(dst, lead, '"', name, '"', ':')
		head := len(dst)
		switch held := r.field(name).(type) {
		case *int:
			dst = appendNumber(dst, int64(*held))
		case *int64:
			dst = appendNumber(dst, *held)
		case *bool:
			if *held {
				dst = append(dst, "true"...)
			}
		case *string:
			dst, err = appendText(dst, *held)
		case *fault.Reason:
			dst, err = appendText(dst, string(*held))
		case *tracking.State:
			dst, err = appendText(dst, string(*held))
		}
		if err != nil {
			return nil, err
		}
		if len(dst) == head {
			dst = dst[:start]
		} else {
			lead = ','
		}
	}
	return append(dst, '}'), nil
}

// appendNumber and appendText leave out what is empty.
func appendNumber(dst []byte, n int64) []byte {
	if n == 0 {
		return dst
	}
	return strconv.AppendInt(dst, n, 10)
}

func appendText(dst []byte, text string) ([]byte, error) {
	if text == "" {
		return dst, nil
	}
	return encode.AppendString(dst, text)
}

func parseRest(body string) (r rest, err error) {
	if body == "" || r.parse(body) {
		return r, nil
	}
	r = rest{}
	return r, json.Unmarshal([]byte(body), &r)
}

// parse reads what append writes without encoding/json; false when it is anything else.
func (r *rest) parse(text string) bool {
	if text == "}" {
		return false
	}
	for lead := byte('{'); text != "}"; lead = ',' {
		if len(text) < 6 || text[0] != lead || text[1] != '"' || text[3] != '"' || text[4] != ':' {
			return false
		}
		held := r.field(text[2])
		var ok bool
		if text, ok = parseValue(text[5:], held); !ok {
			return false
		}
	}
	return true
}

// parseValue reads the value at the beginning of text, and gives what follows it.
func parseValue(text string, held any) (tail string, ok bool) {
	if strings.HasPrefix(text, `"`) {
		value, tail, ok := parsePlain(text)
		if !ok {
			return "", false
		}
		switch held := held.(type) {
		case *string:
			*held = value
		case *fault.Reason:
			*held = fault.Reason(value)
		case *tracking.State:
			*held = tracking.State(value)
		default:
			return "", false
		}
		return tail, true
	}
	end := strings.IndexAny(text, ",}")
	if end < 0 {
		return "", false
	}
	if flag, isFlag := held.(*bool); isFlag {
		*flag = text[:end] == "true"
		return text[end:], *flag
	}
	n, err := strconv.ParseInt(text[:end], 10, 64)
	switch held := held.(type) {
	case *int:
		*held = int(n)
	case *int64:
		*held = n
	default:
		return "", false
	}
	return text[end:], err == nil
}
