package redisstore

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"headgate/dispatch/tracking"
)

// fixedFields are the fields of a record that never change and that a run, or a listing,
// reads: all but the list of its targets. Each is a field of its own, and what is as usual
// is left out, since a hash whose values have 64 bytes at most takes Redis a third of the
// memory; claim.lua reads the same ones.
var fixedFields = []string{"a", "n", "r", "p", "w", "u"}

// shortValue is how long a value may be for that.
const shortValue = 64

// fixedOf gives fields and values of a record's fixed part, except for those that the
// accept script writes: a and n.
func fixedOf(d *tracking.Dispatch) (out []string, err error) {
	out = append(out, "r", d.Route)
	if len(d.Params) > 0 {
		params, err := appendStrings(make([]byte, 0, shortValue), d.Params)
		if err != nil {
			return nil, fmt.Errorf("encode record: %w", err)
		}
		out = append(out, "p", string(params))
	}
	if d.TraceParent != "" {
		out = append(out, "w", d.TraceParent)
	}
	if d.Rule != tracking.DoneAll {
		out = append(out, "u", string(d.Rule))
	}
	return append(out, targetFields(d.Targets)...), nil
}

// targetFields lists targets under l0, l1, …, each with a sign that says whether it counts.
func targetFields(targets []tracking.TargetRef) (out []string) {
	list := make([]byte, 0, shortValue)
	flush := func() {
		out, list = append(out, listField(len(out)/2), string(list)), list[:0]
	}
	for _, t := range targets {
		sign := byte('+')
		if t.Optional {
			sign = '?'
		}
		if len(list) > 0 && len(list)+len(t.Name)+2 > shortValue {
			flush()
		}
		if len(list) > 0 {
			list = append(list, '\n')
		}
		list = append(append(list, sign), t.Name...)
	}
	flush()
	return out
}

func listField(i int) string { return "l" + strconv.Itoa(i) }

// targetsOf reads what targetFields wrote.
func targetsOf(fields map[string]string) (out []tracking.TargetRef) {
	for i := 0; ; i++ {
		list, ok := fields[listField(i)]
		if !ok {
			return out
		}
		for name := range strings.SplitSeq(list, "\n") {
			if name != "" {
				out = append(out, tracking.TargetRef{Name: name[1:], Optional: name[0] == '?'})
			}
		}
	}
}

// dispatchOf reads fixedFields; values that are not there are empty.
func dispatchOf(id string, values ...string) (*tracking.Dispatch, error) {
	d := &tracking.Dispatch{
		ID: id, AcceptedAt: time.UnixMilli(atoi64(values[0])).UTC(), Tenant: values[1], Route: values[2],
		TraceParent: values[4], Rule: tracking.DoneAll,
	}
	if values[3] != "" {
		var ok bool
		if d.Params, ok = parseStrings(values[3]); !ok {
			if err := json.Unmarshal([]byte(values[3]), &d.Params); err != nil {
				return nil, fmt.Errorf("decode record: %w", err)
			}
		}
	}
	if values[5] != "" {
		d.Rule = tracking.Rule(values[5])
	}
	return d, nil
}

// recordOf reads a record whole.
func recordOf(id string, fields map[string]string) (*tracking.Dispatch, error) {
	if fields["a"] == "" {
		return nil, tracking.ErrNotFound
	}
	values := make([]string, len(fixedFields))
	for i, name := range fixedFields {
		values[i] = fields[name]
	}
	d, err := dispatchOf(id, values...)
	if err != nil {
		return nil, err
	}
	d.IdemHash = fields["k"]
	d.Targets = targetsOf(fields)
	d.Deliveries = make(map[string]tracking.Delivery, len(d.Targets))
	for field, value := range fields {
		if target, ok := strings.CutPrefix(field, "t:"); ok {
			if d.Deliveries[target], err = decodeDelivery(value); err != nil {
				return nil, err
			}
		}
	}
	return d, nil
}
