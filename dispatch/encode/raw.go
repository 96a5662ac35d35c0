package encode

import "fmt"

// rawEncoder sends a string as it is, to the byte: XML, CSV, a signed document.
type rawEncoder struct{}

func (rawEncoder) Name() string        { return "raw" }
func (rawEncoder) ContentType() string { return "text/plain; charset=utf-8" }

// Encode takes a string, or bytes.
func (rawEncoder) Encode(v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return []byte(v), nil
	case []byte:
		return append([]byte(nil), v...), nil
	}
	return nil, fmt.Errorf("encode raw: expected a string, got %s", describe(v))
}
