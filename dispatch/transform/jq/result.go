package jq

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strconv"
)

var errNoNumber = errors.New("gives something that is not a number in JSON: infinite, or not a number at all")

// clean makes JSON-like data of a result: the interpreter's own numbers become
// json.Number. A list or object is copied only when something in it changes, since it may
// be part of the scope. It also bounds the result.
func (b *budget) clean(v any, depth int) (out any, changed bool, err error) {
	if depth > maxNesting {
		return nil, false, errNesting
	}
	size := bytesPerNode
	switch v := v.(type) {
	case string:
		size += len(v)
	case json.Number:
		size += len(v)
	}
	if b.out -= size; b.out < 0 {
		if b.extend(); b.out < 0 {
			return nil, false, errOutput
		}
	}
	switch v := v.(type) {
	case int:
		return json.Number(strconv.Itoa(v)), true, nil
	case *big.Int:
		if err := b.digits(v); err != nil {
			return nil, false, err
		}
		return json.Number(v.String()), true, nil
	case float64:
		n, err := Number(v)
		return n, true, err
	case []any:
		return b.cleanList(v, depth)
	case map[string]any:
		return b.cleanObject(v, depth)
	}
	return v, false, nil
}

func (b *budget) cleanList(list []any, depth int) (any, bool, error) {
	var copied []any
	for i, x := range list {
		c, changed, err := b.clean(x, depth+1)
		if err != nil {
			return nil, false, err
		}
		if changed && copied == nil {
			copied = append(make([]any, 0, len(list)), list...)
		}
		if changed {
			copied[i] = c
		}
	}
	if copied != nil {
		return copied, true, nil
	}
	return list, false, nil
}

func (b *budget) cleanObject(object map[string]any, depth int) (any, bool, error) {
	var copied map[string]any
	for k, x := range object {
		b.out -= len(k)
		c, changed, err := b.clean(x, depth+1)
		if err != nil {
			return nil, false, err
		}
		if changed && copied == nil {
			copied = make(map[string]any, len(object))
			for k, x := range object {
				copied[k] = x
			}
		}
		if changed {
			copied[k] = c
		}
	}
	if copied != nil {
		return copied, true, nil
	}
	return object, false, nil
}

// Number writes a float as JavaScript does, so that 3.0 is 3 and 1e21 stays short.
func Number(f float64) (json.Number, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return "", errNoNumber
	}
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return json.Number(strconv.FormatFloat(f, 'e', -1, 64)), nil
	}
	return json.Number(strconv.FormatFloat(f, 'f', -1, 64)), nil
}
