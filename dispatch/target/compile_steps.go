package target

import (
	"slices"
	"strings"

	"headgate/config/yamlsrc"
)

// aside compiles a call that is made beside those of the steps. What its expressions use
// is the business of c.step.
func (c *compiler) aside(n *yamlsrc.Node, expect []int) *step {
	s := &step{name: c.step.name, timeout: c.step.timeout, pos: n.Pos, expect: expect, uses: c.step.uses, needs: c.step.needs}
	s.method, s.path = c.method(n)
	s.body = c.body(n, s.method, false)
	c.statuses(find(n, "expect"), expect, 200)
	return s
}

// probe compiles `reconcile` of a step; nil when there is none.
func (c *compiler) probe(n *yamlsrc.Node, spec *Call) *probe {
	at := n.Get("reconcile")
	if at == nil || spec.Reconcile == nil {
		return nil // none, or reported as no mapping
	}
	switch {
	case spec.Until != nil:
		c.problem(at, "move it to the step that makes the job", "reconcile is not possible on a step that polls: a poll may be made again")
	case spec.Rejects != nil:
		c.problem(at, "leave one of them out", "reconcile cannot tell what rejects would have found in the answer")
	}
	p := &probe{call: c.aside(at, spec.Reconcile.Expect), found: c.condition(at.Get("found"), c.roots.answer)}
	s := c.step
	p.call.asks, p.call.headers, p.call.more, p.call.auth, p.call.ownAuth = true, s.headers, s.more, s.auth, s.ownAuth
	for _, e := range entries(at.Get("save")) {
		p.call.save = append(p.call.save, named{e.Key, c.expression(e.Value, c.roots.answer)})
	}
	want, got := sortedKeys(spec.Save), sortedKeys(spec.Reconcile.Save)
	if !slices.Equal(want, got) {
		hint := "leave save out: the step saves nothing"
		if len(want) > 0 {
			hint = "give " + strings.Join(want, ", ")
		}
		c.problem(find(at, "save"), hint, "save of reconcile does not give what save of the step gives")
	}
	return p
}
