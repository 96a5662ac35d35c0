package target

import (
	"fmt"

	"headgate/config/yamlsrc"
)

// DecodeYAML implements yamlsrc.Decoder: it sets the defaults first.
func (u *Until) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	*u = Until{
		Every:    PollGap{First: duration("2s"), Factor: 1.5, Max: duration("60s")},
		Deadline: duration("24h"), Attempts: 20,
	}
	type plain Until
	n.Decode((*plain)(u), report)
}

// DecodeYAML implements yamlsrc.Decoder: it sets the defaults first.
func (r *Rejects) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	*r = Rejects{MaxPages: 100}
	type plain Rejects
	n.Decode((*plain)(r), report)
}

// DecodeYAML implements yamlsrc.Decoder: it sets the defaults first.
func (p *Page) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	*p = Page{Limit: 1000, LimitParam: "limit", OffsetParam: "offset"}
	type plain Page
	n.Decode((*plain)(p), report)
}

func (c *compiler) poll(step *yamlsrc.Node, spec *Call) *poll {
	n := step.Get("until")
	p := &poll{Until: *spec.Until, words: map[string]ending{}}
	if c.plan.CalledBack() && n.Get("every") == nil {
		p.Every = slowGap
	}
	c.atLeastOne(p.Attempts, n, "attempts")
	c.positive(p.Deadline, n, "deadline")
	c.positive(p.Every.First, n, "every", "first")
	if p.Every.Factor < 1 {
		c.problem(find(n, "every", "factor"), "write 1 or more", "factor should be at least 1")
	}
	if p.Every.Max < p.Every.First {
		c.problem(find(n, "every", "max"), "raise max or lower first", "every.max (%s) is less than every.first (%s)", p.Every.Max, p.Every.First)
	}
	p.state = c.expression(n.Get("state"), c.roots.answer)
	p.done = c.expression(n.Get("progress").Get("done"), c.roots.answer)
	p.total = c.expression(n.Get("progress").Get("total"), c.roots.answer)
	p.job = c.expression(n.Get("job"), c.roots.answer)
	p.message = c.expression(n.Get("message"), c.roots.answer)
	p.partialIf = c.condition(n.Get("partial_if"), c.roots.answer)
	c.words(n, p)
	return p
}

func (c *compiler) words(n *yamlsrc.Node, p *poll) {
	where := map[string]string{}
	for _, list := range []struct {
		key string
		end ending
	}{{"running", running}, {"succeeded", succeeded}, {"warned", warned}, {"partial", partial}, {"failed", failed}} {
		node := n.Get(list.key)
		if node == nil {
			continue
		}
		for _, item := range node.Items {
			word, ok := textOf(item.Value())
			if !ok || word == "" {
				c.problem(item, "write a word, such as completed", "a state is a word")
				continue
			}
			if first, dup := where[word]; dup {
				c.problem(item, "keep one of them", "the state %q is in %s already", word, first)
				continue
			}
			where[word] = list.key
			p.words[word] = list.end
		}
	}
	if n.Kind != yamlsrc.Map {
		return // reported
	}
	for _, end := range p.words {
		if end == succeeded || end == warned || end == partial {
			return
		}
	}
	c.problem(n, "add succeeded: [completed]", "no state says that the job is done")
}

func (c *compiler) rejects(n *yamlsrc.Node, spec *Rejects) *rejects {
	r := &rejects{Rejects: *spec, warnings: map[string]bool{}}
	if get := n.Get("get"); get != nil {
		r.path = c.path(get)
	}
	r.items = c.expression(n.Get("items"), c.roots.answer)
	r.total = c.expression(n.Get("total"), c.roots.answer)
	r.reason = c.expression(n.Get("reason"), c.roots.item)
	r.code = c.expression(n.Get("code"), c.roots.item)
	r.match = c.condition(n.Get("match"), c.roots.item)
	c.correlation(n, r)
	if spec.Page != nil && r.path == nil {
		c.problem(n.Get("page"), "add get, or leave page out", "the last answer has no other page")
	} else if spec.Page != nil {
		r.more = c.condition(find(n, "page").Get("more"), c.roots.answer)
		c.atLeastOne(spec.Page.Limit, n, "page", "limit")
		for key, name := range map[string]string{"limit_param": spec.Page.LimitParam, "offset_param": spec.Page.OffsetParam} {
			if name == "" {
				c.problem(find(n, "page", key), fmt.Sprintf("leave it out for %q", key[:len(key)-len("_param")]), "%s is empty", key)
			}
		}
	}
	c.atLeastOne(spec.MaxPages, n, "max_pages")
	if list := n.Get("warnings"); list != nil {
		for _, item := range list.Items {
			code, ok := textOf(item.Value())
			if !ok {
				c.problem(item, "write a code, such as ELQ-00040", "a warning is the code of a reason")
			}
			r.warnings[code] = true
		}
		if r.code == nil && len(list.Items) > 0 {
			c.problem(list, "add code: ${{ .item.… }}", "warnings are codes, but code does not say where they are")
		}
	}
	return r
}

// recordRoots are what the key of a record is made of.
var recordRoots = []string{"record", "key"}

// correlation compiles which record an item means.
func (c *compiler) correlation(n *yamlsrc.Node, r *rejects) {
	index, key := n.Get("index"), n.Get("key")
	if c.spec.Batch == nil {
		for _, at := range []*yamlsrc.Node{index, key} {
			if at != nil {
				c.problem(at, "use match, a condition on .item, or add batch", "without batch there is one record, and no other to tell it from")
			}
		}
		return
	}
	switch {
	case r.match != nil:
		c.problem(n.Get("match"), "use index or key", "match cannot tell the records of a batch apart")
	case index == nil && key == nil:
		c.problem(n, "add index: ${{ .item.… }}, or key: {item: ${{ .item.… }}, record: ${{ .record.… }}}", "which record of the batch an item means is not said")
	case index != nil && key != nil:
		c.problem(key, "keep one of them", "index and key are two ways to say the same")
	}
	r.index = c.expression(index, c.roots.item)
	r.itemKey = c.expression(key.Get("item"), c.roots.item)
	r.recordKey = c.expression(key.Get("record"), recordRoots)
}
