package encode

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
)

// formEncoder writes application/x-www-form-urlencoded as the URL standard has it
// (https://url.spec.whatwg.org/#urlencoded-serializing), keys in alphabetical order.
type formEncoder struct{}

func (formEncoder) Name() string        { return "form" }
func (formEncoder) ContentType() string { return "application/x-www-form-urlencoded" }

// Encode takes a flat object. A list repeats its key; null is an empty value, since a
// form has no other word for it.
func (formEncoder) Encode(v any) ([]byte, error) {
	v, err := decodeRaw(v)
	if err != nil {
		return nil, fmt.Errorf("encode form: %w", err)
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("encode form: expected an object, got %s", describe(v))
	}
	keys := make([]string, 0, len(object))
	for k := range object {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var out []byte
	for _, k := range keys {
		value, err := decodeRaw(object[k])
		if err != nil {
			return nil, fmt.Errorf("encode form: field %.60q: %w", k, err)
		}
		items, isList := value.([]any)
		if !isList {
			items = []any{value}
		}
		for _, item := range items {
			text, err := scalar(item)
			if err != nil {
				return nil, fmt.Errorf("encode form: field %.60q: %w", k, err)
			}
			if len(out) > 0 {
				out = append(out, '&')
			}
			out = append(out, url.QueryEscape(k)...)
			out = append(out, '=')
			out = append(out, url.QueryEscape(text)...)
		}
	}
	return out, nil
}

func scalar(v any) (string, error) {
	v, err := decodeRaw(v)
	if err != nil {
		return "", err
	}
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case bool:
		if v {
			return "true", nil
		}
		return "false", nil
	case json.Number:
		return string(v), nil
	}
	if isNumber(v) {
		out, err := AppendJSON(nil, v)
		return string(out), err
	}
	return "", fmt.Errorf("a form holds strings, numbers and booleans, not %s", describe(v))
}
