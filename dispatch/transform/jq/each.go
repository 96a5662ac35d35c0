package jq

import (
	"errors"

	"github.com/itchyny/gojq"
)

// Each is what an expression makes of a list that it takes item by item: what it gives is
// that of the first item, then that of the second, and so on.
type Each struct{ code *program } // nil: each item as it is

// EachOf recognises the expressions whose value is the list at a root, or what is made of each
// of its items by itself: .root, .root | map(f) and [.root[] | f]. A list may so be mapped
// without being held. The budget of an evaluation is then one for each item.
func EachOf(source, root string) (*Each, bool) {
	parsed, err := Parse(source) // anew: compiling changes a query
	if err != nil {
		return nil, false
	}
	changes, ok := listOf(parsed.query, root)
	if !ok || len(changes) == 0 {
		return &Each{}, ok
	}
	item := changes[0]
	for _, change := range changes[1:] {
		item = pipe(paren(item), paren(change))
	}
	secured := secure(&gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeArray, Array: &gojq.Array{Query: item}}},
		func(string, string, ...any) { ok = false })
	if !ok {
		return nil, false
	}
	code, err := newProgram(secured)
	return &Each{code: code}, err == nil
}

// Eval gives what is made of one item: any number of items. It may share memory with it.
// The error is a message for the author of the expression.
func (e *Each) Eval(item any) ([]any, error) {
	if e.code == nil {
		return []any{item}, nil
	}
	out, err := e.code.eval(item)
	if err != nil {
		return nil, errors.New(message(err))
	}
	list, _ := out.([]any)
	return list, nil
}

// plain reports whether nothing stands around an expression that changes what it means.
func plain(q *gojq.Query) bool {
	return q != nil && len(q.FuncDefs) == 0 && len(q.Imports) == 0 && len(q.Patterns) == 0 && q.Meta == nil
}

// listOf gives the changes, one after the other, that q makes to each item of the list at root
// to give a list.
func listOf(q *gojq.Query, root string) (changes []*gojq.Query, ok bool) {
	switch {
	case !plain(q):
		return nil, false
	case q.Term == nil && q.Op == gojq.OpPipe:
		if changes, ok = listOf(q.Left, root); !ok {
			return nil, false
		}
		more, ok := mapped(q.Right)
		return append(changes, more...), ok
	case q.Term == nil:
		return nil, false
	case len(q.Term.SuffixList) > 0:
		return nil, false
	}
	switch q.Term.Type {
	case gojq.TermTypeIndex:
		name, isName := literalKey(q.Term.Index)
		return nil, isName && name == root
	case gojq.TermTypeQuery:
		return listOf(q.Term.Query, root)
	case gojq.TermTypeArray:
		return itemsOf(q.Term.Array.Query, func(t *gojq.Term) bool {
			if t.Type != gojq.TermTypeIndex {
				return false
			}
			name, isName := literalKey(t.Index)
			return isName && name == root
		})
	default:
	}
	return nil, false
}

// mapped is listOf for what follows such a list in a pipe: map(f), and [.[] | f].
func mapped(q *gojq.Query) (changes []*gojq.Query, ok bool) {
	switch {
	case !plain(q):
		return nil, false
	case q.Term == nil && q.Op == gojq.OpPipe:
		if changes, ok = mapped(q.Left); !ok {
			return nil, false
		}
		more, ok := mapped(q.Right)
		return append(changes, more...), ok
	case q.Term == nil || len(q.Term.SuffixList) > 0:
		return nil, false
	}
	switch t := q.Term; t.Type {
	case gojq.TermTypeQuery:
		return mapped(t.Query)
	case gojq.TermTypeFunc:
		if t.Func.Name == "map" && len(t.Func.Args) == 1 {
			return t.Func.Args, true
		}
	case gojq.TermTypeArray:
		return itemsOf(t.Array.Query, func(t *gojq.Term) bool { return t.Type == gojq.TermTypeIdentity })
	default:
	}
	return nil, false
}

// itemsOf gives the changes to each item that the inside of […] makes: list[], and
// list[] | f. list tells its term without the suffixes.
func itemsOf(q *gojq.Query, list func(*gojq.Term) bool) (changes []*gojq.Query, ok bool) {
	switch {
	case !plain(q):
		return nil, false
	case q.Term == nil && q.Op == gojq.OpPipe:
		if changes, ok = itemsOf(q.Left, list); !ok {
			return nil, false
		}
		return append(changes, q.Right), true
	case q.Term == nil || !list(q.Term):
		return nil, false
	}
	suffixes := q.Term.SuffixList
	if len(suffixes) == 0 || !suffixes[0].Iter {
		return nil, false
	}
	for _, s := range suffixes {
		if s.Optional { // an error at one item would end the whole list
			return nil, false
		}
	}
	if len(suffixes) == 1 {
		return nil, true
	}
	return []*gojq.Query{{Term: &gojq.Term{Type: gojq.TermTypeIdentity, SuffixList: suffixes[1:]}}}, true
}
