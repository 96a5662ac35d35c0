package jq

import (
	"strings"

	"github.com/itchyny/gojq"
)

// direct evaluates a simple expression without the interpreter, whose start costs more
// than such an expression. It answers only where nothing can go wrong: with strings,
// booleans and null of ordinary size. Everything else, and so every error, is the
// interpreter's: ok is false then.
type direct func(input map[string]any) (v any, ok bool)

// maxDirect bounds the strings, far below what the interpreter's budget would refuse.
const maxDirect = 64 << 10

// directly gives nil for what is not simple: anything but plain paths, literals, + of
// strings, comparisons for equality, //, and, or, and the two functions for the case of
// letters.
func directly(q *gojq.Query) direct {
	if len(q.FuncDefs) > 0 || len(q.Patterns) > 0 || len(q.Imports) > 0 || q.Meta != nil {
		return nil
	}
	if q.Term != nil {
		return directTerm(q)
	}
	if q.Op == gojq.OpPipe {
		return directCase(q)
	}
	combine := directOperators[q.Op]
	if combine == nil {
		return nil
	}
	left, right := directly(q.Left), directly(q.Right)
	if left == nil || right == nil {
		return nil
	}
	return combine(left, right)
}

func directTerm(q *gojq.Query) direct {
	if path, ok := plainPath(q); ok {
		return func(input map[string]any) (any, bool) {
			v, err := walkPath(path, input)
			return v, err == nil && isSimple(v)
		}
	}
	if len(q.Term.SuffixList) > 0 {
		return nil
	}
	switch q.Term.Type {
	case gojq.TermTypeQuery:
		return directly(q.Term.Query)
	case gojq.TermTypeTrue:
		return constant(true)
	case gojq.TermTypeFalse:
		return constant(false)
	case gojq.TermTypeNull:
		return constant(nil)
	case gojq.TermTypeString:
		if text, ok := literalString(q); ok && isSimple(text) {
			return constant(text)
		}
	default:
	}
	return nil
}

func constant(v any) direct { return func(map[string]any) (any, bool) { return v, true } }

func isSimple(v any) bool {
	switch v := v.(type) {
	case nil, bool:
		return true
	case string:
		return len(v) <= maxDirect
	}
	return false
}

// directOperators make one expression of two.
var directOperators = map[gojq.Operator]func(left, right direct) direct{
	gojq.OpAdd: directBoth(directSum),
	gojq.OpEq:  directBoth(func(l, r any) (any, bool) { return l == r, true }),
	gojq.OpNe:  directBoth(func(l, r any) (any, bool) { return l != r, true }),
	gojq.OpAlt: directEither(func(l any) (v any, done bool) { return l, truth(l) }, func(r any) any { return r }),
	gojq.OpAnd: directEither(func(l any) (v any, done bool) { return false, !truth(l) }, func(r any) any { return truth(r) }),
	gojq.OpOr:  directEither(func(l any) (v any, done bool) { return true, truth(l) }, func(r any) any { return truth(r) }),
}

// truth is what jq takes for true.
func truth(v any) bool { return v != nil && v != false }

func directBoth(compute func(l, r any) (any, bool)) func(left, right direct) direct {
	return func(left, right direct) direct {
		return func(input map[string]any) (any, bool) {
			l, ok := left(input)
			if !ok {
				return nil, false
			}
			r, ok := right(input)
			if !ok {
				return nil, false
			}
			return compute(l, r)
		}
	}
}

// directEither asks the right side only when the left has not decided.
func directEither(decide func(l any) (v any, done bool), otherwise func(r any) any) func(left, right direct) direct {
	return func(left, right direct) direct {
		return func(input map[string]any) (any, bool) {
			l, ok := left(input)
			if !ok {
				return nil, false
			}
			if v, done := decide(l); done {
				return v, true
			}
			r, ok := right(input)
			return otherwise(r), ok
		}
	}
}

// directSum adds strings; null adds nothing to whatever it is added to.
func directSum(l, r any) (any, bool) {
	switch {
	case l == nil:
		return r, true
	case r == nil:
		return l, true
	}
	x, xok := l.(string)
	y, yok := r.(string)
	if !xok || !yok || len(x)+len(y) > maxDirect {
		return nil, false
	}
	return x + y, true
}

// directCase is a pipe into one of the functions for the case of letters.
func directCase(q *gojq.Query) direct {
	t := q.Right.Term
	if t == nil || t.Type != gojq.TermTypeFunc || len(t.Func.Args) > 0 || len(t.SuffixList) > 0 || len(q.Right.FuncDefs) > 0 {
		return nil
	}
	change := directCases[t.Func.Name]
	from := directly(q.Left)
	if change == nil || from == nil {
		return nil
	}
	return func(input map[string]any) (any, bool) {
		v, ok := from(input)
		s, isString := v.(string)
		if !ok || !isString {
			return nil, false
		}
		return strings.Map(change, s), true
	}
}

var directCases = map[string]func(r rune) rune{
	"ascii_downcase": func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	},
	"ascii_upcase": func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	},
}
