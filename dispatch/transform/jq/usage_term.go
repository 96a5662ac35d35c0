package jq

import (
	"slices"
	"strings"

	"github.com/itchyny/gojq"
)

func (a *analyser) term(t *gojq.Term, in origins, env *binding) origins {
	if slices.ContainsFunc(t.SuffixList, func(s *gojq.Suffix) bool { return s.Optional }) {
		a.quiet++
		defer func() { a.quiet-- }()
	}
	v := a.base(t, in, env)
	for _, s := range t.SuffixList {
		switch {
		case s.Index != nil:
			v = a.index(s.Index, v, in, env)
		case s.Iter:
			a.use(v)
			v = a.item(v)
		}
	}
	return v
}

func (a *analyser) base(t *gojq.Term, in origins, env *binding) origins {
	switch t.Type {
	case gojq.TermTypeIdentity:
		return in
	case gojq.TermTypeIndex:
		return a.index(t.Index, in, in, env)
	case gojq.TermTypeRecurse:
		a.use(in)
	case gojq.TermTypeFunc:
		return a.call(t.Func, in, env)
	case gojq.TermTypeObject:
		a.object(t.Object, in, env)
	case gojq.TermTypeArray:
		a.use(a.query(t.Array.Query, in, env))
	case gojq.TermTypeUnary:
		a.use(a.term(t.Unary.Term, in, env))
	case gojq.TermTypeFormat:
		if t.Str == nil {
			a.use(in)
		}
		a.text(t.Str, in, env)
	case gojq.TermTypeString:
		a.text(t.Str, in, env)
	case gojq.TermTypeIf:
		return a.choice(t.If, in, env)
	case gojq.TermTypeTry:
		return join(a.quietly(t.Try.Body, in, env), a.query(t.Try.Catch, nil, env))
	case gojq.TermTypeReduce:
		r := t.Reduce
		state, _ := a.loop(r.Query, r.Patterns, r.Start, r.Update, in, env)
		return state
	case gojq.TermTypeForeach:
		f := t.Foreach
		state, inner := a.loop(f.Query, f.Patterns, f.Start, f.Update, in, env)
		if f.Extract != nil {
			return a.query(f.Extract, state, inner)
		}
		return state
	case gojq.TermTypeLabel:
		return a.query(t.Label.Body, in, env)
	case gojq.TermTypeQuery:
		return a.query(t.Query, in, env)
	default: // literals and break
	}
	return nil
}

// index takes what x names from v; expressions in the brackets see in.
func (a *analyser) index(x *gojq.Index, v, in origins, env *binding) origins {
	if name, ok := literalKey(x); ok {
		return a.key(v, name)
	}
	a.use(v)
	a.text(x.Str, in, env)
	a.use(a.query(x.Start, in, env))
	a.use(a.query(x.End, in, env))
	if _, ok := plainStep(x); ok { // a number
		return a.item(v)
	}
	return nil
}

func (a *analyser) text(s *gojq.String, in origins, env *binding) {
	if s == nil {
		return
	}
	for _, part := range s.Queries {
		a.use(a.query(part, in, env))
	}
}

func (a *analyser) object(o *gojq.Object, in origins, env *binding) {
	for _, kv := range o.KeyVals {
		a.text(kv.KeyString, in, env)
		a.use(a.query(kv.KeyQuery, in, env))
		switch {
		case kv.Val != nil:
			a.use(a.query(kv.Val, in, env))
		case strings.HasPrefix(kv.Key, "$"):
			if b := env.find(kv.Key); b != nil {
				a.use(b.value)
			}
		case kv.Key != "":
			a.use(a.key(in, kv.Key))
		case kv.KeyString != nil && kv.KeyString.Queries == nil:
			a.use(a.key(in, kv.KeyString.Str))
		default:
			a.use(in)
		}
	}
}

func (a *analyser) choice(c *gojq.If, in origins, env *binding) origins {
	a.use(a.query(c.Cond, in, env))
	out := a.query(c.Then, in, env)
	for _, e := range c.Elif {
		a.use(a.query(e.Cond, in, env))
		out = join(out, a.query(e.Then, in, env))
	}
	if c.Else == nil {
		return join(out, in)
	}
	return join(out, a.query(c.Else, in, env))
}

