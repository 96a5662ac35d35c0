package jq

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/itchyny/gojq"

	"headgate/config/yamlsrc"
)

// rewriter makes a query pure and bounded: it refuses what is not, and puts guards in
// front of what is only bounded for reasonable sizes.
type rewriter struct {
	fault   func(hint, format string, args ...any)
	library map[string]bool // what the query needs of the library
}

// scope is what the query itself defines, innermost first. Its own functions shadow jq's.
type scope struct {
	name  string // name/arity
	outer *scope
}

func (s *scope) has(name string) bool {
	for ; s != nil; s = s.outer {
		if s.name == name {
			return true
		}
	}
	return false
}

// secure gives the query to run in place of q, which it changes. When fault was called
// the result is of no use.
func secure(q *gojq.Query, fault func(hint, format string, args ...any)) *gojq.Query {
	w := &rewriter{fault: fault, library: map[string]bool{}}
	w.query(q, nil)
	var defs []*gojq.FuncDef
	for _, def := range library() {
		if w.library[signature(def.Name, len(def.Args))] {
			defs = append(defs, def)
		}
	}
	if len(defs) == 0 {
		return q
	}
	out := paren(q)
	out.FuncDefs = defs
	return out
}

func paren(q *gojq.Query) *gojq.Query {
	return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeQuery, Query: q}}
}

func pipe(l, r *gojq.Query) *gojq.Query { return &gojq.Query{Left: l, Op: gojq.OpPipe, Right: r} }

func call(name string, args ...*gojq.Query) *gojq.Query {
	return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeFunc, Func: &gojq.Func{Name: name, Args: args}}}
}

// operators are replaced by functions of the gateway.
var operators = map[gojq.Operator]string{
	gojq.OpAdd: "plus", gojq.OpSub: "minus", gojq.OpMul: "times", gojq.OpDiv: "divide", gojq.OpMod: "modulo",
	gojq.OpEq: "eq", gojq.OpNe: "ne", gojq.OpLt: "lt", gojq.OpLe: "le", gojq.OpGt: "gt", gojq.OpGe: "ge",
	gojq.OpUpdateAdd: "plus", gojq.OpUpdateSub: "minus", gojq.OpUpdateMul: "times",
	gojq.OpUpdateDiv: "divide", gojq.OpUpdateMod: "modulo",
}

func (w *rewriter) query(q *gojq.Query, in *scope) {
	if q == nil {
		return
	}
	if q.Meta != nil || len(q.Imports) > 0 {
		w.fault("write everything into the expression", "modules cannot be used here")
		return
	}
	for _, def := range q.FuncDefs {
		in = &scope{signature(def.Name, len(def.Args)), in}
		w.definition(def, in)
	}
	if q.Term != nil {
		w.term(q.Term, in)
		return
	}
	w.query(q.Left, in)
	for _, p := range q.Patterns {
		w.pattern(p, in)
	}
	w.query(q.Right, in)
	w.operator(q)
}

func (w *rewriter) definition(def *gojq.FuncDef, in *scope) {
	if strings.HasPrefix(def.Name, "_") {
		w.fault("choose another name", "the name of a function must not begin with _: %s", Quote(def.Name))
	}
	for _, arg := range def.Args {
		w.variable(arg)
		in = &scope{signature(strings.TrimPrefix(arg, "$"), 0), in}
	}
	w.query(def.Body, in)
}

func (w *rewriter) operator(q *gojq.Query) {
	name, guarded := operators[q.Op]
	if guarded {
		name = prefix + name
	}
	switch q.Op {
	case gojq.OpAssign:
		inner := &gojq.Query{Left: q.Left, Op: q.Op, Right: q.Right}
		become(q, pipe(paren(inner), call(prefix+"flat")))
	case gojq.OpModify:
		inner := &gojq.Query{Left: q.Left, Op: q.Op, Right: q.Right}
		become(q, pipe(call(prefix+"own"), paren(inner)))
	case gojq.OpUpdateAdd, gojq.OpUpdateSub, gojq.OpUpdateMul, gojq.OpUpdateDiv, gojq.OpUpdateMod:
		// l += r is r as $x | l |= . + $x
		const operand = "$__operand"
		compute := call(name, &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeIdentity}}, call(operand))
		update := &gojq.Query{Left: q.Left, Op: gojq.OpModify, Right: compute}
		bind := &gojq.Query{Left: paren(q.Right), Op: gojq.OpPipe, Patterns: []*gojq.Pattern{{Name: operand}}, Right: paren(update)}
		become(q, pipe(paren(bind), call(prefix+"flat")))
	default:
		if guarded {
			become(q, call(name, q.Left, q.Right))
		}
	}
}

// become puts by in the place of q, behind q's own definitions.
func become(q, by *gojq.Query) {
	q.Left, q.Right, q.Patterns, q.Op = nil, nil, nil, 0
	q.Term = paren(by).Term
	if by.Term != nil {
		q.Term = by.Term
	}
}

