package target

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"headgate/config/secret"
	"headgate/config/unit"
	"headgate/config/yamlsrc"
)

// What expressions of a target may use: before a call, after it, and on an item of a
// list of rejects.
type roots struct{ request, answer, item []string }

func rootsOf(request ...string) roots {
	answer := append(slices.Clone(request), "response")
	return roots{request: request, answer: answer, item: append(slices.Clone(answer), "item")}
}

var (
	deliveryRoots = rootsOf("payload", "params", "tenant", "tracking", "round", "saved", "setup", callbackRoot)
	// A batch holds records of many requests: it has no parameters and no tenant of its own.
	batchRoots = rootsOf("records", "keys", "tracking", "round", "saved", "setup", callbackRoot)
)

// Names become names of queues, in which dots and colons have a meaning; steps and
// saved values become parts of keys and of jq paths.
var (
	targetName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)
	stepName   = regexp.MustCompile(`^[a-z0-9_-]{1,63}$`)
	savedName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)
)

// onlyCall is the name of the step of a target that is written without steps.
const onlyCall = "call"

// Compile checks and compiles the target called name. What is wrong goes into report;
// the result is nil then.
func Compile(name string, n *yamlsrc.Node, access secret.Access, report *yamlsrc.Report) *Plan {
	p := compile(name, n, func(r secret.Ref, at *yamlsrc.Node) { access.Check(r, at, report) }, report)
	if p == nil {
		return nil
	}
	// The plan is kept as JSON. Should YAML ever allow what JSON cannot say, it must be
	// found here and not by the worker that loads the plan.
	if _, err := FromSource(name, p.Source); err != nil {
		report.Addf(n.Pos, n.Path, "write numbers and strings plainly", "the target cannot be kept: %s", err)
		return nil
	}
	return p
}

type compiler struct {
	plan   *Plan
	report *yamlsrc.Report
	check  func(secret.Ref, *yamlsrc.Node) // may this secret be referred to?
	target *yamlsrc.Node
	spec   Spec
	roots  roots
	step   *step             // whose expressions are being compiled
	saved  map[string]string // what earlier steps saved: name → step
	all    map[string]string // what any step saves: name → step, for hints
	found  map[string]*step  // what setups save
	names  map[string]bool   // of the calls
	told   map[*yamlsrc.Node]bool
	inBody bool // the expressions that are being compiled are those of a body
	kept   bool // the plan was accepted before: newer checks do not end what is under way

	tokenFields   []string        // what base uses of the token answer, sorted
	baseWants     map[string]bool // the setups whose values base uses
	callbackIn    *yamlsrc.Node   // where the callback URL is used first
	authored      bool            // the call may have a whole URL that the author of the file writes
	expressionURL bool            // some call takes its whole URL from an expression
}

// once runs a check of n, which several steps inherit: its problems are reported the
// first time only.
func (c *compiler) once(n *yamlsrc.Node, check func()) {
	if c.told[n] {
		report, secrets := c.report, c.check
		c.report, c.check = new(yamlsrc.Report), func(secret.Ref, *yamlsrc.Node) {}
		defer func() { c.report, c.check = report, secrets }()
	}
	c.told[n] = true
	check()
}

func newSpec() Spec {
	return Spec{
		Retry:       RetrySpec{Attempts: 8, First: duration("1s"), Max: duration("10m"), Within: duration("24h")},
		Limits:      Limits{Concurrency: 16, Timeout: duration("10s"), FairShare: 1000},
		Breaker:     Breaker{Failures: 10, OpenFor: duration("30s")},
		MaxResponse: 1 << 20,
	}
}

func duration(s string) unit.Duration {
	d, err := unit.ParseDuration(s)
	if err != nil {
		panic(err) // a default of ours
	}
	return d
}

// compile is Compile; check is nil for a plan that was kept.
func compile(name string, n *yamlsrc.Node, check func(secret.Ref, *yamlsrc.Node), report *yamlsrc.Report) *Plan {
	before := report.Len()
	kept := check == nil
	if kept {
		check = func(secret.Ref, *yamlsrc.Node) {}
	}
	if !targetName.MatchString(name) {
		report.Addf(n.Pos, n.Path, "use lower-case letters, digits, - and _, at most 63, a letter first", "%q is no name for a target", name)
	}
	if n.Kind != yamlsrc.Map {
		n.Wrong("a mapping with url and a method, such as post: /path", report)
		return nil
	}
	c := &compiler{
		plan: &Plan{Name: name}, report: report, check: check, target: n, spec: newSpec(),
		roots: deliveryRoots, saved: map[string]string{}, all: map[string]string{}, found: map[string]*step{}, names: map[string]bool{}, told: map[*yamlsrc.Node]bool{},
		kept: kept,
	}
	c.target.Decode(&c.spec, report)
	c.batch()
	c.url()
	c.tls()
	c.hosts()
	c.numbers()
	c.setups()
	c.moved()
	c.steps()
	c.expected()
	c.secretsInClear()
	c.foreach()
	c.finally()
	c.hostsAreUsed()
	c.callbacks()
	c.order()
	if c.spec.Error != "" {
		c.step = newStep()
		c.plan.refusal = c.expression(c.target.Get("error"), []string{"response"})
	}
	if report.Len() > before {
		return nil
	}
	if c.streams(); report.Len() > before {
		return nil
	}
	p := c.plan
	p.Batch = c.spec.Batch
	p.Limits, p.Breaker, p.retry, p.maxResponse = c.spec.Limits, c.spec.Breaker, c.spec.Retry, int64(c.spec.MaxResponse)
	for _, s := range p.calls() {
		p.NeedsParams = p.NeedsParams || s.uses["params"]
	}
	if err := p.seal(n); err != nil {
		report.Addf(n.Pos, n.Path, "", "the target cannot be written as JSON: %s", err)
		return nil
	}
	return p
}

