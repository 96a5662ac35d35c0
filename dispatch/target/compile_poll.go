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
	c.unclear(n, &p.Until)
	c.words(n, p)
	return p
}

// stateLists are the keys of Until that list states.
var stateLists = []struct {
	key string
	end ending
}{{"running", running}, {"succeeded", succeeded}, {"warned", warned}, {"partial", partial}, {"failed", failed}}

func (c *compiler) words(n *yamlsrc.Node, p *poll) {
	listed := map[string]stated{}
	for _, list := range stateLists {
		for _, s := range c.states(n.Get(list.key)) {
			if first, dup := listed[s.word]; dup {
				c.problem(s.at, "keep one of them", "the state %q is in %s already", s.word, first.list)
				continue
			}
			s.list = list.key
			listed[s.word] = s
			p.words[s.word] = list.end
		}
	}
	c.allListed(n, listed)
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

// stated is a state as a list of the file has it.
type stated struct {
	word, list string
	at         *yamlsrc.Node
}

// states reads a list of states.
func (c *compiler) states(n *yamlsrc.Node) (out []stated) {
	if n == nil {
		return nil
	}
	for _, item := range n.Items {
		word, ok := textOf(item.Value())
		if !ok || word == "" {
			c.problem(item, "write a word, such as completed", "a state is a word")
			continue
		}
		out = append(out, stated{word: word, at: item})
	}
	return out
}

// allListed compares the lists with the states that the backend is known to have.
func (c *compiler) allListed(n *yamlsrc.Node, listed map[string]stated) {
	at := n.Get("states")
	if at == nil {
		return
	}
	known := map[string]bool{}
	for _, s := range c.states(at) {
		switch {
		case known[s.word]:
			c.problem(s.at, "keep one of them", "the state %q is in states already", s.word)
		case listed[s.word].at == nil:
			c.problem(s.at, "add it to running, succeeded, warned, partial or failed", "no list says what the state %q means", s.word)
		}
		known[s.word] = true
	}
	for _, word := range sortedKeys(listed) {
		if s := listed[word]; !known[word] {
			c.problem(s.at, yamlsrc.UnknownHint(word, sortedKeys(known)), "%s names the state %q, which is not in states", s.list, word)
		}
	}
}
