package target

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"headgate/config/yamlsrc"
	"headgate/dispatch/transform"
)

// expression compiles a value that only makes sense as an expression.
func (c *compiler) expression(n *yamlsrc.Node, roots []string) *transform.Value {
	if n == nil || n.Kind == yamlsrc.Null {
		return nil // not given, or reported as empty
	}
	if n.Kind == yamlsrc.Scalar && !strings.Contains(n.Text, "${{") {
		c.problem(n, "write \"${{ "+n.Text+" }}\" if it was meant as one", "%s should be an expression", lastKey(n.Path))
		return nil
	}
	return c.value(n, roots)
}

func (c *compiler) value(n *yamlsrc.Node, roots []string) *transform.Value {
	before := c.report.Len()
	v := transform.CompileValue(n, roots, c.report)
	if c.report.Len() > before {
		return nil
	}
	c.note(n, roots, v.Fields)
	return v
}

func (c *compiler) text(n *yamlsrc.Node, roots []string) *transform.Text {
	before := c.report.Len()
	t := transform.CompileText(n, roots, c.report)
	if c.report.Len() > before {
		return nil
	}
	c.note(n, roots, t.Fields)
	return t
}

func (c *compiler) condition(n *yamlsrc.Node, roots []string) *transform.Bool {
	if n == nil || n.Kind == yamlsrc.Null {
		return nil
	}
	before := c.report.Len()
	b := transform.CompileBool(n, roots, c.report)
	if c.report.Len() > before {
		return nil
	}
	c.note(n, roots, b.Fields)
	return b
}

// note records which roots the step's expressions use and checks that what they take
// from .saved has been saved by then.
func (c *compiler) note(n *yamlsrc.Node, roots []string, fields func(root string) ([]string, bool)) {
	for _, root := range roots {
		names, all := fields(root)
		if len(names) == 0 && !all {
			continue
		}
		c.step.uses[root] = true
		if !c.inBody {
			c.step.around[root] = true
		}
		if root == "params" {
			c.plan.Params = slices.Compact(slices.Sorted(slices.Values(append(c.plan.Params, names...))))
		}
		if root == "response" {
			c.knowsOf(n, names)
		}
		if root == "setup" {
			c.noteSetup(n, names, all)
		}
		if root == callbackRoot {
			c.usesCallbacks(n)
		}
		if root != "saved" {
			continue
		}
		for _, name := range names {
			if !slices.Contains(roots, "response") {
				c.step.needs[name] = true
			}
			if _, ok := c.saved[name]; !ok {
				c.problem(cmp.Or(mention(n, "saved", name), n), c.savedHint(name), ".saved.%s is used before a step saves it", name)
			}
		}
	}
}

// knowsOf checks what is taken of an answer.
func (c *compiler) knowsOf(n *yamlsrc.Node, names []string) {
	for _, name := range names {
		if c.kept || slices.Contains(responseFields, name) {
			continue
		}
		c.problem(cmp.Or(mention(n, "response", name), n), "known here: .response."+strings.Join(responseFields, ", .response."), "an answer has no .response.%s", name)
	}
}

func (c *compiler) savedHint(name string) string {
	if by, ok := c.all[name]; ok {
		return fmt.Sprintf("step %q saves it, which comes too late: change the order", by)
	}
	if near := yamlsrc.Nearest(name, sortedKeys(c.saved)); near != "" {
		return fmt.Sprintf("did you mean .saved.%s, which step %q saves?", near, c.saved[near])
	}
	return fmt.Sprintf("add save: {%s: \"${{ .response.body… }}\"} to an earlier step", name)
}

// mention finds the scalar at or below n that speaks of a value below a root.
func mention(n *yamlsrc.Node, root, name string) *yamlsrc.Node {
	if n.Kind == yamlsrc.Scalar && strings.Contains(n.Text, root) && strings.Contains(n.Text, name) {
		return n
	}
	for _, e := range n.Entries {
		if m := mention(e.Value, root, name); m != nil {
			return m
		}
	}
	for _, item := range n.Items {
		if m := mention(item, root, name); m != nil {
			return m
		}
	}
	return nil
}
