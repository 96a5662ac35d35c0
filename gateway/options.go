package gateway

import (
	"cmp"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/trace"
	"headgate/policies"
)

// Options of New. Table and Acceptor are needed; everything else has a default.
type Options struct {
	// Table gives the routes in force; it is asked once per request, so a reload takes
	// effect with the next one.
	Table    func() Table
	Acceptor dispatch.Acceptor
	// Operator cancels and replays for owners; nil: they can only look.
	Operator Operator
	Log      *slog.Logger // default: none
	// AccessSample is the share of requests that get a line in the log, of those that are
	// answered below 400; the others all do. Default 1; negative: none.
	AccessSample float64
	Trace        trace.Tracer // nil: no spans
	// PublicURL is what clients reach this server under, such as https://api.example.com.
	// Empty: status URLs are paths.
	PublicURL string
	// TrustedProxies are the peers whose X-Forwarded-For counts.
	TrustedProxies []netip.Prefix

	// MaxBody is the largest body of any route in bytes, before and after inflating;
	// routes may ask for less. Default 1 MiB.
	MaxBody int64
	// MaxHeader bounds the request line and all headers together, in bytes; tokens can be
	// large. Default 16 KiB.
	MaxHeader int

	ReadTimeout    time.Duration // a whole request, body included; default 30s
	WriteTimeout   time.Duration // an answer; default 30s
	IdleTimeout    time.Duration // between requests of a connection; default 75s
	RequestTimeout time.Duration // policies and accept, waiting excluded; default 10s

	// MaxWait bounds `Prefer: wait`. Default 60s; negative: waiting is off.
	MaxWait time.Duration
	// MaxWaiters is how many clients may wait at the same time; the next ones are
	// answered at once. Default 1000; negative: nobody waits.
	MaxWaiters int
	// Retention is how long a record is kept once it is final; 0 leaves it to the
	// Acceptor.
	Retention time.Duration
	// TrackingLimit is asked before a dispatch is read; nil: no limit.
	TrackingLimit policies.Policy

	// Callbacks takes the callbacks of backends; nil: nobody calls back.
	Callbacks Callbacks
	// CallbackLimit is asked before a callback is taken; nil: no limit.
	CallbackLimit policies.Policy
	// ObserveCallback is told what each callback came to: polls, kept, late, forged, refused or
	// failed. nil: nobody.
	ObserveCallback func(outcome string)

	// ObserveAccept is told how long it took until a request was recorded and handed to the queue;
	// of replays it is not told. nil: nobody.
	ObserveAccept func(route string, d time.Duration)

	// Observe is told about each answer, for metrics; route is empty when none matched
	// "tracking" for GET /tracking and "callback" for POST /callbacks. nil: nobody.
	Observe func(route string, status int, d time.Duration)
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.PublicURL = strings.TrimRight(o.PublicURL, "/")
	o.AccessSample = cmp.Or(o.AccessSample, 1)
	o.MaxBody = cmp.Or(o.MaxBody, 1<<20)
	o.MaxHeader = cmp.Or(o.MaxHeader, 16<<10)
	o.ReadTimeout = cmp.Or(o.ReadTimeout, 30*time.Second)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 30*time.Second)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 75*time.Second)
	o.RequestTimeout = cmp.Or(o.RequestTimeout, 10*time.Second)
	o.MaxWait = max(cmp.Or(o.MaxWait, time.Minute), 0)
	o.MaxWaiters = max(cmp.Or(o.MaxWaiters, 1000), 0)
	return o
}
