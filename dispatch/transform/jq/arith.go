package jq

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/itchyny/gojq"
)

// The arithmetic operators are the gateway's own: the interpreter's would make a string
// of a gigabyte in one instruction ("x" * 1e9), or double one as often as it is asked.

var errZero = errors.New("cannot divide by zero")

// numeric reads a number into one of the interpreter's forms: int, *big.Int, float64.
func (b *budget) numeric(v any) (out any, ok bool, err error) {
	switch n := v.(type) {
	case int, float64:
		return n, true, nil
	case *big.Int:
		return n, true, b.digits(n)
	case json.Number:
		if err := b.digits(n); err != nil {
			return nil, true, err
		}
		if i, err := strconv.Atoi(string(n)); err == nil {
			return i, true, nil
		}
		if big, ok := new(big.Int).SetString(string(n), 10); ok {
			return big, true, nil
		}
		f, _ := strconv.ParseFloat(string(n), 64) // out of range: infinite, as in jq
		return f, true, nil
	}
	return nil, false, nil
}

// numbers reads two operands and brings them to one form. Both results are nil when one
// of them is no number.
func (b *budget) numbers(l, r any) (x, y any, err error) {
	x, lok, err := b.numeric(l)
	if err != nil {
		return nil, nil, err
	}
	y, rok, err := b.numeric(r)
	if err != nil || !lok || !rok {
		return nil, nil, err
	}
	_, xf := x.(float64)
	_, yf := y.(float64)
	if xf || yf {
		return toFloat(x), toFloat(y), nil
	}
	_, xb := x.(*big.Int)
	_, yb := y.(*big.Int)
	if xb || yb {
		return toBig(x), toBig(y), nil
	}
	return x, y, nil
}

func toFloat(v any) float64 { f, _ := gojq.ToFloat64(v); return f }

func toBig(v any) *big.Int {
	if i, ok := v.(int); ok {
		return big.NewInt(int64(i))
	}
	return v.(*big.Int)
}

// whole gives an int where the number fits into one.
func whole(n *big.Int) any {
	if n.IsInt64() {
		return int(n.Int64())
	}
	return n
}

func mismatch(verb string, l, r any) error {
	return fmt.Errorf("cannot %s %s and %s", verb, Describe(l), Describe(r))
}

func (b *budget) plus(l, r any) any {
	if l == nil {
		return r
	}
	if r == nil {
		return l
	}
	switch x := l.(type) {
	case string:
		if y, ok := r.(string); ok {
			if err := b.charge((len(x) + len(y)) / bytesPerUnit); err != nil {
				return err
			}
			return x + y
		}
	case []any:
		if y, ok := r.([]any); ok {
			if err := b.charge(len(x) + len(y)); err != nil {
				return err
			}
			return append(append(make([]any, 0, len(x)+len(y)), x...), y...)
		}
	case map[string]any:
		if y, ok := r.(map[string]any); ok {
			if err := b.charge(3 * (len(x) + len(y))); err != nil {
				return err
			}
			out := make(map[string]any, len(x)+len(y))
			maps.Copy(out, x)
			maps.Copy(out, y)
			return out
		}
	}
	return b.compute("add", l, r,
		func(x, y int) any {
			if sum := x + y; (sum >= x) == (y >= 0) {
				return sum
			}
			return whole(new(big.Int).Add(toBig(x), toBig(y)))
		},
		func(x, y *big.Int) any { return whole(new(big.Int).Add(x, y)) },
		func(x, y float64) any { return x + y })
}

func (b *budget) minus(l, r any) any {
	x, xok := l.([]any)
	y, yok := r.([]any)
	if xok && yok {
		if err := b.pairs(x, y); err != nil {
			return err
		}
		return slices.DeleteFunc(slices.Clone(x), func(v any) bool {
			return slices.ContainsFunc(y, func(w any) bool { return gojq.Compare(v, w) == 0 })
		})
	}
	return b.compute("subtract", l, r,
		func(x, y int) any {
			if rest := x - y; (rest <= x) == (y >= 0) {
				return rest
			}
			return whole(new(big.Int).Sub(toBig(x), toBig(y)))
		},
		func(x, y *big.Int) any { return whole(new(big.Int).Sub(x, y)) },
		func(x, y float64) any { return x - y })
}

