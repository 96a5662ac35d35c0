package encode

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// XML writes a value as elements: an object's keys, in alphabetical order, are elements,
// a list repeats the element of its key, null is an empty element. There are no
// attributes and no namespaces.
type XML struct {
	Root string // name of the outermost element
	Item string // name for items of a list that has no key; empty: item
}

// Name implements Encoder.
func (XML) Name() string { return "xml" }

// ContentType implements Encoder.
func (XML) ContentType() string { return "application/xml" }

// Encode takes any value. Keys that are no names in XML, and characters that it cannot
// hold, are a DataError.
func (x XML) Encode(v any) ([]byte, error) {
	if x.Item == "" {
		x.Item = "item"
	}
	dst := []byte("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
	v, err := decodeRaw(v)
	if err == nil {
		// The list of the root has no key to repeat: there is one root.
		if list, ok := v.([]any); ok {
			v = map[string]any{x.Item: list}
		}
		dst, err = x.element(dst, x.Root, v, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("encode xml: %w", err)
	}
	return dst, nil
}

// element writes one value, or each item of a list, as an element called name.
func (x XML) element(dst []byte, name string, v any, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errDeep
	}
	if !ValidXMLName(name) {
		return nil, unwritable("%.60q is no name for an element", name)
	}
	v, err := decodeRaw(v)
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		return x.single(dst, name, v, depth)
	}
	start := len(dst)
	for i, item := range list {
		dst = reserve(dst, start, i, len(list))
		if item, err = decodeRaw(item); err != nil {
			return nil, err
		}
		if inner, ok := item.([]any); ok { // a list within a list keeps an element of its own
			item = map[string]any{x.Item: inner}
		}
		if dst, err = x.single(dst, name, item, depth+1); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// single writes what is no list.
func (x XML) single(dst []byte, name string, v any, depth int) ([]byte, error) {
	if v == nil {
		return append(append(append(dst, '<'), name...), '/', '>'), nil
	}
	dst = append(append(append(dst, '<'), name...), '>')
	var err error
	switch v := v.(type) {
	case string:
		dst, err = appendXMLText(dst, v)
	case map[string]any:
		var room [16]string // as for JSON, most objects are small
		keys := room[:0]
		for key := range v {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			if dst, err = x.element(dst, key, v[key], depth+1); err != nil {
				return nil, err
			}
		}
	case bool:
		dst, err = AppendJSON(dst, v)
	default:
		if !isNumber(v) {
			return nil, fmt.Errorf("element %.60q cannot hold %s", name, describe(v))
		}
		dst, err = AppendJSON(dst, v)
	}
	if err != nil {
		return nil, err
	}
	return append(append(append(dst, '<', '/'), name...), '>'), nil
}

// appendXMLText escapes what a parser would take for markup, and CR, which it would
// change into LF.
func appendXMLText(dst []byte, text string) ([]byte, error) {
	for i, r := range text {
		switch {
		case r == '&':
			dst = append(dst, "&amp;"...)
		case r == '<':
			dst = append(dst, "&lt;"...)
		case r == '>':
			dst = append(dst, "&gt;"...)
		case r == '\r':
			dst = append(dst, "&#13;"...)
		case r < ' ' && r != '\t' && r != '\n', r == 0xFFFE, r == 0xFFFF:
			return nil, unwritable("a text holds the character %U, which XML cannot", r)
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD"):
			return nil, unwritable("a text is not valid UTF-8")
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst, nil
}

// nameStart are the letters that a name may begin with: NameStartChar of XML 1.0, fifth
// edition, section 2.3, without the colon, since prefixes would have to be declared.
var nameStart = [][2]rune{
	{'A', 'Z'}, {'_', '_'}, {'a', 'z'}, {0xC0, 0xD6}, {0xD8, 0xF6}, {0xF8, 0x2FF}, {0x370, 0x37D}, {0x37F, 0x1FFF},
	{0x200C, 0x200D}, {0x2070, 0x218F}, {0x2C00, 0x2FEF}, {0x3001, 0xD7FF}, {0xF900, 0xFDCF}, {0xFDF0, 0xFFFC}, {0x10000, 0xEFFFF},
}

// nameMore are the characters that it may have besides: the rest of NameChar.
var nameMore = [][2]rune{{'-', '.'}, {'0', '9'}, {0xB7, 0xB7}, {0x300, 0x36F}, {0x203F, 0x2040}}

// ValidXMLName reports whether name can be an element's. U+FFFD, which stands for broken
// text, cannot.
func ValidXMLName(name string) bool {
	for i, r := range name {
		if !within(r, nameStart) && (i == 0 || !within(r, nameMore)) {
			return false
		}
	}
	return name != ""
}

func within(r rune, ranges [][2]rune) bool {
	return slices.ContainsFunc(ranges, func(part [2]rune) bool { return part[0] <= r && r <= part[1] })
}
