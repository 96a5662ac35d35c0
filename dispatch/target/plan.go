package target

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"headgate/config/secret"
	"headgate/config/yamlsrc"
	"headgate/dispatch/encode"
	"headgate/dispatch/tracking"
	"headgate/dispatch/transform"
)

// Plan is a compiled target, immutable and safe for concurrent use.
type Plan struct {
	Name        string
	Hash        string // of Name and Source: 16 hex digits
	Source      []byte // canonical JSON of the target's YAML, ${NAME} expanded, secrets by reference
	Limits      Limits
	Breaker     Breaker
	Batch       *Batch    // nil: each delivery is sent by itself
	Order       *Ordering // nil: no delivery waits for another
	NeedsParams bool      // some expression of a step uses .params
	// Params names, sorted, the path parameters that expressions ask for by name: a route
	// that feeds the target must have them.
	Params []string

	home        home            // by url
	base        *transform.Text // where calls go instead; nil: home
	baseAuth    *auth           // whose token base uses; nil: no token is used
	tls         *mutualTLS      // nil: the usual connections
	allow       []hostRule      // other hosts that a URL from an expression may name
	flow        bool            // written with steps: their names are part of the idempotency key
	setups      []*step
	steps       []*step
	finally     []*step
	retry       RetrySpec
	callbackAt  *yamlsrc.Pos // where an expression uses the callback URL, nil: none does
	maxResponse int64
	refusal     *transform.Value // the text of a refusal, nil: found by itself
}

// step is one compiled call.
type step struct {
	name    string
	batched bool            // the target takes batches
	foreach bool            // it is repeated for each chunk of the batch
	next    string          // empty: the last one
	when    *transform.Bool // nil: always
	method  string
	path    *transform.Text
	headers []header
	more    *transform.Value // further headers, nil: none
	auth    *auth            // nil: none
	ownAuth bool             // auth stands on the step itself
	body    *body            // nil: none
	timeout time.Duration
	pos     yamlsrc.Pos // where the time-out is written, or else the call
	expect  []int       // empty: any 2xx
	assert  *transform.Bool
	save    []named
	result  []named
	warn    *transform.Bool
	onError []rule
	asks    bool   // it changes nothing at the backend: no key names it
	beside  bool   // it is no step, and its name is always part of its key
	probe   *probe // nil: the step has no reconcile
	poll    *poll
	notes   notes
	rejects []*rejects      // empty: the backend gives no per-record result
	uses    map[string]bool // the roots that its expressions use
	around  map[string]bool // those that its expressions outside of the body use
	needs   map[string]bool // the saved values that its request uses
	whole   string          // why its upload is held in memory as a whole; empty: it need not be, or there is none
	wants   map[string]bool // the setups whose values its expressions use
	ttl     time.Duration   // of a setup
}

// notes are expressions of a step as they are written, for a person.
type notes struct{ when, more string }

type header struct {
	name      string // canonical
	value     *transform.Text
	inherited bool // it stands on the target, for every call to it
}

type named struct {
	name  string
	value *transform.Value
}

// body is what a call sends: either content or parts.
type body struct {
	*content
	contentType string
	parts       []part // not nil: the body is multipart
	gzip        bool
	streaming   *streaming // nil: it is written as a whole
}

// content is a value and how it is written: exactly one of payload, text and value.
type content struct {
	encoder encode.Encoder
	payload bool // the delivery's payload, byte for byte
	text    *transform.Text
	value   *transform.Value
}

// part is one part of a multipart body.
type part struct {
	*content
	name        *transform.Text
	filename    *transform.Text // nil: none
	contentType string          // empty: none
}

// poll is a compiled Until.
type poll struct {
	Until
	state, job, message *transform.Value
	done, total         *transform.Value // how far the job is
	partialIf           *transform.Bool
	words               map[string]ending
}

// ending is what a state word of a backend stands for.
type ending int

const (
	unmapped ending = iota // no list names the word
	running
	succeeded
	warned
	partial
	failed
)

// FirstStep names the step that a new delivery runs first.
func (p *Plan) FirstStep() string { return p.steps[0].name }

// calls are those that the target makes in steps and beside them.
func (p *Plan) calls() []*step { return slices.Concat(p.setups, p.steps, p.finally) }

