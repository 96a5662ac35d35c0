package jq

import (
	"maps"
	"slices"
	"strings"

	"github.com/itchyny/gojq"
)

// Usage is what expressions take from the scope, as far as it can be told at load: by
// root the fields, or that all of it is needed.
type Usage struct {
	fields     map[string]map[string]bool
	whole      map[string]bool
	everything bool // the scope itself is used as a value
	paths      map[origin]bool
}

// Item stands in a path for any item of a list.
const Item = "[]"

// Paths lists, sorted, what is taken of one root by name: {"address", "city"} for
// .body.address.city, {"lines", Item, "sku"} for .body.lines[].sku. What is taken under a
// condition (//, ?, try) is not listed, nor is what is written, nor what cannot be told.
func (u *Usage) Paths(root string) (out [][]string) {
	for _, path := range slices.Sorted(maps.Keys(u.paths)) {
		if below, ok := strings.CutPrefix(string(path), root+separator); ok {
			out = append(out, strings.Split(below, separator))
		}
	}
	return out
}

func (u *Usage) field(root, name string) {
	if u.fields == nil {
		u.fields = map[string]map[string]bool{}
	}
	if u.fields[root] == nil {
		u.fields[root] = map[string]bool{}
	}
	u.fields[root][name] = true
}

func (u *Usage) take(root string) {
	if u.whole == nil {
		u.whole = map[string]bool{}
	}
	u.whole[root] = true
}

// Add joins what other takes to it.
func (u *Usage) Add(other *Usage) {
	for root, names := range other.fields {
		for name := range names {
			u.field(root, name)
		}
	}
	for root := range other.whole {
		u.take(root)
	}
	u.everything = u.everything || other.everything
	for path := range other.paths {
		u.path(path)
	}
}

func (u *Usage) path(p origin) {
	if u.paths == nil {
		u.paths = map[origin]bool{}
	}
	u.paths[p] = true
}

// Of lists the fields of one root, sorted.
func (u *Usage) Of(root string) (fields []string, all bool) {
	if u.everything || u.whole[root] {
		return nil, true
	}
	for name := range u.fields[root] {
		fields = append(fields, name)
	}
	slices.Sort(fields)
	return fields, false
}

// Reads reports whether anything of a root is taken.
func (u *Usage) Reads(root string) bool {
	return u.everything || u.whole[root] || len(u.fields[root]) > 0
}

// origin says what a value is: the scope itself (""), a root by its name, or what lies below
// one, each step behind a separator.
type origin string

const separator = "\x00"

func (o origin) isRoot() bool             { return o != "" && !strings.Contains(string(o), separator) }
func (o origin) below(step string) origin { return o + separator + origin(step) }

// origins says what a value may be; when there is none, anything else.
type origins []origin

func join(a, b origins) origins {
	out := slices.Clone(a)
	for _, o := range b {
		if !slices.Contains(out, o) {
			out = append(out, o)
		}
	}
	return out
}

// maxAnalysis bounds the analysis, which follows calls of an expression's own functions.
const maxAnalysis = 10_000

// analyser follows the data through a query.
type analyser struct {
	Usage
	roots   []string
	unknown func(name string)
	fuel    int
	active  []*gojq.FuncDef
	quiet   int // what is taken here may be missing: paths are not followed
}

// analyse tells what q takes from the scope. unknown is called for each name at the
// first level that is not among the roots.
func analyse(q *gojq.Query, roots []string, unknown func(name string)) *Usage {
	a := &analyser{roots: roots, unknown: unknown, fuel: maxAnalysis}
	a.use(a.query(q, origins{""}, nil))
	return &a.Usage
}

// binding is a variable ("$x"), a function or a closure ("f/0") of the query, innermost
// first.
type binding struct {
	name    string
	value   origins
	def     *gojq.FuncDef
	closure *gojq.Query
	within  *binding // what the closure sees
	outer   *binding
}

