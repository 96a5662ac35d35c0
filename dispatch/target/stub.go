package target

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"headgate/config/secret"
	"headgate/config/unit"
	"headgate/config/yamlsrc"
	"headgate/dispatch/tracking"
)

// Plan is a compiled target, immutable and safe for concurrent use.
type Plan struct {
	Name        string
	Hash        string // of Source: 16 hex digits
	Source      []byte // canonical JSON of the target's YAML, ${NAME} expanded, secrets by reference
	Limits      Limits
	NeedsParams bool // some expression of a step uses .params
}

// Limits bound what a target is asked to do.
type Limits struct {
	Concurrency int           `yaml:"concurrency"`
	Timeout     unit.Duration `yaml:"timeout"`
}

// Compile checks and compiles the target called name. What is wrong goes into report;
// the result is nil then.
func Compile(name string, n *yamlsrc.Node, access secret.Access, report *yamlsrc.Report) *Plan {
	panic("stub")
}

// FromSource compiles a plan that was kept: the reverse of Plan.Source.
func FromSource(name string, source []byte) (*Plan, error) { panic("stub") }

// FirstStep names the step that a new delivery runs first.
func (p *Plan) FirstStep() string { panic("stub") }

// Hold is how long a run of one step may take at most, connection, answer and its
// pages included: the claim is held a little longer.
func (p *Plan) Hold(step string) time.Duration { panic("stub") }

// Input is what a step may look at.
type Input struct {
	Tracking, Tenant string
	Params           map[string]string
	Payload          json.RawMessage
	TraceParent      string
	Delivery         tracking.Delivery
	Now              time.Time // the store's clock when the run began
}

// Engine runs the steps of any plan.
type Engine struct{}

// NewEngine makes an engine. transport is the outgoing transport; nil takes the tuned default.
func NewEngine(transport http.RoundTripper, log *slog.Logger) *Engine { panic("stub") }

// Run runs the step the delivery stands at and says what it came to. It never returns
// nil. When ctx ends, the event is AttemptFailed or PollFailed with reason timeout.
func (e *Engine) Run(ctx context.Context, p *Plan, in Input) tracking.Event { panic("stub") }

// Close drops idle connections.
func (e *Engine) Close() { panic("stub") }

// Preview is one request as a step would send it, for `headgate explain`.
type Preview struct {
	Step    string
	Method  string
	URL     string
	Header  map[string]string // secrets masked as ***
	Body    string
	Unknown []string // what depends on earlier answers, such as ".saved.job"
	Until   string   // one line on polling, empty when the step does not poll
}

// Preview renders every step's request without sending anything. Values of .saved that
// are not known stand as <saved.job>.
func (p *Plan) Preview(in Input) ([]Preview, error) { panic("stub") }