// SecretRefs lists where the secrets of its calls are kept, each place once and sorted.
func (p *Plan) SecretRefs() []secret.Ref {
	var out []secret.Ref
	if p.tls != nil {
		out = append(out, p.tls.refs...)
	}
	if p.baseAuth != nil {
		out = append(out, p.baseAuth.refs...)
	}
	for _, s := range p.calls() {
		if s.auth != nil {
			out = append(out, s.auth.refs...)
		}
	}
	out = slices.DeleteFunc(out, secret.Ref.IsZero)
	slices.SortFunc(out, func(a, b secret.Ref) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(out)
}

// step finds a step; the empty name is the first one, nil an unknown one.
func (p *Plan) step(name string) *step {
	if name == "" {
		return p.steps[0]
	}
	i := slices.IndexFunc(p.steps, func(s *step) bool { return s.name == name })
	if i < 0 {
		return nil
	}
	return p.steps[i]
}

// from gives the steps that may be the next call of a delivery that stands at a step: those
// before the last of them may be passed over.
func (p *Plan) from(name string) (out []*step) {
	for s := p.step(name); s != nil; s = p.step(s.next) {
		out = append(out, s)
		if s.when == nil || s.next == "" {
			break
		}
	}
	return out
}

// SendsRecords reports whether a step of a batch needs its records.
func (p *Plan) SendsRecords(name string) bool {
	return slices.ContainsFunc(p.from(name), (*step).sendsRecords)
}

// gatherSlots is how many deliveries a worker puts into batches at a time, besides those
// that it sends: joining is a few round trips to the store and calls nobody.
const gatherSlots = 128

// Slots is how many runs of the target a worker makes at a time. No more than
// Limits.Concurrency of them call the backend.
func (p *Plan) Slots() int {
	if p.Batch != nil {
		return p.Limits.Concurrency + gatherSlots
	}
	return p.Limits.Concurrency
}

// Hold is how long a run of one step may take at most, connection, answer and its
// pages included: the claim is held a little longer.
func (p *Plan) Hold(name string) time.Duration {
	longest := time.Duration(0)
	for _, s := range p.from(name) {
		longest = max(longest, s.hold()+p.setupTime(s))
	}
	return cmp.Or(longest, p.Limits.Timeout.D())
}

// sendsRecords is about a step of a batch, and false for any other.
func (s *step) sendsRecords() bool {
	return s.batched && (s.uses["records"] || s.uses["keys"] || s.body.sendsPayload())
}

func (s *step) hold() time.Duration {
	hold := s.timeout
	if s.body != nil && s.body.streaming != nil {
		hold += 2 * s.timeout // for counting and signing its bytes
	}
	if s.probe != nil {
		hold += s.probe.call.timeout
	}
	for _, list := range s.rejects {
		if list.path != nil {
			hold += 2 * s.timeout // for its pages
		}
	}
	return hold
}

// LastTry is when a delivery may be tried for the last time.
func (p *Plan) LastTry(accepted time.Time, d tracking.Delivery) time.Time {
	return d.Since(accepted).Add(p.retry.Within.D())
}

// seal fills in Source and Hash from the tree the plan was compiled from.
func (p *Plan) seal(n *yamlsrc.Node) error {
	source, err := encode.AppendJSON(nil, n.Value())
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(p.Name + "\n" + string(source)))
	p.Source, p.Hash = source, hex.EncodeToString(sum[:8])
	return nil
}

// FromSource compiles a plan that was kept: the reverse of Plan.Source. Which secrets
// it may refer to was checked when it was accepted and is not checked again.
func FromSource(name string, source []byte) (*Plan, error) {
	n, err := nodeFromJSON(source, "targets."+name)
	if err != nil {
		return nil, fmt.Errorf("read the plan of target %s: %w", name, err)
	}
	var report yamlsrc.Report
	p := compile(name, n, nil, &report)
	if err := report.Err(); err != nil {
		return nil, fmt.Errorf("compile the plan of target %s: %w", name, err)
	}
	return p, nil
}

// nodeFromJSON reads canonical JSON into the tree that the YAML would have given. The
// YAML parser is not used for it: its bounds and its reading of escapes are made for
// what people write, and a plan that was accepted must never fail to load.
func nodeFromJSON(source []byte, root string) (*yamlsrc.Node, error) {
	dec := json.NewDecoder(bytes.NewReader(source))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	return nodeOf(v, root, yamlsrc.Pos{File: "plan of " + strings.TrimPrefix(root, "targets.")}), nil
}

func nodeOf(v any, at string, pos yamlsrc.Pos) *yamlsrc.Node {
	n := &yamlsrc.Node{Pos: pos, Path: at}
	switch v := v.(type) {
	case nil:
		n.Kind = yamlsrc.Null
	case map[string]any:
		n.Kind = yamlsrc.Map
		for _, key := range sortedKeys(v) {
			n.Entries = append(n.Entries, yamlsrc.Entry{Key: key, KeyPos: pos, Value: nodeOf(v[key], at+"."+key, pos)})
		}
	case []any:
		n.Kind = yamlsrc.Seq
		for i, item := range v {
			n.Items = append(n.Items, nodeOf(item, fmt.Sprintf("%s[%d]", at, i), pos))
		}
	case string:
		n.Kind, n.Text, n.Quoted = yamlsrc.Scalar, v, true
	default: // json.Number, bool
		n.Kind, n.Text = yamlsrc.Scalar, fmt.Sprint(v)
	}
	return n
}
