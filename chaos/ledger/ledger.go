// Package ledger owns the books of one run of chaos: what clients were promised, what
// backends did, and what Headgate says became of it. From these three, which do not know
// of each other, it judges. It starts nothing and talks to nobody.
package ledger

import (
	"strings"
	"sync"
	"time"
)

// Ledger is the books of one scenario. It is safe for concurrent use.
type Ledger struct {
	mu         sync.Mutex
	orders     map[string]*order             // by idempotency key of the client
	executions map[string]map[string][]Doing // tracking ID -> idempotency key at the backend -> each time it was done
	ends       map[string]map[string]End     // tracking ID -> target
	gone       map[string]bool               // tracking IDs that were answered 404
	dispatches map[string]map[string]bool    // order -> tracking IDs that backends were called with
	records    map[record]map[string]int     // by idempotency key of the batch: how often it was done
}

// record is what a batch has of an order.
type record struct{ target, order string }

// order is one request of a client, with all its repeats.
type order struct {
	ids       map[string][]string // tracking IDs of its 202s, with the targets that they promise
	uncertain bool                // a try ended without an answer, or with outcome-unknown
	refused   int                 // tries that were answered, but not with 202
	cut       int                 // tries that were not answered
	unknown   int                 // tries that were answered outcome-unknown
	wrong     string              // an answer that no repeat can mend
}

// Doing is one time that a backend did what it was asked to.
type Doing struct {
	At time.Time
}

// End is how Headgate says that a delivery stands.
type End struct {
	State  string
	Reason string
	Final  bool
}

// New makes empty books.
func New() *Ledger {
	return &Ledger{
		orders: map[string]*order{}, executions: map[string]map[string][]Doing{},
		ends: map[string]map[string]End{}, gone: map[string]bool{}, dispatches: map[string]map[string]bool{},
		records: map[record]map[string]int{},
	}
}

func (l *Ledger) order(key string) *order {
	o := l.orders[key]
	if o == nil {
		o = &order{ids: map[string][]string{}}
		l.orders[key] = o
	}
	return o
}

// Acknowledged notes a 202 and the targets that it names.
func (l *Ledger) Acknowledged(key, id string, targets ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.order(key).ids[id] = targets
}

// Refused notes an answer other than 202 that asks for a repeat.
func (l *Ledger) Refused(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.order(key).refused++
}

// Unknown notes a 503 that says outcome-unknown.
func (l *Ledger) Unknown(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.order(key)
	o.unknown++
	o.uncertain = true
}

// Cut notes a try that got no answer.
func (l *Ledger) Cut(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.order(key)
	o.cut++
	o.uncertain = true
}

// Wrong notes an answer that must not come, such as a 422.
func (l *Ledger) Wrong(key, answer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.order(key).wrong = answer
}

// Executed notes that a backend did its work for an idempotency key, which begins with
// the tracking ID. order may be empty when the call does not tell.
func (l *Ledger) Executed(key, order string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id, _, _ := strings.Cut(key, ":")
	if l.executions[id] == nil {
		l.executions[id] = map[string][]Doing{}
	}
	l.executions[id][key] = append(l.executions[id][key], Doing{At: time.Now()})
	if order == "" {
		return
	}
	if l.dispatches[order] == nil {
		l.dispatches[order] = map[string]bool{}
	}
	l.dispatches[order][id] = true
}

// ExecutedInBatch notes that a backend did its work for one record of a batch, which came
// under the idempotency key of the batch.
func (l *Ledger) ExecutedInBatch(key, target, order string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := record{target, order}
	if l.records[r] == nil {
		l.records[r] = map[string]int{}
	}
	l.records[r][key]++
}

// Tracked notes what the tracking API said of a delivery; the last word counts.
func (l *Ledger) Tracked(id, target string, e End) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ends[id] == nil {
		l.ends[id] = map[string]End{}
	}
	l.ends[id][target] = e
}

// Gone notes that the tracking API does not know an ID that was acknowledged.
func (l *Ledger) Gone(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone[id] = true
}

// IDs lists the acknowledged tracking IDs.
func (l *Ledger) IDs() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, o := range l.orders {
		for id := range o.ids {
			out = append(out, id)
		}
	}
	return out
}

// Uncertain lists the orders of which some try left open whether it was accepted.
func (l *Ledger) Uncertain() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for key, o := range l.orders {
		if o.uncertain {
			out = append(out, key)
		}
	}
	return out
}

// Accepted counts the orders that were acknowledged so far.
func (l *Ledger) Accepted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, o := range l.orders {
		if len(o.ids) > 0 {
			n++
		}
	}
	return n
}
