package routes

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"headgate/config/unit"
	"headgate/config/yamlsrc"
	"headgate/dispatch/tracking"
)

// spec is a route as the platform team writes it, without its policies: those are found
// in the registry by their keys.
type spec struct {
	Name        string         `yaml:"name,required" jsonschema:"pattern=^[a-z0-9-]+$" jsonschema_description:"Name of the route, unique over all files: lower-case letters, digits and dashes."`
	Match       match          `yaml:"match,required" jsonschema_description:"METHOD /path with :name for parameters, such as POST /profiles/:id."`
	Auth        *yamlsrc.Node  `yaml:"auth" jsonschema_description:"Who may call: a name, a list of names, {any: [names], scopes: [scopes]}, or none for everybody. It must be written."`
	Idempotency idempotency    `yaml:"idempotency" jsonschema_description:"What the Idempotency-Key header does: optional (the default), required or off; or {mode, ttl}, where ttl is how long a key is remembered (default 24h)."`
	Targets     *yamlsrc.Node  `yaml:"targets,required" jsonschema_description:"What the route feeds: the name of a target, with nothing or {when, transform, optional}."`
	DoneWhen    completionRule `yaml:"done_when" jsonschema:"enum=all,enum=any,default=all" jsonschema_description:"When the dispatch has succeeded: all targets have, or any has. Optional targets do not count."`
}

// authSpec is the mapping form of a route's auth.
type authSpec struct {
	Any    *yamlsrc.Node `yaml:"any,required"`
	Scopes *yamlsrc.Node `yaml:"scopes"`
}

// binding is one target of a route.
type binding struct {
	When      *yamlsrc.Node `yaml:"when" jsonschema_description:"Condition on .body, .params, .query, .headers, .claims and .route: one expression that gives true or false. Default: always."`
	Transform *yamlsrc.Node `yaml:"transform" jsonschema_description:"What the target gets: any value with expressions. Default: the whole body."`
	Optional  bool          `yaml:"optional" jsonschema_description:"The target does not count for done_when."`
	// KeepPayload is false by default: what a backend has is not kept twice.
	KeepPayload bool `yaml:"keep_payload" jsonschema:"default=false" jsonschema_description:"Keep what was sent after it succeeded, as long as the dispatch can be looked up, so that an operator can show it and send it again. Default: it is deleted with the success; what was not delivered is kept in any case."`
}

var (
	routeName   = regexp.MustCompile(`^[a-z0-9-]+$`)
	authName    = regexp.MustCompile(`^[a-z0-9_-]+$`)
	paramName   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	literalPart = regexp.MustCompile(`^[A-Za-z0-9._~!$&'()+,;=@-]+$`)
)

// methods are the ones a route can have.
var methods = []string{"DELETE", "GET", "PATCH", "POST", "PUT"}

// none is the written form of a route that everybody may call.
const none = "none"

type match struct{ method, pattern string }

// DecodeYAML implements yamlsrc.Decoder.
func (m *match) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	if n.Kind != yamlsrc.Scalar {
		n.Wrong("METHOD /path, such as POST /profiles/:id", report)
		return
	}
	fail := func(hint, format string, args ...any) { report.Addf(n.Pos, n.Path, hint, format, args...) }
	method, pattern, ok := strings.Cut(n.Text, " ")
	pattern = strings.TrimLeft(pattern, " ")
	if !ok || pattern == "" {
		fail("write METHOD /path, such as POST /profiles/:id", "match %q has no method or no path", n.Text)
		return
	}
	if !slices.Contains(methods, method) {
		fail("use one of "+strings.Join(methods, ", "), "%q is not a method of routes", method)
	}
	if hint, wrong := checkPattern(pattern); wrong != "" {
		fail(hint, "the path %s %s", pattern, wrong)
		return
	}
	m.method, m.pattern = method, pattern
}

// checkPattern says what is wrong with a path, and what to write instead.
func checkPattern(pattern string) (hint, wrong string) {
	switch {
	case pattern[0] != '/':
		return "write /" + pattern, "does not begin with /"
	case strings.ContainsAny(pattern, "?#"):
		return "leave the query out; it is in .query", "has a query"
	case pattern == "/":
		return "", ""
	case strings.HasSuffix(pattern, "/"):
		return "write " + strings.TrimRight(pattern, "/"), "ends in /"
	case strings.Contains(pattern, "//"):
		return "write one slash", "has an empty segment"
	case pattern == "/tracking" || strings.HasPrefix(pattern, "/tracking/"):
		return "choose another path", "belongs to the tracking API"
	case pattern == "/callbacks" || strings.HasPrefix(pattern, "/callbacks/"):
		return "choose another path", "belongs to the callbacks of backends"
	}
	seen := map[string]bool{}
	for s := range strings.SplitSeq(pattern[1:], "/") {
		name, isParam := strings.CutPrefix(s, ":")
		switch {
		case isParam && !paramName.MatchString(name):
			return "write a name of letters, digits and _ behind the colon", "has a parameter without a proper name"
		case isParam && seen[name]:
			return "give each parameter a name of its own", "has the parameter :" + name + " twice"
		case !isParam && strings.ContainsAny(s, "*{}[]^|\\"):
			return "write :name for a segment that varies", "has a segment that is neither literal nor :name"
		case !isParam && (s == "." || s == ".." || !literalPart.MatchString(s)):
			return "use letters, digits and -._~ in a literal segment", "has characters that a literal segment cannot have"
		}
		seen[name] = isParam
	}
	return "", ""
}

type idempotency struct {
	Mode idemMode      `yaml:"mode" jsonschema:"enum=optional,enum=required,enum=off,default=optional" jsonschema_description:"What the header does."`
	TTL  unit.Duration `yaml:"ttl" jsonschema_description:"How long a key is remembered. Default 24h."`
}

// DecodeYAML implements yamlsrc.Decoder.
func (i *idempotency) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	if n.Kind != yamlsrc.Map {
		i.Mode.DecodeYAML(n, report)
		return
	}
	type plain idempotency
	n.Decode((*plain)(i), report)
	if ttl := n.Get("ttl"); ttl != nil && i.TTL.D() < time.Second {
		report.Addf(ttl.Pos, ttl.Path, "write a duration such as 24h, or mode: off", "a key cannot be remembered for %s", i.TTL)
	}
}

type idemMode Idempotency

// DecodeYAML implements yamlsrc.Decoder.
func (m *idemMode) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	switch v := Idempotency(n.Text); {
	case n.Kind == yamlsrc.Scalar && (v == IdempotencyOptional || v == IdempotencyRequired || v == IdempotencyOff):
		*m = idemMode(v)
	default:
		n.Wrong("optional, required or off", report)
	}
}

type completionRule tracking.Rule

// DecodeYAML implements yamlsrc.Decoder.
func (c *completionRule) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	switch v := tracking.Rule(n.Text); {
	case n.Kind == yamlsrc.Scalar && (v == tracking.DoneAll || v == tracking.DoneAny):
		*c = completionRule(v)
	default:
		n.Wrong("all or any", report)
	}
}