func (w *rewriter) term(t *gojq.Term, in *scope) {
	if t == nil {
		return
	}
	for _, s := range t.SuffixList {
		if s.Index != nil {
			w.index(s.Index, in)
		}
	}
	switch t.Type {
	case gojq.TermTypeIndex:
		w.index(t.Index, in)
	case gojq.TermTypeFunc:
		w.function(t, in)
	case gojq.TermTypeObject:
		w.object(t.Object, in)
	case gojq.TermTypeArray:
		w.query(t.Array.Query, in)
	case gojq.TermTypeUnary:
		w.term(t.Unary.Term, in)
	case gojq.TermTypeFormat:
		w.format(t, in)
	case gojq.TermTypeString:
		w.text(t.Str, in)
	case gojq.TermTypeIf:
		w.query(t.If.Cond, in)
		w.query(t.If.Then, in)
		for _, e := range t.If.Elif {
			w.query(e.Cond, in)
			w.query(e.Then, in)
		}
		w.query(t.If.Else, in)
	case gojq.TermTypeTry:
		w.query(t.Try.Body, in)
		w.query(t.Try.Catch, in)
	case gojq.TermTypeReduce:
		w.loop(t.Reduce.Patterns, in, t.Reduce.Query, t.Reduce.Start, t.Reduce.Update)
	case gojq.TermTypeForeach:
		w.loop(t.Foreach.Patterns, in, t.Foreach.Query, t.Foreach.Start, t.Foreach.Update, t.Foreach.Extract)
	case gojq.TermTypeLabel:
		w.query(t.Label.Body, in)
	case gojq.TermTypeQuery:
		w.query(t.Query, in)
	default: // literals, ., .. and break hold nothing
	}
}

func (w *rewriter) loop(patterns []*gojq.Pattern, in *scope, queries ...*gojq.Query) {
	for _, p := range patterns {
		w.pattern(p, in)
	}
	for _, q := range queries {
		w.query(q, in)
	}
}

func (w *rewriter) pattern(p *gojq.Pattern, in *scope) {
	if p == nil {
		return
	}
	w.variable(p.Name)
	for _, item := range p.Array {
		w.pattern(item, in)
	}
	for _, entry := range p.Object {
		w.variable(entry.Key)
		w.text(entry.KeyString, in)
		w.query(entry.KeyQuery, in)
		w.pattern(entry.Val, in)
	}
}

// variable refuses the names that belong to the interpreter and to the rewriter.
func (w *rewriter) variable(name string) {
	if strings.HasPrefix(name, "$__") || strings.Contains(name, "::") {
		w.fault("choose another name", "%s cannot be used here", Quote(name))
	}
}

func (w *rewriter) object(o *gojq.Object, in *scope) {
	for _, kv := range o.KeyVals {
		w.variable(kv.Key)
		if hint, bad := refused[kv.Key]; bad && strings.HasPrefix(kv.Key, "$") {
			w.fault(hint, "%s cannot be used in an expression", kv.Key)
		}
		w.text(kv.KeyString, in)
		w.query(kv.KeyQuery, in)
		w.query(kv.Val, in)
	}
}

// text guards what a string has in \(…): it may be large, and be there many times.
func (w *rewriter) text(s *gojq.String, in *scope) {
	if s == nil {
		return
	}
	for _, part := range s.Queries {
		w.query(part, in)
		if part.Term != nil && part.Term.Type == gojq.TermTypeQuery {
			part.Term.Query = pipe(paren(part.Term.Query), call(prefix+"deep"))
		}
	}
}

func (w *rewriter) format(t *gojq.Term, in *scope) {
	if name := strings.TrimPrefix(t.Format, "@"); !slices.Contains(formats, name) {
		w.fault(yamlsrc.UnknownHint(name, formats), "unknown format @%s", Shorten(name))
		return
	}
	if t.Str != nil {
		w.text(t.Str, in)
		return
	}
	plain := &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeFormat, Format: t.Format}}
	replace(t, pipe(call(prefix+"deep"), plain))
}

// replace puts q in the place of a term, before the term's suffixes.
func replace(t *gojq.Term, q *gojq.Query) {
	*t = gojq.Term{Type: gojq.TermTypeQuery, Query: q, SuffixList: t.SuffixList}
}

func (w *rewriter) index(x *gojq.Index, in *scope) {
	w.text(x.Str, in)
	w.query(x.Start, in)
	w.query(x.End, in)
	if x.IsSlice || x.Start == nil {
		return
	}
	if text, ok := literalNumber(x.Start); ok {
		if f, err := strconv.ParseFloat(text, 64); err != nil || f > maxIndex {
			w.fault(fmt.Sprintf("use an index up to %d", maxIndex), "the index %s is too large", Shorten(text))
		}
		return
	}
	if _, ok := literalString(x.Start); !ok {
		x.Start = pipe(paren(x.Start), call(prefix+"place"))
	}
}
