package redisstore

import (
	"maps"
	"slices"
	"strings"

	"headgate/dispatch/encode"
	"headgate/dispatch/tracking"
)

// appendStrings writes an object of strings in the order of its names.
func appendStrings[V ~string](dst []byte, object map[string]V) (_ []byte, err error) {
	var room [16]string // most are small: their names are sorted on the stack
	names := slices.AppendSeq(room[:0], maps.Keys(object))
	slices.Sort(names)
	lead := byte('{')
	for _, name := range names {
		if dst, err = encode.AppendString(append(dst, lead), name); err != nil {
			return nil, err
		}
		if dst, err = encode.AppendString(append(dst, ':'), string(object[name])); err != nil {
			return nil, err
		}
		lead = ','
	}
	if lead == '{' {
		dst = append(dst, lead)
	}
	return append(dst, '}'), nil
}

// parseStrings reads what appendStrings writes as long as nothing in it is escaped.
func parseStrings(text string) (map[string]string, bool) {
	out := make(map[string]string, 1)
	for lead := `{"`; text != "}"; lead = `,"` {
		if !strings.HasPrefix(text, lead) {
			return nil, false
		}
		name, tail, ok := parsePlain(text[1:])
		if !ok || !strings.HasPrefix(tail, `:"`) {
			return nil, false
		}
		if out[name], text, ok = parsePlain(tail[1:]); !ok {
			return nil, false
		}
	}
	return out, len(out) > 0
}

// appendIdemRow writes the row of an idempotency key.
func appendIdemRow(dst []byte, row *tracking.IdemRow) (_ []byte, err error) {
	if dst, err = encode.AppendString(append(dst, `{"fp":`...), row.Fingerprint); err != nil {
		return nil, err
	}
	if dst, err = encode.AppendString(append(dst, `,"id":`...), row.ID); err != nil {
		return nil, err
	}
	if dst, err = appendStrings(append(dst, `,"first":`...), row.First); err != nil {
		return nil, err
	}
	return append(dst, '}'), nil
}

// parsePlain reads the string at the beginning of text if nothing in it is escaped.
func parsePlain(text string) (value, tail string, ok bool) {
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return text[1:i], text[i+1:], true
		case c == '\\' || c < ' ' || c > '~':
			return "", "", false
		}
	}
	return "", "", false
}
