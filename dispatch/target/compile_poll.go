package target

import "headgate/config/yamlsrc"

// DecodeYAML implements yamlsrc.Decoder: it sets the defaults first.
func (u *Until) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	*u = Until{
		Every:    PollGap{First: duration("2s"), Factor: 1.5, Max: duration("60s")},
		Deadline: duration("24h"), Attempts: 20,
	}
	type plain Until
	n.Decode((*plain)(u), report)
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
