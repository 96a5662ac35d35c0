package routes

import (
	"slices"
	"strings"
	"time"

	"headgate/config/unit"
	"headgate/config/yamlsrc"
	"headgate/dispatch"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
	"headgate/dispatch/transform"
	"headgate/policies"
)

// roots are what an expression at the gateway sees.
var roots = []string{"body", "params", "query", "headers", "claims", "route"}

// fixedKeys are a route's keys that are no policies.
var fixedKeys = []string{"name", "match", "auth", "idempotency", "targets", "done_when"}

const (
	// scopesPolicy is written within auth: it asks about the principal found there.
	scopesPolicy = "scopes"
	// bodyPolicy runs on every route: without it nothing would decode the body.
	bodyPolicy = "body"
)

// route compiles one route; nil when something is wrong with it.
func (l *loader) route(d declared) *Route {
	before := l.report.Len()
	n := d.node
	if n.Kind != yamlsrc.Map {
		n.Wrong("a mapping: name, match, auth, targets", l.report)
		return nil
	}
	fixed, own := l.split(n)
	s := spec{
		Idempotency: idempotency{Mode: idemMode(IdempotencyOptional), TTL: unit.Duration(24 * time.Hour)},
		DoneWhen:    completionRule(tracking.DoneAll),
	}
	fixed.Decode(&s, l.report)
	l.names(n, &s)
	r := &Route{
		Name: s.Name, Method: s.Match.method, Pattern: s.Match.pattern, Position: n.Pos,
		Idempotency: Idempotency(s.Idempotency.Mode), IdemTTL: s.Idempotency.TTL.D(),
		Fanout: &dispatch.Fanout{Route: s.Name, Rule: tracking.Rule(s.DoneWhen)},
	}
	if s.Auth == nil {
		l.report.Addf(n.Pos, n.Path, "add auth: [names], or auth: none for a route that everybody may call", "\"auth\" is missing")
	} else {
		var scopes policies.Policy
		if r.Auth, scopes = l.auth(s.Name, d.dir, s.Auth); scopes != nil {
			r.Policies = append(r.Policies, scopes)
		}
	}
	r.Policies = append(r.Policies, l.policies(s.Name, d.dir, n, own)...)
	if s.Targets != nil {
		r.Fanout.Bindings = l.bindings(s.Targets)
		l.params(s.Targets, r)
		l.fields(s.Targets, r)
	}
	if l.report.Len() > before {
		return nil
	}
	return r
}

// split parts a route's keys into fixed ones and policies; others are problems.
func (l *loader) split(n *yamlsrc.Node) (fixed *yamlsrc.Node, own []yamlsrc.Entry) {
	known := slices.DeleteFunc(l.o.Registry.PolicyNames(), func(name string) bool { return name == scopesPolicy })
	copied := *n
	fixed, copied.Entries = &copied, nil
	for _, e := range n.Entries {
		switch {
		case slices.Contains(fixedKeys, e.Key):
			fixed.Entries = append(fixed.Entries, e)
		case slices.Contains(known, e.Key):
			own = append(own, e)
		case e.Key == scopesPolicy:
			l.report.Addf(e.KeyPos, e.Value.Path, "write auth: {any: [names], scopes: [scopes]}", "scopes belong under auth")
		default:
			l.report.Addf(e.KeyPos, e.Value.Path, yamlsrc.UnknownHint(e.Key, append(slices.Clone(fixedKeys), known...)), "unknown key %q", e.Key)
		}
	}
	return fixed, own
}

// names checks that a route's name and its method and path are its own.
func (l *loader) names(n *yamlsrc.Node, s *spec) {
	if at := n.Get("name"); at != nil && at.Kind == yamlsrc.Scalar {
		if !routeName.MatchString(s.Name) {
			l.report.Addf(at.Pos, at.Path, "use lower-case letters, digits and dashes", "%q is no name for a route", s.Name)
		} else {
			l.first("route", s.Name, at.Pos, at.Path)
		}
	}
	if s.Match.pattern == "" {
		return
	}
	at := n.Get("match")
	shape := s.Match.method + " " + shapeOf(s.Match.pattern)
	if first, taken := l.seen[shape]; taken {
		l.report.Addf(at.Pos, at.Path, "change one of the two, or join the routes", "%s %s matches the same requests as the route at %s:%d", s.Match.method, s.Match.pattern, first.File, first.Line)
		return
	}
	l.seen[shape] = at.Pos
}

