package target

import (
	"cmp"
	"maps"
	"net/http"
	"strings"

	"headgate/config/yamlsrc"
	"headgate/dispatch/transform"
)

// call compiles one call: n is the target itself or an item of its steps.
func (c *compiler) call(n *yamlsrc.Node, spec *Call, own Step, sends, last bool) *step {
	s := newStep()
	maps.Copy(s.wants, c.baseWants)
	s.name, s.batched, s.timeout, s.expect = cmp.Or(own.Name, onlyCall), c.spec.Batch != nil, c.spec.Limits.Timeout.D(), spec.Expect
	c.step = s
	s.pos = find(c.target, "limits", "timeout").Pos
	if c.target.Get("limits").Get("timeout") == nil {
		s.pos = n.Pos
	}
	if at := n.Get("timeout"); at != nil && n != c.target { // beside limits it is an unknown key, told already
		s.pos = at.Pos
		c.positive(own.Timeout, n, "timeout")
		s.timeout = own.Timeout.D()
	}
	s.method, s.path = c.method(n)
	s.headers = c.headers(n)
	if n != c.target {
		s.foreach = own.Foreach != ""
		// Whether a step is passed over must not change, as what setups find may.
		lasting := without(c.roots.request, "setup")
		if s.foreach { // it has other records each time
			lasting = without(without(lasting, "records"), "keys")
		}
		s.when = c.condition(n.Get("when"), lasting)
		s.more = c.expression(n.Get("headers_from"), c.roots.request)
		s.notes = notes{when: own.When, more: own.HeadersFrom}
	}
	s.assert = c.condition(n.Get("assert"), c.roots.answer)
	s.auth, s.ownAuth = c.credentials(n), n != c.target && n.Get("auth") != nil
	c.inBody = true
	s.body = c.body(n, s.method, sends)
	c.inBody = false
	c.ownHeaders(n, s)
	c.hasPlace(n, s)
	s.onError = c.rules(n, spec, s.auth)
	c.statuses(find(n, "expect"), spec.Expect, 200)
	if !last {
		c.onlyLast(n)
	}
	s.probe = c.probe(n, spec)
	s.save = c.keep(n, spec)
	for _, e := range entries(n.Get("result")) {
		s.result = append(s.result, named{e.Key, c.value(e.Value, c.roots.answer)})
	}
	s.warn = c.condition(n.Get("warn"), c.roots.answer)
	if spec.Until != nil {
		s.poll = c.poll(n, spec)
	}
	s.rejects = c.lists(n, spec)
	return s
}

// keep compiles `save`. From then on later steps may use the values.
func (c *compiler) keep(n *yamlsrc.Node, spec *Call) (out []named) {
	node := n.Get("save")
	if node != nil && spec.Until != nil {
		c.problem(node, "show values of the last answer with result", "save is not possible on a step that polls")
		return nil
	}
	by := onlyCall
	if name := n.Get("name"); name != nil {
		by = name.Text
	}
	for _, e := range entries(node) {
		if !savedName.MatchString(e.Key) {
			c.report.Addf(e.KeyPos, e.Value.Path, "use letters, digits and _", "%q is no name for a saved value", e.Key)
			continue
		}
		if e.Value.Kind == yamlsrc.Null {
			c.report.Addf(e.KeyPos, e.Value.Path, "write an expression on .response", "%s is empty", e.Key)
			continue
		}
		out = append(out, named{e.Key, c.expression(e.Value, c.roots.answer)})
	}
	for _, e := range entries(node) {
		c.saved[e.Key] = by
	}
	return out
}

func (c *compiler) onlyLast(n *yamlsrc.Node) {
	for _, key := range []string{"result", "warn", "until", "rejects"} {
		if at := n.Get(key); at != nil {
			c.problem(at, "move it to the last step, or keep values for later steps with save", "%s is only possible on the last step", key)
		}
	}
}

