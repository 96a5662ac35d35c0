package target

import (
	"context"
	"crypto/sha256"
	"strconv"

	"headgate/dispatch/encode"
	"headgate/dispatch/fault"
	"headgate/dispatch/transform"
)

// correlation gives what finds the records that the item in scope means: their places, nil
// when it means none of ours, none when it is about another upload, which the list has as
// well. The records of a batch are read for it once.
func (r *run) correlation(ctx context.Context, list *rejects, scope transform.Scope) (func(*response) ([]int, *fault.Fault), *fault.Fault) {
	if r.plan.Batch == nil {
		return func(resp *response) ([]int, *fault.Fault) {
			if list.match == nil {
				return []int{0}, nil
			}
			ours, err := list.match.Eval(scope)
			switch {
			case err != nil:
				return nil, unreadable(resp, err)
			case ours:
				return []int{0}, nil
			}
			return []int{}, nil
		}, nil
	}
	records, err := r.in.Records(ctx)
	if err != nil {
		return nil, &fault.Fault{Reason: fault.Internal, Retry: true, Err: err, Message: "the records of the batch cannot be read: " + err.Error()}
	}
	r.records = records.count()
	if list.index != nil {
		return func(*response) ([]int, *fault.Fault) {
			place, err := strconv.Atoi(itemText(list.index, scope))
			if err != nil || place < 0 || place >= r.records {
				return nil, nil
			}
			return []int{place}, nil
		}, nil
	}
	byKey := r.byKey[list.Key.Record] // lists with the same key speak of the same groups
	if byKey == nil {
		if byKey, err = r.placesByKey(ctx, list, records); err != nil {
			return nil, &fault.Fault{Reason: fault.Internal, Retry: true, Err: err, Message: err.Error()}
		}
		if r.byKey == nil {
			r.byKey = map[string]map[string][]int{}
		}
		r.byKey[list.Key.Record] = byKey
	}
	return func(*response) ([]int, *fault.Fault) { return byKey[itemText(list.itemKey, scope)], nil }, nil
}

// placesByKey gives the places of the records with the same key, and notes where those are
// not the same otherwise.
func (r *run) placesByKey(ctx context.Context, list *rejects, records *Upload) (map[string][]int, error) {
	out := make(map[string][]int, records.count())
	first, differ := map[string][sha256.Size]byte{}, map[string]bool{}
	err := records.each(ctx, func(place int, record []byte) error {
		payload, err := decodeJSON(record)
		if err != nil {
			return nil //nolint:nilerr // it has left the batch since, and what comes of it is told elsewhere
		}
		if key := itemText(list.recordKey, transform.Scope{"record": payload, "key": records.Keys[place]}); key != "" {
			out[key] = append(out[key], place)
			same, err := encode.AppendJSON(nil, payload) // however it is written
			if err != nil {
				return err
			}
			sum := sha256.Sum256(same)
			if was, seen := first[key]; !seen {
				first[key] = sum
			} else if was != sum {
				differ[key] = true
			}
		}
		return nil
	})
	if r.mixed == nil {
		r.mixed = map[*int]bool{}
	}
	for key := range differ {
		r.mixed[&out[key][0]] = true
	}
	return out, err
}

// mentions counts the records that one list names, to be held against what the backend counts.
type mentions struct {
	groups map[int]int // by the first record of those that share their items: how many share
}

func (n *mentions) add(places []int) {
	if len(places) > 0 {
		n.groups[places[0]] = len(places)
	}
}

// agrees reports whether so many records are named as the backend counts. Of records that
// share their items it may count one, or each.
func (n *mentions) agrees(count string) bool {
	if count == "" {
		return true
	}
	most := 0
	for _, size := range n.groups {
		most += size
	}
	want, err := strconv.Atoi(count)
	return err == nil && want >= len(n.groups) && want <= most
}
