package routes

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"headgate/config/yamlsrc"
)

// Names are the names of what two tables do not have in common, each list sorted.
type Names struct{ Added, Removed, Changed []string }

// None reports whether there is no difference.
func (n Names) None() bool { return len(n.Added)+len(n.Removed)+len(n.Changed) == 0 }

// Changes are the differences between two tables. A route whose target has changed has not
// changed itself; one whose schema has, has.
type Changes struct{ Routes, Targets, Authenticators Names }

// None reports whether there is no difference.
func (c Changes) None() bool {
	return c.Routes.None() && c.Targets.None() && c.Authenticators.None()
}

// ChangesTo tells what a table has otherwise that takes the place of this one.
func (t *Table) ChangesTo(next *Table) Changes {
	return Changes{
		Routes:         compare(t.routeSums(), next.routeSums()),
		Targets:        compare(t.planSums(), next.planSums()),
		Authenticators: compare(t.sums, next.sums),
	}
}

// Sum is the same for tables that do the same, wherever they were read: 16 hex digits. What
// secrets are is not in it.
func (t *Table) Sum() string {
	h := sha256.New()
	for _, part := range []map[string]string{t.routeSums(), t.planSums(), t.sums} {
		for _, name := range slices.Sorted(maps.Keys(part)) {
			fmt.Fprintf(h, "%s %s\n", name, part[name])
		}
		fmt.Fprintln(h)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

func (t *Table) routeSums() map[string]string {
	out := make(map[string]string, len(t.routes))
	for _, r := range t.routes {
		out[r.Name] = r.sum
	}
	return out
}

func (t *Table) planSums() map[string]string {
	out := make(map[string]string, len(t.plans))
	for name, p := range t.plans {
		out[name] = p.Hash
	}
	return out
}

func compare(was, is map[string]string) (n Names) {
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if before, had := was[name]; !had {
			n.Added = append(n.Added, name)
		} else if before != is[name] {
			n.Changed = append(n.Changed, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if _, has := is[name]; !has {
			n.Removed = append(n.Removed, name)
		}
	}
	return n
}

// sumOf is of a part of a file as it was understood, whatever its lines and comments are, and
// of the contents of the files that were read for it.
func sumOf(n *yamlsrc.Node, reads []yamlsrc.Read) string {
	h := sha256.New()
	// Nodes are scalars, lists and mappings with string keys: they can always be encoded.
	_ = json.NewEncoder(h).Encode(n)
	for _, r := range reads {
		fmt.Fprintf(h, "%s\n", r.Sum)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
