package redisstore

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"headgate/dispatch/tracking"
)

// encode writes a delivery as "<seq> <letter> <token or -> <json>": what scripts compare
// stands in front, so that they need not decode JSON.
func encode(d tracking.Delivery) (string, error) {
	body, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("encode delivery: %w", err)
	}
	return strconv.Itoa(d.Seq) + " " + letter(d) + " " + token(d.Token) + " " + string(body), nil
}

// letter is the delivery's phase, or its lane when its task is in the queue and it has
// not begun.
func letter(d tracking.Delivery) string {
	if d.Phase == tracking.Queued && d.Lane != tracking.LaneResume {
		return string(rune(d.Lane))
	}
	return string(rune(d.Phase))
}

func token(t string) string {
	if t == "" {
		return "-"
	}
	return t
}

func decode(value string) (d tracking.Delivery, err error) {
	parts := strings.SplitN(value, " ", 4)
	if len(parts) != 4 || len(parts[1]) != 1 {
		return d, fmt.Errorf("decode delivery: %.40q is not one of ours", value)
	}
	if err := json.Unmarshal([]byte(parts[3]), &d); err != nil {
		return d, fmt.Errorf("decode delivery: %w", err)
	}
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
	if parts[2] != "-" {
		d.Token = parts[2]
	}
	return d, nil
}

func decodeMeta(meta, acceptedAt string) (*tracking.Dispatch, error) {
	d := new(tracking.Dispatch)
	if err := json.Unmarshal([]byte(meta), d); err != nil {
		return nil, fmt.Errorf("decode record: %w", err)
	}
	d.AcceptedAt = time.UnixMilli(atoi64(acceptedAt)).UTC()
	return d, nil
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
