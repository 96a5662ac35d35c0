package trace

import "context"

// Kind is what a span is about.
type Kind int

// The kinds.
const (
	Request Kind = iota // a request of a client, until its answer
	Accept              // it is recorded and its tasks are queued
	Join                // a run puts a delivery into a batch
	Collect             // a batch begins; the first span of a trace of its own
	Attempt             // a run of a step
	Poll                // a run of a step that asks for the state of the backend's job
	Settle              // a run hands an end on to the members of a batch, or cleans up
	Call                // one HTTP call of a run
)

// Facts are all that a span can say: names that stand in files, IDs that Headgate made, words
// of closed sets, and numbers. There is no field for a path, a query, a header, a payload, an
// address of a client or a text of a backend, so none of them can get into a span.
type Facts struct {
	Tracking string // ID of the dispatch or the batch
	Batch    string // ID of the batch that a delivery joined
	Route    string // its name
	Pattern  string // its path as it stands in the file, such as /profiles/:id
	Target   string
	Step     string
	Method   string // of HTTP
	Host     string // whom a call goes to, with its port where that is not the usual one
	Status   int    // of the HTTP answer; 0: there was none
	State    string // of the delivery, after it
	Reason   string // why it failed, of the closed set of reasons
	Failed   bool
	Attempts int
	Polls    int
	Records  int // of a batch, or targets of a request
}

// End ends a span; only the first call counts. What facts say comes on top of what was known
// at the start. links name other spans that it comes from.
type End func(facts Facts, links ...Context)

// Tracer begins spans. The context that it gives belongs to the new span, which is a child of
// the one that ctx belongs to. A span that is not ended is not told to anybody. The nil
// Tracer makes no spans and costs nothing.
type Tracer func(ctx context.Context, kind Kind, facts Facts) (context.Context, End)

// Start begins a span.
func (t Tracer) Start(ctx context.Context, kind Kind, facts Facts) (context.Context, End) {
	if t == nil {
		return ctx, nothing
	}
	return t(ctx, kind, facts)
}

func nothing(Facts, ...Context) {}

// MaxLinks bounds how many spans one is linked with: a batch may have many more members.
const MaxLinks = 128
