package jq

import (
	"encoding/json"
	"math/big"

	"github.com/itchyny/gojq"
)

// prefix begins the names of functions that only rewritten queries call.
const prefix = "_hg_"

// guards are the functions that a rewritten query calls, bound to the machine's budget.
// A guard that checks gives its input back, so that it can stand in any pipe and in paths.
func (m *machine) guards() []gojq.CompilerOption {
	b := &m.budget
	return []gojq.CompilerOption{
		check("deep", func(v any) error { return b.weigh(v, 0) }),
		check("flat", b.flat),
		check("parts", b.parts),
		check("grid", b.grid),
		check("number", func(v any) error { return b.short(v) }),
		check("place", b.index),
		check("steps", b.steps),
		gojq.WithFunction(prefix+"own", 0, 0, func(v any, _ []any) any { return b.own(v) }),
		binary("plus", b.plus), binary("minus", b.minus), binary("times", b.times),
		binary("divide", b.divide), binary("modulo", b.modulo),
		b.comparison("eq", func(c int) bool { return c == 0 }),
		b.comparison("ne", func(c int) bool { return c != 0 }),
		b.comparison("lt", func(c int) bool { return c < 0 }),
		b.comparison("le", func(c int) bool { return c <= 0 }),
		b.comparison("gt", func(c int) bool { return c > 0 }),
		b.comparison("ge", func(c int) bool { return c >= 0 }),
		gojq.WithFunction(prefix+"searchable", 1, 1, func(v any, args []any) any { return same(v, b.searchable(v, args[0])) }),
		gojq.WithFunction(prefix+"joinable", 1, 1, func(v any, args []any) any { return same(v, b.joinable(v, args[0])) }),
		gojq.WithFunction(prefix+"matches", 3, 3, func(v any, args []any) any { return m.matches(v, args[0], args[1], args[2] == true) }),
		gojq.WithFunction(prefix+"test", 2, 2, func(v any, args []any) any { return m.test(v, args[0], args[1]) }),
		gojq.WithFunction(prefix+"pieces", 2, 2, func(v any, args []any) any { return m.pieces(v, args[0], args[1]) }),
		gojq.WithFunction(prefix+"replace", 4, 4, func(v any, args []any) any { return m.replace(v, args[0], args[1].(string), args[2], args[3] == true) }),
		gojq.WithFunction(prefix+"cut", 2, 2, func(v any, args []any) any { return m.cut(v, args[0], args[1]) }),
	}
}

func check(name string, f func(v any) error) gojq.CompilerOption {
	return gojq.WithFunction(prefix+name, 0, 0, func(v any, _ []any) any { return same(v, f(v)) })
}

func binary(name string, f func(l, r any) any) gojq.CompilerOption {
	return gojq.WithFunction(prefix+name, 2, 2, func(_ any, args []any) any { return f(args[0], args[1]) })
}

func same(v any, err error) any {
	if err != nil {
		return err
	}
	return v
}

// comparison guards the order of values, which goes through all of both.
func (b *budget) comparison(name string, holds func(c int) bool) gojq.CompilerOption {
	return binary(name, func(l, r any) any {
		if err := b.comparable(l, r); err != nil {
			return err
		}
		return holds(gojq.Compare(l, r))
	})
}

func (b *budget) comparable(l, r any) error {
	if err := b.digits(l); err != nil {
		return err
	}
	if err := b.digits(r); err != nil {
		return err
	}
	if !isContainer(l) || !isContainer(r) {
		return nil // told apart by their types
	}
	return b.weighBoth(l, r)
}

func isContainer(v any) bool {
	switch v.(type) {
	case []any, map[string]any:
		return true
	}
	return false
}

// parts charges what `add` puts together: the same large string may be there many times.
func (b *budget) parts(v any) error {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			if err := b.part(x); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, x := range v {
			if err := b.part(x); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *budget) part(v any) error {
	if err := b.digits(v); err != nil {
		return err
	}
	if err := b.flat(v); err != nil {
		return err
	}
	return b.charge(1)
}

func (b *budget) joinable(v, sep any) error {
	if s, ok := sep.(string); ok {
		n := 0
		switch v := v.(type) {
		case []any:
			n = len(v)
		case map[string]any:
			n = len(v)
		}
		if err := b.charge(n * (1 + len(s)/bytesPerUnit)); err != nil {
			return err
		}
	}
	return b.parts(v)
}

// grid charges what transpose makes: as many rows as the longest has columns.
func (b *budget) grid(v any) error {
	rows, _ := v.([]any)
	longest := 0
	for _, row := range rows {
		if columns, ok := row.([]any); ok {
			longest = max(longest, len(columns))
		}
	}
	return b.charge(len(rows) * longest)
}

// searchable charges the search for one value in another, which compares each with each.
func (b *budget) searchable(v, x any) error {
	if err := b.weighBoth(v, x); err != nil {
		return err
	}
	return b.charge(area(length(v), length(x)))
}

// pairs charges the comparison of every item of one list with every item of another.
func (b *budget) pairs(x, y []any) error {
	before := b.spent
	if err := b.weighBoth(x, y); err != nil {
		return err
	}
	return b.charge(area(b.spent-before, min(len(x), len(y))))
}

// area multiplies without overflow; both sides are sizes of something in memory.
func area(x, y int) int { return min(x, 1<<30) * min(y, 1<<30) }

func length(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case []any:
		return len(v)
	case map[string]any:
		return len(v)
	}
	return 1
}

// short refuses numbers, and strings to be read as numbers, of too many digits.
func (b *budget) short(v any) error {
	if s, ok := v.(string); ok && len(s) > maxDigits {
		return errDigits
	}
	return b.digits(v)
}

// index bounds an index: an assignment far beyond the end of a list fills all between.
func (b *budget) index(v any) error {
	switch v.(type) {
	case int, float64, *big.Int, json.Number:
	default:
		return nil
	}
	if err := b.digits(v); err != nil {
		return err
	}
	i, _ := gojq.ToInt(v)
	if i > maxIndex {
		return errIndex
	}
	return b.charge(max(0, i-1_000) / 8) // small indexes are free: loops use them
}

// steps bounds the indexes of a path given as a list.
func (b *budget) steps(v any) error {
	path, _ := v.([]any)
	if len(path) > maxNesting {
		return errNesting
	}
	for _, s := range path {
		if err := b.index(s); err != nil {
			return err
		}
	}
	return nil
}

// own copies lists and objects. Deleting from a value writes into everything in it, at
// least in gojq 0.12, and what is in it may be the scope of other evaluations.
func (b *budget) own(v any) any {
	if err := b.weigh(v, 0); err != nil {
		return err
	}
	return clone(v)
}

func clone(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = clone(x)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = clone(x)
		}
		return out
	}
	return v
}
