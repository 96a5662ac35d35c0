package recipes

import (
	"fmt"
	"slices"
	"strings"

	"headgate/config/secret"
	"headgate/config/unit"
	"headgate/config/yamlsrc"
)

// Named gives the recipe that a target asks for with its key recipe; nil when it asks for
// none, or for one that there is not, which is reported.
func Named(n *yamlsrc.Node, report *yamlsrc.Report) *Recipe {
	at := n.Get("recipe")
	if at == nil {
		return nil
	}
	if at.Kind != yamlsrc.Scalar {
		at.Wrong("the name of a recipe, such as "+Names()[0], report)
		return nil
	}
	r := Find(at.Text)
	if r == nil {
		hint := "headgate recipes lists them"
		if near := yamlsrc.Nearest(at.Text, Names()); near != "" {
			hint = fmt.Sprintf("did you mean %q? %s", near, hint)
		}
		report.Addf(at.Pos, at.Path, hint, "there is no recipe %q", at.Text)
	}
	return r
}

// Expand gives the plain target that n stands for: the recipe with the values of with, and
// with n's other keys instead of its own. The result is nil when something is wrong with the
// values. Nodes that the author of n did not write keep their place in r.File.
func (r *Recipe) Expand(n *yamlsrc.Node, report *yamlsrc.Report) *yamlsrc.Node {
	before := report.Len()
	values := r.values(n, report)
	if report.Len() > before {
		return nil
	}
	out := r.target.Fill(n.Path, func(name string) (*yamlsrc.Node, bool) { return values[name], true }, report)
	if report.Len() > before {
		return nil
	}
	for _, e := range n.Entries {
		if e.Key != "recipe" && e.Key != "with" {
			out.Entries = r.override(out.Entries, e, report)
		}
	}
	out.Pos = n.Get("recipe").Pos
	return out
}

// values checks what with gives and adds the defaults.
func (r *Recipe) values(n *yamlsrc.Node, report *yamlsrc.Report) map[string]*yamlsrc.Node {
	out := map[string]*yamlsrc.Node{}
	with, at := n.Get("with"), n.Get("recipe")
	if with != nil {
		at = with
		if with.Kind != yamlsrc.Map && with.Kind != yamlsrc.Null {
			with.Wrong("a mapping, such as with: {"+r.With[0].Name+": …}", report)
			return nil
		}
		for _, e := range with.Entries {
			i := slices.IndexFunc(r.With, func(p Parameter) bool { return p.Name == e.Key })
			if i < 0 {
				report.Conceal(e.Value) // it may be a secret under a wrong name
				report.Addf(e.KeyPos, e.Value.Path, yamlsrc.UnknownHint(e.Key, r.names()), "the recipe %s has no parameter %q", r.Name, e.Key)
				continue
			}
			r.With[i].check(e.Value, report)
			out[e.Key] = e.Value
		}
	}
	for _, p := range r.With {
		switch {
		case out[p.Name] != nil:
		case p.Default != nil:
			out[p.Name] = p.Default
		case p.Required:
			report.Addf(at.Pos, at.Path, fmt.Sprintf("add with: {%s: %s}. %s", p.Name, p.form(), p.Description),
				"the recipe %s needs %q", r.Name, p.Name)
		}
	}
	return out
}

func (r *Recipe) names() []string {
	out := make([]string, len(r.With))
	for i, p := range r.With {
		out[i] = p.Name
	}
	return out
}

// form is how a value of the parameter is written.
func (p *Parameter) form() string {
	switch p.Kind {
	case List:
		return "[…]"
	case Mapping:
		return "{…}"
	case Secret:
		return "{env: NAME}"
	case Text:
	}
	return "…"
}

// check reports a value that is not of the parameter's kind.
func (p *Parameter) check(n *yamlsrc.Node, report *yamlsrc.Report) {
	switch {
	case p.Kind == Secret:
		new(secret.Ref).DecodeYAML(n, report)
	case p.Kind == List && n.Kind != yamlsrc.Seq:
		n.Wrong("a list", report)
	case p.Kind == Mapping && n.Kind != yamlsrc.Map:
		n.Wrong("a mapping", report)
	case p.Kind == Text && n.Kind != yamlsrc.Scalar:
		n.Wrong("a text", report)
	}
}

// joined are the sections of a target of which a recipe's user may write single keys; every
// other key stands for all that the recipe has below it.
var joined = []string{"batch", "breaker", "headers", "limits", "retry"}

// override puts a key of the target in the place of the recipe's.
func (r *Recipe) override(own []yamlsrc.Entry, e yamlsrc.Entry, report *yamlsrc.Report) []yamlsrc.Entry {
	i := slices.IndexFunc(own, func(o yamlsrc.Entry) bool { return o.Key == e.Key })
	if i < 0 {
		return append(own, e)
	}
	if e.Key == "batch" {
		r.bounded(own[i].Value, e.Value, report)
	}
	if slices.Contains(joined, e.Key) && own[i].Value.Kind == yamlsrc.Map && e.Value.Kind == yamlsrc.Map {
		section := *e.Value
		section.Entries = slices.Clone(own[i].Value.Entries)
		for _, inner := range e.Value.Entries {
			section.Entries = slices.DeleteFunc(section.Entries, func(o yamlsrc.Entry) bool { return o.Key == inner.Key })
			section.Entries = append(section.Entries, inner)
		}
		e.Value = &section
	}
	own[i] = e
	return own
}

// bounded reports what asks for more in a batch than the vendor takes.
func (r *Recipe) bounded(own, asked *yamlsrc.Node, report *yamlsrc.Report) {
	for _, e := range asked.Entries {
		limit := own.Get(e.Key)
		if limit == nil {
			continue
		}
		if e.Value.Kind == yamlsrc.Map { // of chunks, which are written anew as a whole
			r.bounded(limit, e.Value, report)
			for _, missing := range limit.Entries {
				if strings.HasPrefix(missing.Key, "max_") && e.Value.Get(missing.Key) == nil {
					report.Addf(e.Value.Pos, e.Value.Path, "add "+missing.Key+": "+missing.Value.Text, "%s leaves out the recipe's %s", e.Key, missing.Key)
				}
			}
		}
		if !strings.HasPrefix(e.Key, "max_") {
			continue
		}
		most, err := unit.ParseSize(limit.Text) // a number by itself is one of them
		got, wrong := unit.ParseSize(e.Value.Text)
		if err == nil && wrong == nil && got > most {
			report.Addf(e.Value.Pos, e.Value.Path, "write "+limit.Text+" or less; headgate recipes show "+r.Name+" says what the limit is from",
				"%s is over the recipe's batch limit of %s", e.Value.Text, limit.Text)
		}
	}
}
