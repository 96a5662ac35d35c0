package routes

import (
	"slices"
	"strings"

	"headgate/config/yamlsrc"
	"headgate/dispatch/transform"
	"headgate/policies"
)

// fields reports what the mappings of a route take of bodies that never have it, and notes what
// nobody has said that they have. n is the route's targets.
func (l *loader) fields(n *yamlsrc.Node, r *Route) {
	for _, p := range r.Policies {
		shape, ok := p.(policies.BodyShape)
		if !ok {
			continue
		}
		for _, e := range n.Entries {
			for _, key := range []string{"when", "transform"} {
				for _, at := range scalars(e.Value.Get(key)) {
					l.lacking(at, shape)
				}
			}
		}
	}
}

// lacking looks at the expressions of one scalar, which compiles.
func (l *loader) lacking(n *yamlsrc.Node, shape policies.BodyShape) {
	told := map[string]bool{}
	for _, path := range transform.CompileText(n, roots, new(yamlsrc.Report)).Paths("body") {
		missing, ok := shape.Lacks(path)
		if !ok {
			continue
		}
		name := dotted(path[:missing.At+1])
		if told[name] {
			continue // something below it
		}
		told[name] = true
		hint := "no field is allowed there"
		if len(missing.Known) > 0 {
			hint = yamlsrc.UnknownHint(path[missing.At], missing.Known)
		}
		if missing.Never {
			l.report.Addf(n.Pos, n.Path, hint, "%s is always null: the schema of the route's body lets no such field pass", name)
			continue
		}
		l.doubts = append(l.doubts, doubt{n, hint + "; write " + name + "? if the field may be missing", name + " is not in the schema of the route's body"})
	}
}

// doubt is what may be meant, and probably is not.
type doubt struct {
	*yamlsrc.Node
	hint, message string
}

// dotted is a path as an expression has it.
func dotted(path []string) string {
	return strings.ReplaceAll(".body."+strings.Join(path, "."), ".[]", "[]")
}

// scalars lists those at and below n, which may be nil.
func scalars(n *yamlsrc.Node) (out []*yamlsrc.Node) {
	if n == nil {
		return nil
	}
	if n.Kind == yamlsrc.Scalar {
		return []*yamlsrc.Node{n}
	}
	for _, e := range n.Entries {
		out = append(out, scalars(e.Value)...)
	}
	for _, item := range n.Items {
		out = append(out, scalars(item)...)
	}
	return slices.Clip(out)
}
