package target

import (
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	"headgate/dispatch/encode"
)

// Longest texts that are kept of an answer.
const (
	maxMessage  = 500
	maxReasons  = 1000 // of the reasons of a list of rejects, joined
	maxJobState = 200
	maxKept     = 64 << 10 // bytes of saved values, and of results, together
)

// clean makes text of a backend fit to be shown: without control characters, in one
// line, at most limit characters.
func clean(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), r == utf8.RuneError, unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, text)
	return clip(strings.TrimSpace(text), limit)
}

// clip cuts text to at most limit characters.
func clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	runes := []rune(text)
	if len(runes) <= limit {
		return text
	}
	return string(runes[:limit-1]) + "…"
}

// textOf gives the text of a scalar value; null, lists and objects have none.
func textOf(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case nil, []any, map[string]any:
		return "", false
	}
	out, err := encode.AppendJSON(nil, v) // true, or a number that an expression made
	return string(out), err == nil
}

// decodeJSON reads one JSON value, digits kept; nothing at all is null.
func decodeJSON(raw []byte) (any, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	return encode.Decode(raw)
}
