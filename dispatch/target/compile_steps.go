package target

import (
	"maps"
	"slices"
	"strings"

	"headgate/config/unit"
	"headgate/config/yamlsrc"
)

func newStep() *step {
	return &step{uses: map[string]bool{}, around: map[string]bool{}, needs: map[string]bool{}, wants: map[string]bool{}}
}

// aside compiles a call that is made beside those of the steps. What its expressions use
// is the business of c.step.
func (c *compiler) aside(n *yamlsrc.Node, expect []int) *step {
	s := &step{name: c.step.name, timeout: c.step.timeout, pos: n.Pos, expect: expect, uses: c.step.uses, around: c.step.around, needs: c.step.needs, wants: c.step.wants}
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
	case c.step.foreach:
		c.problem(at, "write chunk: {into: job}, or leave it out", "reconcile is not possible on a step that is repeated: which of its uploads got through, no answer tells")
	case spec.Rejects != nil:
		c.problem(at, "leave one of them out", "reconcile cannot tell what rejects would have found in the answer")
	}
	if by := mention(at, "tracking", ".tracking"); by != nil && mention(at, "round", ".round") == nil && c.goesRound() {
		c.problem(by, "name what the call makes by .round, and look it up by that", "with .tracking, reconcile finds what an earlier window or round of the same batch or record has made")
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

// goesRound reports whether the steps may be gone through more than once for what is
// accepted once: for parts of a batch, or for what the backend wants again.
func (c *compiler) goesRound() bool {
	if b := c.spec.Batch; b != nil && b.Chunk != nil && b.Chunk.Into == intoJob {
		return true
	}
	calls := []*Call{&c.spec.Call}
	for i := range c.spec.Steps {
		calls = append(calls, &c.spec.Steps[i].Call)
	}
	for _, call := range calls {
		if call.Until != nil && call.Until.Split {
			return true
		}
		if slices.ContainsFunc(call.OnError, func(r Rule) bool { return r.Then == thenSplit }) || slices.ContainsFunc(call.Rejects, sendsAgain) {
			return true
		}
	}
	return false
}

func sendsAgain(l Rejects) bool {
	return l.Means == "retry" || slices.ContainsFunc(l.Classify, func(k Class) bool { return k.As == "retry" })
}

// own are the keys that a call beside the steps has besides those of its Request.
type own struct {
	name    string
	timeout unit.Duration
	expect  []int
}

// apart compiles a call that is made by itself. From then on c.step is its own.
func (c *compiler) apart(n *yamlsrc.Node, o own) *step {
	c.step = newStep()
	maps.Copy(c.step.wants, c.baseWants)
	c.step.name, c.step.timeout = o.name, c.spec.Limits.Timeout.D()
	if n.Get("timeout") != nil {
		c.positive(o.timeout, n, "timeout")
		c.step.timeout = o.timeout.D()
	}
	s := c.aside(n, o.expect)
	s.headers, s.auth, s.ownAuth = c.headers(n), c.credentials(n), n.Get("auth") != nil
	s.beside, c.step = true, s
	c.ownHeaders(n, s)
	switch {
	case o.name == "": // reported as missing
	case !stepName.MatchString(o.name):
		c.problem(find(n, "name"), "use lower-case letters, digits, - and _, at most 63", "%q is no name for a call", o.name)
	case c.names[o.name]:
		c.problem(find(n, "name"), "give each call a name of its own", "a call called %q is there already", o.name)
	}
	c.names[o.name] = true
	return s
}

// finally compiles the calls that clean up, after all others: they may use whatever any step
// saves, and how the delivery ended.
func (c *compiler) finally() {
	list := c.target.Get("finally")
	if list == nil || list.Kind != yamlsrc.Seq || len(list.Items) != len(c.spec.Finally) {
		return // none, or reported as no list
	}
	// A batch is cleaned up after without its records.
	c.roots = rootsOf(append(without(without(c.roots.request, "records"), "keys"), "state")...)
	for i, item := range list.Items {
		spec := &c.spec.Finally[i]
		s := c.apart(item, own{spec.Name, spec.Timeout, spec.Expect})
		s.when, s.notes.when = c.condition(item.Get("when"), c.roots.request), spec.When
		c.plan.finally = append(c.plan.finally, s)
	}
}