func (c *compiler) url() {
	n := c.target.Get("url")
	if n == nil || n.Kind != yamlsrc.Scalar {
		return // reported as missing or as no string
	}
	u := absoluteURL(n, "write the base of the backend, such as https://api.example.com/v1",
		"use auth: {basic: {user: …, password: {env: NAME}}}", "put the query into the path of the call", c.report)
	if u == nil {
		return
	}
	c.plan.home = homeOf(u, false)
}

// absoluteURL checks a URL that the author of a file writes: where calls may go is never
// decided by data. It gives nil when it has reported a problem. The hints say what to write,
// where credentials belong and where the query does.
func absoluteURL(n *yamlsrc.Node, hint, credentials, query string, report *yamlsrc.Report) *url.URL {
	u, err := url.Parse(n.Text)
	key := lastKey(n.Path)
	switch {
	case strings.Contains(n.Text, "${{"):
		report.Addf(n.Pos, n.Path, "use ${NAME} for an environment variable; expressions belong into the path", "%s takes no expressions", key)
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		report.Addf(n.Pos, n.Path, hint, "%s should be absolute, with http or https", key)
	case u.User != nil:
		report.Addf(n.Pos, n.Path, credentials, "credentials must not stand in %s", key)
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		report.Addf(n.Pos, n.Path, query, "%s should have no query and no fragment", key)
	default:
		return u
	}
	return nil
}

func (c *compiler) steps() {
	list := c.target.Get("steps")
	if list == nil {
		s := c.call(c.target, &c.spec.Call, Step{}, true, true)
		c.plan.steps, c.names[s.name] = []*step{s}, true
		return
	}
	c.plan.flow = true
	for _, e := range c.target.Entries {
		if slices.Contains(callKeys, e.Key) {
			c.report.Addf(e.KeyPos, e.Value.Path, "move it into a step", "%q stands beside steps", e.Key)
		}
	}
	if list.Kind == yamlsrc.Null {
		c.problem(list, "write the calls below it", "steps is empty")
	}
	if list.Kind != yamlsrc.Seq || len(list.Items) != len(c.spec.Steps) {
		return // reported as no list
	}
	if len(list.Items) == 0 {
		c.problem(list, "write the method on the target itself: post: /path", "steps is empty")
	}
	for i, item := range list.Items {
		if save := item.Get("save"); save != nil {
			for _, e := range save.Entries {
				c.all[e.Key] = c.spec.Steps[i].Name
			}
		}
	}
	sends := max(0, slices.IndexFunc(c.spec.Steps, func(s Step) bool { return s.Foreach != "" }))
	for i, item := range list.Items {
		spec := c.spec.Steps[i]
		switch {
		case spec.Name == "": // reported as missing
		case !stepName.MatchString(spec.Name):
			c.problem(find(item, "name"), "use lower-case letters, digits, - and _, at most 63", "%q is no name for a step", spec.Name)
		case c.names[spec.Name]:
			c.problem(find(item, "name"), "give each step a name of its own", "a step called %q is there already", spec.Name)
		}
		c.names[spec.Name] = true
		s := c.call(item, &spec.Call, spec, i == sends, i == len(list.Items)-1)
		if i > 0 {
			c.plan.steps[i-1].next = s.name
		}
		c.plan.steps = append(c.plan.steps, s)
	}
}

// methods are the keys that name an HTTP method.
var methods = map[string]string{
	"get": http.MethodGet, "post": http.MethodPost, "put": http.MethodPut,
	"patch": http.MethodPatch, "delete": http.MethodDelete,
}

// callKeys are the keys of Call.
var callKeys = append(slices.Sorted(maps.Keys(methods)),
	"json", "ndjson", "csv", "xml", "form", "multipart", "raw", "content_type", "gzip",
	"assert", "on_error", "expect", "save", "reconcile", "result", "warn", "until", "rejects")
