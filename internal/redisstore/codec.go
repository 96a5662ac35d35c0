package redisstore

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"headgate/dispatch/tracking"
)

// encode writes a delivery as "<seq> <phase> <token or -> <json>": what scripts compare
// stands in front, so that they need not decode JSON.
func encode(d tracking.Delivery) (string, error) {
	body, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("encode delivery: %w", err)
	}
	return strconv.Itoa(d.Seq) + " " + string(rune(d.Phase)) + " " + token(d.Token) + " " + string(body), nil
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
	d.Phase = tracking.Phase(parts[1][0])
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
