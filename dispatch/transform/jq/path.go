package jq

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/itchyny/gojq"
)

// step is one part of a plain path: a key of an object or an index of a list.
type step struct {
	key   string
	index int
	isKey bool
}

// plainPath recognises .a.b, .a["b"] and .a[0]: most expressions are nothing else, and
// they need no interpreter. The digits of a number that a path hands on stay as they are.
func plainPath(q *gojq.Query) ([]step, bool) {
	if q.Term == nil || len(q.FuncDefs) > 0 || len(q.Imports) > 0 || q.Meta != nil {
		return nil, false
	}
	var out []step
	switch q.Term.Type {
	case gojq.TermTypeIdentity:
	case gojq.TermTypeIndex:
		s, ok := plainStep(q.Term.Index)
		if !ok {
			return nil, false
		}
		out = append(out, s)
	default:
		return nil, false
	}
	for _, suffix := range q.Term.SuffixList {
		if suffix.Index == nil {
			return nil, false
		}
		s, ok := plainStep(suffix.Index)
		if !ok {
			return nil, false
		}
		out = append(out, s)
	}
	return out, true
}

func plainStep(x *gojq.Index) (step, bool) {
	if key, ok := literalKey(x); ok {
		return step{key: key, isKey: true}, true
	}
	if x.IsSlice || x.Start == nil || x.Start.Term == nil {
		return step{}, false
	}
	text, ok := literalNumber(x.Start)
	if !ok {
		return step{}, false
	}
	i, err := strconv.Atoi(text)
	return step{index: i}, err == nil
}

// literalKey gives the name of .name, ."name" and ["name"].
func literalKey(x *gojq.Index) (string, bool) {
	switch {
	case x.Name != "":
		return x.Name, true
	case x.Str != nil:
		return x.Str.Str, x.Str.Queries == nil
	case !x.IsSlice && x.Start != nil:
		return literalString(x.Start)
	}
	return "", false
}

func literalString(q *gojq.Query) (string, bool) {
	if t := q.Term; t != nil && t.Type == gojq.TermTypeString && t.Str.Queries == nil && len(t.SuffixList) == 0 && len(q.FuncDefs) == 0 {
		return t.Str.Str, true
	}
	return "", false
}

func literalNumber(q *gojq.Query) (string, bool) {
	t, sign := q.Term, ""
	if t == nil || len(q.FuncDefs) > 0 || len(t.SuffixList) > 0 {
		return "", false
	}
	if t.Type == gojq.TermTypeUnary && t.Unary.Op == gojq.OpSub {
		t, sign = t.Unary.Term, "-"
	}
	return sign + t.Number, t.Type == gojq.TermTypeNumber && len(t.SuffixList) == 0
}

// walkPath follows a plain path as jq does: what is missing is null, and so is
// everything below null.
func walkPath(path []step, v any) (any, error) {
	for i := range path {
		s := &path[i]
		switch c := v.(type) {
		case nil:
			return nil, nil
		case map[string]any:
			if !s.isKey {
				return nil, s.mismatch(c)
			}
			v = c[s.key]
		case []any:
			if s.isKey {
				return nil, s.mismatch(c)
			}
			v = item(c, s.index)
		default:
			return nil, s.mismatch(c)
		}
	}
	if raw, ok := v.(json.RawMessage); ok && raw == nil {
		return nil, nil
	}
	return v, nil
}

func item(list []any, i int) any {
	if i < 0 {
		i += len(list)
	}
	if i < 0 || i >= len(list) {
		return nil
	}
	return list[i]
}

func (s *step) mismatch(v any) error {
	if s.isKey {
		return fmt.Errorf("expected an object with %q in it, got %s", Shorten(s.key), Describe(v))
	}
	return fmt.Errorf("expected a list to take item %d of, got %s", s.index, Describe(v))
}
