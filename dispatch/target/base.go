package target

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"headgate/config/yamlsrc"
	"headgate/dispatch/fault"
	"headgate/dispatch/transform"
)

// home is where the paths of a target's calls are appended.
type home struct {
	url     string // without a slash at its end
	host    string
	origin  string // scheme://host:port, in the form in which they are compared
	guarded bool   // an answer named its host, which is not that of url
}

func homeOf(u *url.URL, guarded bool) home {
	return home{url: strings.TrimRight(u.String(), "/"), host: u.Host, origin: originOf(u), guarded: guarded}
}

func originOf(u *url.URL) string {
	name, port, _, _ := authority(u)
	return u.Scheme + "://" + name + ":" + port
}

// baseRoots are what base may use.
var baseRoots = []string{"token", "setup"}

// tokens are fields of a token answer that have no place in a URL.
var tokens = []string{"access_token", "refresh_token", "id_token"}

// moved compiles base, before the calls: their token brings along what it uses.
func (c *compiler) moved() {
	n := c.target.Get("base")
	if n == nil || n.Kind != yamlsrc.Scalar {
		return // reported as empty or as no string
	}
	c.expressionURL = true
	c.step = newStep()
	text := c.text(n, baseRoots)
	if text == nil {
		return // reported
	}
	switch {
	case text.IsLiteral():
		c.problem(n, "write it as url", "base has no expression")
	case !c.kept && c.target.Get("allow_hosts") == nil:
		c.problem(n, "add allow_hosts: [names of the hosts] to the target; allow_hosts: [] if it only ever gives URLs of the host of url",
			"the base comes from an expression, and the target does not say which hosts it may name")
	}
	if fields, all := text.Fields("token"); all || len(fields) > 0 {
		c.tokenBase(n, fields, all)
	}
	c.plan.base, c.baseWants = text, c.step.wants
}

// tokenBase compiles what a base takes from the answer with the access token.
func (c *compiler) tokenBase(n *yamlsrc.Node, fields []string, all bool) {
	if all {
		c.problem(n, "name it, such as ${{ .token.instance_url }}", "base does not say which field of the token answer it uses")
	}
	for _, field := range fields {
		if slices.Contains(tokens, field) {
			c.problem(n, "use another field of the answer", ".token.%s has no place in a URL", field)
		}
	}
	c.tokenFields = slices.Sorted(slices.Values(fields))
	before := c.report.Len()
	c.plan.baseAuth = c.credentials(c.target)
	if (c.plan.baseAuth == nil || c.plan.baseAuth.oauth == nil) && c.report.Len() == before {
		c.problem(n, "add auth: {oauth2: …} to the target", "base uses .token, but the target's auth fetches none")
	}
}

// home gives where the paths of a plan are appended. That may take a token, which is
// fetched now. outer is the context of the run, ctx that of its call; found is what setups
// have found.
func (e *Engine) home(outer, ctx context.Context, p *Plan, found any) (home, *fault.Fault) {
	if p.base == nil || (p.baseAuth != nil && e.tokens == nil) {
		return p.home, nil
	}
	scope := transform.Scope{"setup": found}
	if p.baseAuth != nil {
		secrets, f := readAll(p.baseAuth.refs, e.secrets)
		if f != nil {
			return home{}, f
		}
		token, f := e.tokens.get(outer, ctx, newClient(p.baseAuth.oauth, secrets))
		if f != nil {
			return home{}, f
		}
		scope["token"] = token.fields
	}
	return p.movedTo(scope)
}

// movedTo evaluates base. It may name another host than url, which is judged like any
// URL from an answer, but then it is the target's own.
func (p *Plan) movedTo(scope transform.Scope) (home, *fault.Fault) {
	text, err := p.base.URL(scope)
	if err != nil {
		return home{}, &fault.Fault{Reason: fault.Auth, Retry: true, Err: err, Message: "not sent: base: " + err.Error()}
	}
	to, f := p.judge(text, "base: ", p.home)
	if f != nil {
		return home{}, f
	}
	u, err := url.Parse(to.url)
	if err != nil || u.RawQuery != "" || u.ForceQuery {
		return home{}, &fault.Fault{Reason: fault.BadResponse, Message: "not sent: base: the URL for the host " + clean(to.host, 100) + " has a query"}
	}
	return homeOf(u, to.guarded), nil
}

// baseLine says for a person where calls go when that is not url.
func (p *Plan) baseLine() string {
	if p.base == nil {
		return ""
	}
	line := "url stands for " + p.base.Source() + ": the host " + p.home.host + " itself"
	if len(p.allow) > 0 {
		line += ", or one of allow_hosts (" + p.hostNames() + ") at public addresses"
	}
	return line
}
