package body

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of one number. What is beyond no program keeps as it is (RFC 8259, section 6),
// and an exponent in the millions takes seconds to compute with exactly.
const (
	maxDigits   = 1000
	maxExponent = 1000
)

// string reads a string whose opening quote is at pos.
func (d *decoder) string() (string, *syntaxError) {
	start := d.pos + 1
	for i := start; i < len(d.text); i++ {
		switch c := d.text[i]; {
		case c == '"':
			d.pos = i + 1
			return d.text[start:i], nil
		case c == '\\':
			return d.escaped(start, i)
		case c < 0x20:
			d.pos = i
			return "", d.unexpected(`an escape such as \n`)
		}
	}
	d.pos = len(d.text)
	return "", d.fail("a string has no closing quote")
}

// escaped reads the rest of a string that has a backslash at i.
func (d *decoder) escaped(start, i int) (string, *syntaxError) {
	var out []byte
	for i < len(d.text) {
		c := d.text[i]
		switch {
		case c == '"':
			d.pos = i + 1
			return string(append(out, d.text[start:i]...)), nil
		case c < 0x20:
			d.pos = i
			return "", d.unexpected(`an escape such as \n`)
		case c != '\\':
			i++
			continue
		}
		out = append(out, d.text[start:i]...)
		r, size, problem := escape(d.text[i:])
		if problem != "" {
			d.pos = i
			return "", d.fail(problem)
		}
		out = utf8.AppendRune(out, r)
		i += size
		start = i
	}
	d.pos = len(d.text)
	return "", d.fail("a string has no closing quote")
}

// escape reads the escape at the start of s. Half a surrogate pair is refused: it is no
// character, and a backend would get another in its place.
func escape(s string) (r rune, size int, problem string) {
	if len(s) < 2 {
		return 0, 0, "a string has no closing quote"
	}
	if i := strings.IndexByte(`"\/bfnrt`, s[1]); i >= 0 {
		return rune("\"\\/\b\f\n\r\t"[i]), 2, ""
	}
	r, ok := hex4(s)
	if !ok {
		return 0, 0, "a string has an escape that JSON does not know"
	}
	if !utf16.IsSurrogate(r) {
		return r, 6, ""
	}
	if second, ok := hex4(s[6:]); ok {
		if pair := utf16.DecodeRune(r, second); pair != unicode.ReplacementChar {
			return pair, 12, ""
		}
	}
	return 0, 0, "a string has half of a surrogate pair"
}

// hex4 reads \uXXXX.
func hex4(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s[2:6]) {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

func (d *decoder) number() (any, *syntaxError) {
	start := d.pos
	d.take('-')
	switch digits := d.digits(); {
	case digits == 0:
		return nil, d.unexpected("a digit")
	case digits > 1 && d.text[d.pos-digits] == '0':
		d.pos -= digits
		return nil, d.fail("a number starts with a zero")
	}
	if d.take('.') && d.digits() == 0 {
		return nil, d.unexpected("a digit")
	}
	if d.take('e') || d.take('E') {
		if !d.take('+') {
			d.take('-')
		}
		digits := d.digits()
		if digits == 0 {
			return nil, d.unexpected("a digit")
		}
		exponent := strings.TrimLeft(d.text[d.pos-digits:d.pos], "0")
		if n, _ := strconv.Atoi(exponent); len(exponent) > 4 || n > maxExponent {
			return nil, &syntaxError{detail: fmt.Sprintf("a number has an exponent beyond %d", maxExponent), pointer: d.pointer()}
		}
	}
	if d.pos-start > maxDigits {
		return nil, &syntaxError{detail: fmt.Sprintf("a number has more than %d digits", maxDigits), pointer: d.pointer()}
	}
	return json.Number(d.text[start:d.pos]), nil
}

func (d *decoder) digits() int {
	start := d.pos
	for d.pos < len(d.text) && d.text[d.pos] >= '0' && d.text[d.pos] <= '9' {
		d.pos++
	}
	return d.pos - start
}
