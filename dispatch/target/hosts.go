package target

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"headgate/config/yamlsrc"
	"headgate/dispatch/transform"
)

// hostRule is one entry of allow_hosts.
type hostRule struct {
	text string // as written
	name string // lower-case; of a wildcard what stands behind the star, with its dot
	any  bool   // the host is any below name
	port string // empty: the usual one of the scheme
}

// hostName is what a host of a URL may look like: what an international name becomes on
// the wire, an address, and nothing that one reader takes for another thing than the next.
var hostName = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$`)

const hostHint = `write names such as uploads.example.com, *.example.com or uploads.example.com:8443`

// hosts compiles allow_hosts.
func (c *compiler) hosts() {
	n := c.target.Get("allow_hosts")
	if n == nil {
		return
	}
	if n.Kind == yamlsrc.Null {
		c.problem(n, "write allow_hosts: [] for none", "allow_hosts is empty")
	}
	seen := map[string]bool{}
	for _, item := range n.Items {
		if item.Kind != yamlsrc.Scalar {
			continue // reported as no string
		}
		rule, hint, err := parseHostRule(item.Text)
		switch {
		case err != nil:
			c.problem(item, hint, "%s", err)
			continue
		case seen[rule.key()]:
			c.problem(item, "keep one of them", "%s is in allow_hosts twice", rule.text)
		}
		seen[rule.key()] = true
		c.plan.allow = append(c.plan.allow, rule)
	}
}

// hostsAreUsed reports a list that nothing needs: whoever wrote it expects something else.
func (c *compiler) hostsAreUsed() {
	if n := c.target.Get("allow_hosts"); n != nil && len(n.Items) > 0 && !c.expressionURL {
		c.problem(n, "leave it out; it is for calls whose whole URL is one expression, such as put: ${{ .saved.upload_uri }}",
			"allow_hosts has no effect: no call takes its URL from an expression")
	}
}

// mayLeave reports a path that is one expression on a target that does not say where
// its URLs may go. One that visibly begins as a path needs no list.
func (c *compiler) mayLeave(n *yamlsrc.Node, text *transform.Text) {
	if text == nil || !text.IsExpression() {
		return
	}
	c.expressionURL = true
	if c.kept || beginsAsPath(n.Text) {
		return
	}
	if c.target.Get("allow_hosts") != nil {
		c.mayReach(n)
		return
	}
	c.problem(n, "add allow_hosts: [names of the hosts] to the target; allow_hosts: [] if it only ever gives a path, or a URL of the host of url",
		"the whole URL comes from an expression, and the target does not say which hosts it may name")
}

// literalHost is an expression that begins with a URL whose host is written out.
var literalHost = regexp.MustCompile(`^\s*\$\{\{\s*\(*\s*"(https?://[^/?#"\\]+)[/?]`)

// mayReach reports a host that the author of the file wrote, and that no list has: each call
// would be refused when it is made.
func (c *compiler) mayReach(n *yamlsrc.Node) {
	found := literalHost.FindStringSubmatch(n.Text)
	if found == nil {
		return
	}
	u, err := url.Parse(found[1])
	if err != nil || originOf(u) == c.plan.home.origin {
		return
	}
	name, port, usual, _ := authority(u)
	for i := range c.plan.allow {
		if c.plan.allow[i].allows(name, port, usual) {
			return
		}
	}
	c.problem(n, "add "+u.Host+" to allow_hosts", "the call goes to the host %s, which is neither that of url nor in allow_hosts", u.Host)
}

// beginsAsPath reports whether an expression begins with a literal / or ?. What it makes
// of it is looked at again when the call is made.
func beginsAsPath(text string) bool {
	inner := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), "${{"))
	return strings.HasPrefix(inner, `"/`) || strings.HasPrefix(inner, `"?`)
}

func parseHostRule(text string) (r hostRule, hint string, err error) {
	r.text = text
	host := strings.ToLower(text)
	if strings.Contains(host, "://") || strings.ContainsAny(host, "/?#@ ") {
		return r, hostHint, fmt.Errorf("%q is no host: it has a scheme, a path or credentials", text)
	}
	if name, port, err := net.SplitHostPort(host); err == nil {
		if _, err := netip.ParseAddrPort("0.0.0.0:" + port); err != nil || port == "0" {
			return r, hostHint, fmt.Errorf("%q has no port that can be called", text)
		}
		host, r.port = name, port
	}
	host = strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), ".")
	if below, ok := strings.CutPrefix(host, "*."); ok {
		if strings.Count(below, ".") < 1 {
			return r, "name the domain as well, such as *.example.com", fmt.Errorf("%q would allow everybody's hosts", text)
		}
		r.any, r.name, host = true, "."+below, below
	} else {
		r.name = host
	}
	address, isAddress := netip.ParseAddr(host)
	switch {
	case isAddress == nil && (r.any || address.Zone() != ""):
		return r, hostHint, fmt.Errorf("%q is no name of a host", text)
	case isAddress == nil:
		r.name = address.String()
	case !hostName.MatchString(host):
		return r, hostHint, fmt.Errorf("%q is no name of a host", text)
	}
	return r, "", nil
}

func (r *hostRule) key() string { return fmt.Sprintf("%v %s:%s", r.any, r.name, r.port) }

// allows reports whether a URL of this host and port may be called.
func (r *hostRule) allows(name, port, usual string) bool {
	if r.port != port && (r.port != "" || port != usual) {
		return false
	}
	if r.any {
		return strings.HasSuffix(name, r.name) && len(name) > len(r.name)
	}
	return name == r.name
}

// authority gives the host and port of a URL in the one form in which they are compared;
// ok is false for what is no plain host.
func authority(u *url.URL) (name, port, usual string, ok bool) {
	usual = "443"
	if u.Scheme == "http" {
		usual = "80"
	}
	if port = u.Port(); port == "" {
		port = usual
	}
	name = strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if address, err := netip.ParseAddr(name); err == nil {
		return address.String(), port, usual, address.Zone() == ""
	}
	return name, port, usual, hostName.MatchString(name)
}
