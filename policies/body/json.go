package body

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// syntaxError says what is wrong with a JSON text, and where. It repeats no more of
// the text than a character or the names that lead to the place.
type syntaxError struct {
	detail  string
	pointer string
}

func (e *syntaxError) Error() string { return e.detail }

// decoder reads one JSON text in one pass: syntax, depth, duplicate keys and values
// together. The values are what encoding/json gives with UseNumber; tests compare the
// two. It is written by hand because Decoder.Token takes five times as long, and a
// check before json.Unmarshal would read everything twice.
type decoder struct {
	// text is the input; strings without escapes are parts of it and are not copied.
	text       string
	pos        int
	maxDepth   int
	duplicates bool // allowed: the last one counts
	// path leads to where the decoder is, for the pointer of an error.
	path []element
}

type element struct {
	key   string
	index int // -1: key counts
}

// decode reads the only value of text.
func decode(text []byte, maxDepth int, allowDuplicates bool) (any, *syntaxError) {
	if !utf8.Valid(text) {
		return nil, &syntaxError{detail: fmt.Sprintf("the body is not valid UTF-8, at byte %d", invalidAt(text))}
	}
	d := &decoder{text: string(text), maxDepth: maxDepth, duplicates: allowDuplicates}
	d.space()
	v, err := d.value()
	if err != nil {
		return nil, err
	}
	if d.space(); d.pos < len(d.text) {
		return nil, d.fail("there is more after the end of the JSON value")
	}
	return v, nil
}

func (d *decoder) value() (any, *syntaxError) {
	if d.pos >= len(d.text) {
		return nil, d.fail("the JSON value is cut short")
	}
	switch c := d.text[d.pos]; {
	case c == '{':
		return d.object()
	case c == '[':
		return d.array()
	case c == '"':
		s, err := d.string()
		if err != nil {
			return nil, err
		}
		return s, nil
	case c == '-' || (c >= '0' && c <= '9'):
		return d.number()
	case c == 't':
		return true, d.word("true")
	case c == 'f':
		return false, d.word("false")
	case c == 'n':
		return nil, d.word("null")
	}
	return nil, d.unexpected("a value")
}

func (d *decoder) object() (any, *syntaxError) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	out := make(map[string]any)
	d.pos++
	d.space()
	if d.take('}') {
		d.leave()
		return out, nil
	}
	for {
		if d.pos >= len(d.text) || d.text[d.pos] != '"' {
			return nil, d.unexpected("the name of a field in quotes")
		}
		key, err := d.string()
		if err != nil {
			return nil, err
		}
		d.path[len(d.path)-1] = element{key: key, index: -1}
		d.space()
		if !d.take(':') {
			return nil, d.unexpected("a colon")
		}
		d.space()
		v, err := d.value()
		if err != nil {
			return nil, err
		}
		before := len(out)
		out[key] = v
		if len(out) == before && !d.duplicates {
			return nil, &syntaxError{detail: "the field is there twice", pointer: d.pointer()}
		}
		d.space()
		if d.take(',') {
			d.space()
			continue
		}
		if d.take('}') {
			d.leave()
			return out, nil
		}
		return nil, d.unexpected("a comma or }")
	}
}

func (d *decoder) array() (any, *syntaxError) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	out := []any{}
	d.pos++
	d.space()
	if d.take(']') {
		d.leave()
		return out, nil
	}
	for {
		d.path[len(d.path)-1] = element{index: len(out)}
		v, err := d.value()
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		d.space()
		if d.take(',') {
			d.space()
			continue
		}
		if d.take(']') {
			d.leave()
			return out, nil
		}
		return nil, d.unexpected("a comma or ]")
	}
}

func (d *decoder) enter() *syntaxError {
	if len(d.path) >= d.maxDepth {
		return &syntaxError{detail: fmt.Sprintf("nested more than %d levels deep", d.maxDepth), pointer: d.pointer()}
	}
	d.path = append(d.path, element{index: -2}) // nothing named yet
	return nil
}

func (d *decoder) leave() { d.path = d.path[:len(d.path)-1] }

func (d *decoder) word(w string) *syntaxError {
	if !strings.HasPrefix(d.text[d.pos:], w) {
		return d.unexpected("a value")
	}
	d.pos += len(w)
	return nil
}

func (d *decoder) space() {
	for d.pos < len(d.text) {
		switch d.text[d.pos] {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return
		}
	}
}

func (d *decoder) take(c byte) bool {
	if d.pos < len(d.text) && d.text[d.pos] == c {
		d.pos++
		return true
	}
	return false
}

func (d *decoder) unexpected(wanted string) *syntaxError {
	if d.pos >= len(d.text) {
		return d.fail("the JSON value is cut short")
	}
	r, _ := utf8.DecodeRuneInString(d.text[d.pos:])
	if r == '\uFEFF' {
		return d.fail("the body starts with a byte order mark")
	}
	return d.fail(fmt.Sprintf("%q stands where %s should be", r, wanted))
}

// fail adds line and column to what is wrong at pos.
func (d *decoder) fail(detail string) *syntaxError {
	before := d.text[:d.pos]
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	return &syntaxError{detail: fmt.Sprintf("%s (line %d, column %d)", detail, line, column), pointer: d.pointer()}
}

// pointer is the JSON pointer to where the decoder is.
func (d *decoder) pointer() string {
	var out strings.Builder
	for _, e := range d.path {
		switch e.index {
		case -2:
		case -1:
			out.WriteByte('/')
			out.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(e.key))
		default:
			out.WriteByte('/')
			out.WriteString(strconv.Itoa(e.index))
		}
	}
	return out.String()
}

// invalidAt finds the first byte that is not UTF-8; U+FFFD itself is.
func invalidAt(text []byte) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(text)
}