func (b *binding) find(name string) *binding {
	for ; b != nil; b = b.outer {
		if b.name == name {
			return b
		}
	}
	return nil
}

// use records that values are looked at as a whole.
func (a *analyser) use(v origins) {
	for _, o := range v {
		switch {
		case o == "":
			a.everything = true
		case o.isRoot():
			a.take(string(o))
		}
	}
}

func (a *analyser) key(v origins, name string) (out origins) {
	for _, o := range v {
		switch {
		case o != "":
			if o.isRoot() {
				a.field(string(o), name)
			}
			if a.quiet == 0 {
				a.path(o.below(name))
				out = join(out, origins{o.below(name)})
			}
		case slices.Contains(a.roots, name):
			out = join(out, origins{origin(name)})
		default:
			a.unknown(name)
		}
	}
	return out
}

// item gives what the items of lists are.
func (a *analyser) item(v origins) (out origins) {
	for _, o := range v {
		if o != "" && a.quiet == 0 {
			out = append(out, o.below(Item))
		}
	}
	return out
}

// quietly follows q where what it takes may be missing.
func (a *analyser) quietly(q *gojq.Query, in origins, env *binding) origins {
	a.quiet++
	defer func() { a.quiet-- }()
	return a.query(q, in, env)
}

func (a *analyser) query(q *gojq.Query, in origins, env *binding) origins {
	if q == nil {
		return nil
	}
	if a.fuel--; a.fuel < 0 {
		a.everything = true
		return nil
	}
	for _, def := range q.FuncDefs {
		env = &binding{name: signature(def.Name, len(def.Args)), def: def, outer: env}
	}
	if q.Term != nil {
		return a.term(q.Term, in, env)
	}
	switch q.Op {
	case gojq.OpPipe:
		left := a.query(q.Left, in, env)
		if len(q.Patterns) == 0 {
			return a.query(q.Right, left, env)
		}
		return a.query(q.Right, in, a.patterns(q.Patterns, left, env))
	case gojq.OpAlt:
		return join(a.quietly(q.Left, in, env), a.query(q.Right, in, env))
	case gojq.OpComma:
		return join(a.query(q.Left, in, env), a.query(q.Right, in, env))
	case gojq.OpAssign, gojq.OpUpdateAdd, gojq.OpUpdateSub, gojq.OpUpdateMul, gojq.OpUpdateDiv, gojq.OpUpdateMod, gojq.OpUpdateAlt:
		a.use(in)
		a.use(join(a.quietly(q.Left, in, env), a.query(q.Right, in, env)))
	case gojq.OpModify:
		a.use(in)
		a.query(q.Right, a.quietly(q.Left, in, env), env)
	default:
		a.use(a.query(q.Left, in, env))
		a.use(a.query(q.Right, in, env))
	}
	return nil
}

func (a *analyser) patterns(patterns []*gojq.Pattern, v origins, env *binding) *binding {
	for _, p := range patterns {
		env = a.pattern(p, v, env)
	}
	return env
}

func (a *analyser) pattern(p *gojq.Pattern, v origins, env *binding) *binding {
	if p.Name != "" {
		return &binding{name: p.Name, value: v, outer: env}
	}
	if len(p.Array) > 0 {
		a.use(v)
	}
	for _, item := range p.Array {
		env = a.pattern(item, nil, env)
	}
	for _, entry := range p.Object {
		var inner origins
		switch {
		case strings.HasPrefix(entry.Key, "$"):
			inner = a.key(v, entry.Key[1:])
			env = &binding{name: entry.Key, value: inner, outer: env}
		case entry.Key != "":
			inner = a.key(v, entry.Key)
		case entry.KeyString != nil && entry.KeyString.Queries == nil:
			inner = a.key(v, entry.KeyString.Str)
		default:
			a.use(v)
		}
		if entry.Val != nil {
			env = a.pattern(entry.Val, inner, env)
		}
	}
	return env
}
