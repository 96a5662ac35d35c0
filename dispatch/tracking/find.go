package tracking

import (
	"fmt"
	"slices"
	"time"
)

// FindQuery selects dispatches. Empty fields select all.
type FindQuery struct {
	Route, Tenant string
	// IdemHash is the hash of an idempotency key: Dispatch.IdemHash.
	IdemHash string
	// Target selects those that have a delivery to it.
	Target string
	// State is one of a dispatch or one of a delivery. With Target it is that of the delivery
	// to it, and in_progress is any that is not final. Without, the state of the dispatch
	// counts; one that only deliveries have selects those of which any delivery has it.
	State string
	// Since and Until are about when it was accepted: from Since, before Until.
	Since, Until time.Time
	// Cursor goes on where a page ended.
	Cursor string
	Limit  int // 0 takes 50
}

// FindPage is a part of what was found.
type FindPage struct {
	Dispatches []*Dispatch
	// Looked is how many records, or rows of an index, this page has cost.
	Looked int
	By     FindBy
	// Next is the cursor of what follows; empty when everything was looked at. A page can be
	// short, even empty, without being the last: what one page may cost is bounded.
	Next string
}

// FindBy is the way in which dispatches were looked for.
type FindBy string

// The ways.
const (
	// FindByKey looked the idempotency key up.
	FindByKey FindBy = "key"
	// FindByDue went through the rows of what is under way. What changes meanwhile may be missed.
	FindByDue FindBy = "under_way"
	// FindByDead went through the dead letters. Those that were dropped are not among them.
	FindByDead FindBy = "dead_letters"
	// FindByScan went through all records. Each that is there all the while is found, but
	// one may come twice.
	FindByScan FindBy = "all_records"
)

// Default and largest sizes of a page.
const (
	findPage    = 50
	MaxFindPage = 1000
)

// Size is how many dispatches a page holds.
func (q FindQuery) Size() int {
	if q.Limit <= 0 {
		return findPage
	}
	return min(q.Limit, MaxFindPage)
}

// statuses are the states of a dispatch, deliveryStates those of a delivery, in their order.
var (
	statuses       = []Status{InProgress, DispatchSucceeded, Partial, DispatchFailed, DispatchCanceled}
	deliveryStates = []State{
		Pending, Collecting, Delivering, Waiting, Retrying, Succeeded, Warned, Rejected, Failed, Unknown, Skipped, Superseded, Canceled,
	}
)

// Check reports a query that nothing can fit. Error: ErrInvalid.
func (q FindQuery) Check() error {
	known := slices.Contains(deliveryStates, State(q.State)) || slices.Contains(statuses, Status(q.State))
	switch {
	case q.State != "" && !known:
		return fmt.Errorf("%w: state: %q is none of %v, nor of %v", ErrInvalid, q.State, statuses, deliveryStates)
	case q.Target != "" && q.State == string(Partial):
		return fmt.Errorf("%w: state: a delivery is never partial: leave the target out", ErrInvalid)
	case !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until):
		return fmt.Errorf("%w: since is not before until", ErrInvalid)
	case q.Limit < 0 || q.Limit > MaxFindPage:
		return fmt.Errorf("%w: limit: a page holds 1 to %d dispatches", ErrInvalid, MaxFindPage)
	}
	return nil
}

// UnderWay reports whether only dispatches that are in progress can fit.
func (q FindQuery) UnderWay() bool {
	return q.State == string(InProgress) || q.State != "" && !slices.Contains(statuses, Status(q.State)) && !State(q.State).Final()
}

// FindSlack is how far the clock of a process that makes tracking IDs may be from the store's.
const FindSlack = time.Hour

// MayFit reports whether a record can fit, by nothing but its ID.
func (q FindQuery) MayFit(id string) bool {
	shard, ok := Shard(id)
	if !ok || IsBatch(id) || q.IdemHash != "" && shard != IdemShard(q.IdemHash) {
		return false
	}
	made := MadeAt(id)
	return (q.Since.IsZero() || !made.Before(q.Since.Add(-FindSlack))) && (q.Until.IsZero() || made.Before(q.Until.Add(FindSlack)))
}

// FitsFixed reports whether what never changes of a record fits; its deliveries and its list
// of targets are not looked at.
func (q FindQuery) FitsFixed(d *Dispatch) bool {
	return (q.Route == "" || q.Route == d.Route) && (q.Tenant == "" || q.Tenant == d.Tenant) &&
		(q.IdemHash == "" || q.IdemHash == d.IdemHash) &&
		(q.Since.IsZero() || !d.AcceptedAt.Before(q.Since)) && (q.Until.IsZero() || d.AcceptedAt.Before(q.Until))
}

// Fits reports whether a whole record is selected.
func (q FindQuery) Fits(d *Dispatch) bool {
	if !q.FitsFixed(d) {
		return false
	}
	if q.Target != "" {
		_, has := d.Target(q.Target)
		return has && q.fitsDelivery(d.Deliveries[q.Target])
	}
	if q.State == "" || slices.Contains(statuses, Status(q.State)) {
		return q.State == "" || q.State == string(d.Status())
	}
	return slices.ContainsFunc(d.Targets, func(t TargetRef) bool { return q.fitsDelivery(d.Deliveries[t.Name]) })
}

func (q FindQuery) fitsDelivery(d Delivery) bool {
	switch q.State {
	case "":
		return true
	case string(InProgress):
		return !d.State.Final()
	}
	return d.Shown() == State(q.State)
}