func (c *compiler) method(n *yamlsrc.Node) (method string, p *transform.Text) {
	for _, e := range n.Entries {
		name, ok := methods[e.Key]
		switch {
		case !ok:
		case method != "":
			c.report.Addf(e.KeyPos, e.Value.Path, "keep one of them, or write steps", "a second method: one call has one method")
		default:
			method, p = name, c.path(e.Value, c.roots.request)
		}
	}
	if method == "" {
		hint := "add a method and a path: post: /path"
		if n == c.target {
			hint += "; or several calls under steps"
		}
		c.problem(n, hint, "there is no get, post, put, patch or delete")
	}
	return method, p
}

// path compiles what is appended to the base. One that is a single expression, such as
// the path of a job in an answer, is used unescaped.
func (c *compiler) path(n *yamlsrc.Node, roots []string) *transform.Text {
	if n.Kind != yamlsrc.Scalar {
		return nil // reported
	}
	text := strings.TrimSpace(n.Text)
	whole := strings.HasPrefix(text, "${{") && strings.HasSuffix(text, "}}") && strings.Count(text, "${{") == 1
	switch {
	case n.Text == "", whole, n.Text[0] == '/', n.Text[0] == '?':
	case strings.Contains(n.Text, "://") && c.authored:
		c.wholeURL(n)
	case strings.Contains(n.Text, "://"):
		c.problem(n, "write the host in url and the rest here; a URL that an answer gives is one expression, such as ${{ .saved.upload_uri }}, and its host stands in allow_hosts",
			"a path is appended to url and has no host")
	default:
		c.problem(n, "write /"+n.Text, "a path begins with /")
	}
	compiled := c.text(n, roots)
	c.mayLeave(n, compiled)
	return compiled
}

func (c *compiler) headers(n *yamlsrc.Node) (out []header) {
	for _, e := range entries(n.Get("headers")) {
		out = c.header(out, e)
	}
	if n == c.target {
		for i := range out {
			out[i].inherited = true
		}
		return out
	}
	for _, e := range entries(c.target.Get("headers")) {
		name := http.CanonicalHeaderKey(e.Key)
		overridden := false
		for _, h := range out {
			overridden = overridden || h.name == name
		}
		if !overridden {
			c.once(e.Value, func() { out = c.header(out, e) })
			if len(out) > 0 {
				out[len(out)-1].inherited = out[len(out)-1].name == name
			}
		}
	}
	return out
}

// Headers that a target may not set: they belong to the connection or are ours.
var reservedHeaders = map[string]string{
	"Host":              "the host is that of url",
	"Content-Length":    "leave it out: it follows from the body",
	"Transfer-Encoding": "leave it out",
	"Connection":        "leave it out",
	"Accept-Encoding":   "leave it out: compressed answers are asked for and read anyway",
	"Idempotency-Key":   "leave it out: it is sent with every call that changes something",
	"Traceparent":       "leave it out: the trace of the request is passed on",
}

// Headers whose literal value is a secret in clear.
var secretHeaders = map[string]bool{
	"Authorization": true, "Proxy-Authorization": true, "X-Api-Key": true, "Api-Key": true, "X-Auth-Token": true,
}

func (c *compiler) header(out []header, e yamlsrc.Entry) []header {
	name := http.CanonicalHeaderKey(e.Key)
	hint, reserved := reservedHeaders[name]
	switch {
	case e.Value.Kind != yamlsrc.Scalar: // reported
		return out
	case !validHeaderName(e.Key):
		c.report.Addf(e.KeyPos, e.Value.Path, "use letters, digits and -", "%q is no name for a header", e.Key)
		return out
	case reserved:
		c.report.Addf(e.KeyPos, e.Value.Path, hint, "%s cannot be set", name)
		return out
	case secretHeaders[name] && !strings.Contains(e.Value.Text, "${{"):
		c.problem(e.Value, "use auth: {bearer: {env: NAME}} or auth: {header: {name: "+name+", value: {env: NAME}}}", "a secret must not stand in the file in clear")
		return out
	}
	return append(out, header{name: name, value: c.text(e.Value, c.roots.request)})
}