// loop follows the state twice round: what the update gives is what it sees next.
func (a *analyser) loop(source *gojq.Query, patterns []*gojq.Pattern, start, update *gojq.Query, in origins, env *binding) (origins, *binding) {
	inner := a.patterns(patterns, a.query(source, in, env), env)
	state := a.query(start, in, env)
	for range 2 {
		state = join(state, a.query(update, state, inner))
	}
	return state, inner
}

// Of the functions, the analysis knows which do not look at their input, and which call
// their arguments with something other than that input. Every other one is taken to look
// at all of its input, and to call its arguments with it.
var (
	blind = words(`empty/0 error/1 range/1 range/2 range/3 infinite/0 nan/0 any/2 all/2 isempty/1 first/1 last/1
		limit/2 skip/2 nth/2 select/1 path/1 pick/1 add/1 IN/2 INDEX/2 pow/2 atan2/2 fmin/2 fmax/2 fmod/2`)
	perItem = words(`map/1 map_values/1 with_entries/1 sort_by/1 group_by/1 unique_by/1 min_by/1 max_by/1 any/1 all/1
		recurse/1 recurse/2 walk/1 INDEX/1 paths/1`)
	// ofItems are those that call it with the items of a list.
	ofItems = words("map/1 sort_by/1 group_by/1 unique_by/1 min_by/1 max_by/1 any/1 all/1")
	// writers name by their arguments what need not be there.
	writers = words("del/1 path/1 pick/1 paths/1")
	// perOutput call their second argument with what the first gives, perMatch with the
	// groups of a match.
	perOutput = words("any/2 all/2 INDEX/2")
	perMatch  = words("sub/2 sub/3 gsub/2 gsub/3")
	// through give what their last argument gives.
	through = words("first/1 last/1 limit/2 skip/2 nth/2")
)

func words(list string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(list) {
		out[w] = true
	}
	return out
}

func (a *analyser) call(f *gojq.Func, in origins, env *binding) origins {
	name := signature(f.Name, len(f.Args))
	if strings.HasPrefix(f.Name, "$") {
		name = f.Name
	}
	if b := env.find(name); b != nil {
		return a.own(b, f, in, env)
	}
	if strings.HasPrefix(f.Name, "$") {
		return nil // unbound: found when the query is compiled
	}
	if !blind[name] {
		a.use(in)
	}
	if writers[name] {
		a.quiet++
		defer func() { a.quiet-- }()
	}
	var last origins
	for i, arg := range f.Args {
		sees := in
		switch {
		case ofItems[name]:
			sees = a.item(in)
		case perItem[name], i == 1 && perMatch[name]:
			sees = nil
		case i == 1 && perOutput[name]:
			sees = last
		}
		last = a.query(arg, sees, env)
		if !through[name] || i < len(f.Args)-1 {
			a.use(last)
		}
	}
	switch {
	case name == "select/1":
		return in
	case through[name]:
		return last
	}
	return nil
}

// own follows a variable, or a function that the expression defines itself.
func (a *analyser) own(b *binding, f *gojq.Func, in origins, env *binding) origins {
	switch {
	case b.closure != nil:
		return a.query(b.closure, in, b.within)
	case b.def == nil:
		return b.value
	}
	for _, def := range a.active {
		if def == b.def { // recursive: what it sees in the depth is not followed
			a.use(in)
			for _, arg := range f.Args {
				a.use(a.query(arg, in, env))
			}
			return nil
		}
	}
	a.active = append(a.active, b.def)
	defer func() { a.active = a.active[:len(a.active)-1] }()
	inner := b
	for i, param := range b.def.Args {
		if variable, ok := strings.CutPrefix(param, "$"); ok {
			v := a.query(f.Args[i], in, env)
			inner = &binding{name: param, value: v, outer: inner}
			inner = &binding{name: signature(variable, 0), value: v, outer: inner}
			continue
		}
		inner = &binding{name: signature(param, 0), closure: f.Args[i], within: env, outer: inner}
	}
	return a.query(b.def.Body, in, inner)
}
