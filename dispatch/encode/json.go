package encode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds recursion: encoding/json reads no deeper nesting either.
const maxDepth = 10_000

var errDeep = errors.New("nested too deeply for JSON")

type jsonEncoder struct{}

func (jsonEncoder) Name() string        { return "json" }
func (jsonEncoder) ContentType() string { return "application/json" }

func (jsonEncoder) Encode(v any) ([]byte, error) {
	out, err := AppendJSON(nil, v)
	if err != nil {
		return nil, fmt.Errorf("encode json: %w", err)
	}
	return out, nil
}

// AppendJSON appends v as compact JSON with sorted keys. Unlike encoding/json it does
// not escape HTML, and a json.RawMessage inside v passes byte for byte, white space and
// digits included: a backend may have signed or hashed it.
func AppendJSON(dst []byte, v any) ([]byte, error) { return appendValue(dst, v, 0) }

// AppendString is AppendJSON of a string.
func AppendString(dst []byte, s string) ([]byte, error) { return appendString(dst, s) }

func appendValue(dst []byte, v any, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errDeep
	}
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case string:
		return appendString(dst, v)
	case json.Number:
		return appendNumber(dst, v)
	case int:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case float64:
		return appendFloat(dst, v)
	case *big.Int:
		return v.Append(dst, 10), nil
	case json.RawMessage:
		if !json.Valid(v) {
			return nil, errors.New("a raw message is not valid JSON")
		}
		return append(dst, v...), nil
	case *Gap:
		v.at, v.depth = len(dst), depth
		return dst, nil
	case []any:
		return appendList(dst, v, depth)
	case map[string]any:
		return appendObject(dst, v, depth)
	}
	return appendOther(dst, v)
}

func appendList(dst []byte, list []any, depth int) ([]byte, error) {
	if list == nil {
		return append(dst, "null"...), nil
	}
	dst = append(dst, '[')
	var err error
	start := len(dst)
	for i, item := range list {
		dst = reserve(dst, start, i, len(list))
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendValue(dst, item, depth+1); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), nil
}

func appendObject(dst []byte, object map[string]any, depth int) ([]byte, error) {
	if object == nil {
		return append(dst, "null"...), nil
	}
	var room [16]string // most objects are small: their keys are sorted on the stack
	keys := room[:0]
	for k := range object {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	dst = append(dst, '{')
	var err error
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendString(dst, k); err != nil {
			return nil, err
		}
		dst = append(dst, ':')
		if dst, err = appendValue(dst, object[k], depth+1); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// appendString copies what needs no escape, which is nearly everything, and leaves the
// rest to encoding/json.
func appendString(dst []byte, s string) ([]byte, error) {
	ascii := true
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < ' ' || c == '"' || c == '\\' {
			return appendOther(dst, s)
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	if !ascii && (!utf8.ValidString(s) || strings.Contains(s, "\u2028") || strings.Contains(s, "\u2029")) {
		return appendOther(dst, s)
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"'), nil
}

// appendNumber refuses what would not be a number in the output: a json.Number is a
// string that anybody may have filled.
func appendNumber(dst []byte, n json.Number) ([]byte, error) {
	ok := n != "" && (n[0] == '-' || isDigit(n[0])) && isDigit(n[len(n)-1]) && json.Valid([]byte(n))
	if !ok {
		return nil, fmt.Errorf("%.40q is not a number in JSON", string(n))
	}
	return append(dst, n...), nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func appendFloat(dst []byte, f float64) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("%v has no form in JSON", f)
	}
	// The switch to the exponent form is where ECMAScript and encoding/json put it.
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64), nil
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64), nil
}

func appendOther(dst []byte, v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return append(dst, bytes.TrimSuffix(buf.Bytes(), []byte{'\n'})...), nil
}

func isNumber(v any) bool {
	switch v.(type) {
	case json.Number, int, float64, *big.Int:
		return true
	}
	return false
}
