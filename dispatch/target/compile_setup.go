package target

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"headgate/config/yamlsrc"
)

// DecodeYAML implements yamlsrc.Decoder: it sets the defaults first.
func (s *Setup) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	*s = Setup{TTL: duration("24h")}
	type plain Setup
	n.Decode((*plain)(s), report)
}

// setups compiles the calls that find something out for all others.
func (c *compiler) setups() {
	list := c.target.Get("setup")
	if list == nil || list.Kind != yamlsrc.Seq || len(list.Items) != len(c.spec.Setup) {
		return // none, or reported as no list
	}
	of := c.roots
	c.roots, c.authored = rootsOf("setup"), true
	for i, item := range list.Items {
		spec := &c.spec.Setup[i]
		s := c.apart(item, own{spec.Name, spec.Timeout, spec.Expect})
		s.asks, s.ttl = true, spec.TTL.D()
		c.positive(spec.TTL, item, "ttl")
		s.assert = c.condition(item.Get("assert"), c.roots.answer)
		c.setupSaves(item, s)
		c.plan.setups = append(c.plan.setups, s)
	}
	c.roots, c.authored = of, false
}

// setupSaves compiles `save` of a setup. From then on other calls may use the values.
func (c *compiler) setupSaves(n *yamlsrc.Node, s *step) {
	node := n.Get("save")
	if node != nil && len(node.Entries) == 0 && node.Kind == yamlsrc.Map {
		c.problem(node, "write what the call finds out: {base: ${{ .response.body… }}}", "save is empty")
	}
	for _, e := range entries(node) {
		by := c.found[e.Key]
		switch {
		case !savedName.MatchString(e.Key):
			c.report.Addf(e.KeyPos, e.Value.Path, "use letters, digits and _", "%q is no name for a saved value", e.Key)
			continue
		case e.Value.Kind == yamlsrc.Null:
			c.report.Addf(e.KeyPos, e.Value.Path, "write an expression on .response", "%s is empty", e.Key)
			continue
		case by != nil:
			c.report.Addf(e.KeyPos, e.Value.Path, "give it a name of its own", "setup %q saves %s already", by.name, e.Key)
			continue
		}
		s.save = append(s.save, named{e.Key, c.expression(e.Value, c.roots.answer)})
	}
	for _, kept := range s.save {
		c.found[kept.name] = s
	}
}

// noteSetup records which setups the step's expressions need, those that these need included,
// and checks that there is one for each name.
func (c *compiler) noteSetup(n *yamlsrc.Node, names []string, all bool) {
	if all {
		names = sortedKeys(c.found)
	}
	for _, name := range names {
		s := c.found[name]
		if s == nil {
			hint := fmt.Sprintf("add setup: [{name: …, get: …, save: {%s: ${{ .response.body… }}}}] to the target", name)
			if near := yamlsrc.Nearest(name, sortedKeys(c.found)); near != "" {
				hint = fmt.Sprintf("did you mean .setup.%s?", near)
			}
			c.problem(cmp.Or(mention(n, "setup", name), n), hint, "no setup saves %s", name)
			continue
		}
		c.step.wants[s.name] = true
		maps.Copy(c.step.wants, s.wants)
	}
}

// wholeURL checks a URL that the author of the file writes in place of a path.
func (c *compiler) wholeURL(n *yamlsrc.Node) {
	plain := *n
	plain.Text, _, _ = strings.Cut(n.Text, "?")
	absoluteURL(&plain, "write a path, or a URL such as https://login.example.com/id", "use auth", "leave it out", c.report)
}

func without(roots []string, root string) []string {
	return slices.DeleteFunc(slices.Clone(roots), func(r string) bool { return r == root })
}
