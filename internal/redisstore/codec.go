package redisstore

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"headgate/dispatch/tracking"
)

// encodeDelivery writes a delivery as "<seq> <letter> <token or -> <plan or -> <state><JSON of the
// rest, if any>": what scripts compare stands in front, so that they need not decode JSON,
// and a hash whose values have 64 bytes at most takes Redis a third of the memory. One
// that has not begun or was sent without ado has less. In place of the token, of which a
// queued delivery has none, scripts put down since when it is queued; see count.lua.
func encodeDelivery(d tracking.Delivery) (string, error) {
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
		if body, err = r.append(make([]byte, 0, 128)); err != nil {
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

func decodeDelivery(value string) (d tracking.Delivery, err error) {
	var parts [4]string
	body := value
	for i := range parts {
		parts[i], body, _ = strings.Cut(body, " ")
	}
	if len(parts[1]) != 1 || body == "" {
		return d, fmt.Errorf("decode delivery: %.40q is not one of ours", value)
	}
	state, ok := states[body[0]]
	if !ok {
		return d, fmt.Errorf("decode delivery: %.40q has no state", value)
	}
	r, err := parseRest(body[1:])
	if err != nil {
		return d, fmt.Errorf("decode delivery: %w", err)
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