func (b *budget) times(l, r any) any {
	if s, ok := l.(string); ok {
		return b.repeat(s, l, r)
	}
	if s, ok := r.(string); ok {
		return b.repeat(s, r, l)
	}
	x, xok := l.(map[string]any)
	y, yok := r.(map[string]any)
	if xok && yok {
		if err := b.weighBoth(x, y); err != nil {
			return err
		}
		return merge(x, y)
	}
	return b.compute("multiply", l, r,
		func(x, y int) any { return whole(new(big.Int).Mul(toBig(x), toBig(y))) },
		func(x, y *big.Int) any { return whole(new(big.Int).Mul(x, y)) },
		func(x, y float64) any { return x * y })
}

// repeat follows jq 1.7: a count below zero gives null, fractions are cut off.
func (b *budget) repeat(s string, l, r any) any {
	n, ok, err := b.numeric(r)
	if err != nil {
		return err
	}
	if !ok {
		return mismatch("multiply", l, r)
	}
	f := toFloat(n)
	if math.IsNaN(f) || f < 0 {
		return nil
	}
	count := int(min(f, math.MaxInt32))
	if err := b.charge(area(len(s), count) / bytesPerUnit); err != nil {
		return err
	}
	return strings.Repeat(s, count)
}

func merge(x, y map[string]any) map[string]any {
	out := maps.Clone(x)
	if out == nil {
		out = make(map[string]any, len(y))
	}
	for k, v := range y {
		inner, both := out[k].(map[string]any)
		if other, ok := v.(map[string]any); ok && both {
			v = merge(inner, other)
		}
		out[k] = v
	}
	return out
}

func (b *budget) divide(l, r any) any {
	s, sok := l.(string)
	sep, sepok := r.(string)
	if sok && sepok {
		if err := b.charge(1 + len(s)); err != nil {
			return err
		}
		return splitString(s, sep)
	}
	return b.compute("divide", l, r,
		func(x, y int) any {
			switch {
			case y == 0:
				return errZero
			case y == -1: // the smallest int has no counterpart
				return whole(new(big.Int).Neg(toBig(x)))
			case x%y == 0:
				return x / y
			}
			return float64(x) / float64(y)
		},
		func(x, y *big.Int) any {
			if y.Sign() == 0 {
				return errZero
			}
			quotient, rest := new(big.Int).QuoRem(x, y, new(big.Int))
			if rest.Sign() == 0 {
				return whole(quotient)
			}
			return toFloat(x) / toFloat(y)
		},
		func(x, y float64) any {
			if y == 0 {
				return errZero
			}
			return x / y
		})
}

func (b *budget) modulo(l, r any) any {
	ints := func(x, y int) any {
		switch y {
		case 0:
			return errZero
		case -1: // MinInt % -1 overflows
			return 0
		}
		return x % y
	}
	return b.compute("take the remainder of", l, r, ints,
		func(x, y *big.Int) any {
			if y.Sign() == 0 {
				return errZero
			}
			return whole(new(big.Int).Rem(x, y))
		},
		func(x, y float64) any {
			if math.IsNaN(x) || math.IsNaN(y) {
				return math.NaN()
			}
			xi, _ := gojq.ToInt(x)
			yi, _ := gojq.ToInt(y)
			return ints(xi, yi)
		})
}

func (b *budget) compute(verb string, l, r any, ints func(x, y int) any, bigs func(x, y *big.Int) any, floats func(x, y float64) any) any {
	x, y, err := b.numbers(l, r)
	if err != nil {
		return err
	}
	switch x := x.(type) {
	case int:
		return ints(x, y.(int))
	case *big.Int:
		return bigs(x, y.(*big.Int))
	case float64:
		return floats(x, y.(float64))
	}
	return mismatch(verb, l, r)
}

func splitString(s, sep string) []any {
	if s == "" {
		return []any{}
	}
	parts := strings.Split(s, sep)
	out := make([]any, len(parts))
	for i, p := range parts {
		out[i] = p
	}
	return out
}