// shapeOf is a pattern without the names of its parameters: two patterns of one shape
// could not be told apart.
func shapeOf(pattern string) string {
	parts := strings.Split(pattern, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, ":") {
			parts[i] = ":"
		}
	}
	return strings.Join(parts, "/")
}

// policies builds those of a route, in the order they run.
func (l *loader) policies(route, dir string, n *yamlsrc.Node, own []yamlsrc.Entry) []policies.Policy {
	var out []policies.Policy
	body := slices.Contains(l.o.Registry.PolicyNames(), bodyPolicy)
	for _, e := range own {
		body = body && e.Key != bodyPolicy
		if p := l.policy(e.Key, e.KeyPos, route, dir, e.Value); p != nil {
			out = append(out, p)
		}
	}
	if body {
		empty := &yamlsrc.Node{Kind: yamlsrc.Null, Pos: n.Pos, Path: n.Path + "." + bodyPolicy}
		if p := l.policy(bodyPolicy, n.Pos, route, dir, empty); p != nil {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b policies.Policy) int { return int(a.Stage()) - int(b.Stage()) })
	return out
}

// policy builds one; nil when it is wrong. The report tells, since a constructor that
// returns its own pointer type gives a nil that is none.
func (l *loader) policy(name string, at yamlsrc.Pos, route, dir string, n *yamlsrc.Node) policies.Policy {
	before := l.report.Len()
	p := l.o.Registry.BuildPolicy(name, at, l.build(route, dir, n))
	if l.report.Len() > before {
		return nil
	}
	return p
}

func (l *loader) bindings(n *yamlsrc.Node) []dispatch.Binding {
	if n.Kind == yamlsrc.Null || n.Kind == yamlsrc.Map && len(n.Entries) == 0 {
		l.report.Addf(n.Pos, n.Path, "name a target: targets: {crm: }", "a route feeds at least one target")
		return nil
	}
	if n.Kind != yamlsrc.Map {
		n.Wrong("a mapping from the names of targets", l.report)
		return nil
	}
	var out []dispatch.Binding
	for _, e := range n.Entries {
		b := l.binding(e.Value)
		b.Plan = l.plan(e)
		out = append(out, b)
	}
	return out
}

// params reports path parameters that a target or a mapping asks for and the route's
// path does not have: they would be null with every request.
func (l *loader) params(n *yamlsrc.Node, r *Route) {
	has := paramNames(r.Pattern)
	for i, b := range r.Fanout.Bindings {
		if i >= len(n.Entries) || r.Pattern == "" {
			return
		}
		var asked []string
		if b.Plan != nil {
			asked = append(asked, b.Plan.Params...)
		}
		if b.Transform != nil {
			fields, _ := b.Transform.Fields("params")
			asked = append(asked, fields...)
		}
		if b.When != nil {
			fields, _ := b.When.Fields("params")
			asked = append(asked, fields...)
		}
		slices.Sort(asked)
		for _, name := range slices.Compact(asked) {
			if !slices.Contains(has, name) {
				e := n.Entries[i]
				l.report.Addf(e.KeyPos, e.Value.Path, yamlsrc.UnknownHint(name, has),
					"%s uses .params.%s, which %s %s does not have", e.Key, name, r.Method, r.Pattern)
			}
		}
	}
}

func (l *loader) plan(e yamlsrc.Entry) *target.Plan {
	l.used["target "+e.Key] = true
	if _, known := l.seen["target "+e.Key]; !known && !l.partial {
		l.report.Addf(e.KeyPos, e.Value.Path, yamlsrc.UnknownHint(e.Key, keys(l.targets)), "unknown target %q", e.Key)
	}
	return l.plans[e.Key]
}

func (l *loader) binding(n *yamlsrc.Node) dispatch.Binding {
	var b binding
	if n.Kind != yamlsrc.Null {
		n.Decode(&b, l.report)
	}
	out := dispatch.Binding{Optional: b.Optional, KeepPayload: b.KeepPayload}
	if b.When != nil {
		out.When = transform.CompileBool(b.When, roots, l.report)
	}
	if b.Transform != nil {
		if b.Transform.Kind == yamlsrc.Null {
			l.report.Addf(b.Transform.Pos, b.Transform.Path, "write what the target gets, or leave the key out for the whole body", "transform is empty")
			return out
		}
		out.Transform = transform.CompileValue(b.Transform, roots, l.report)
	}
	return out
}
