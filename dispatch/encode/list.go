package encode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// DataError says that a value is of the right kind, but holds something that the format
// cannot write: the data does not fit, and no other try will do.
type DataError struct{ Message string }

// Error implements error.
func (e *DataError) Error() string { return e.Message }

func unwritable(format string, args ...any) error {
	return &DataError{Message: fmt.Sprintf(format, args...)}
}

// listOf gives the items of a list.
func listOf(v any) ([]any, error) {
	v, err := decodeRaw(v)
	if err != nil {
		return nil, err
	}
	items, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("expected a list, got %s", describe(v))
	}
	return items, nil
}

// sample is how many items of a list tell how large the others will be.
const sample = 64

// reserve makes room for the rest of a list, of which done items of all have been
// written from start on. Growth by quarters, as append has it, would copy a large body
// a dozen times and hold twice as much meanwhile.
func reserve(dst []byte, start, done, all int) []byte {
	if done < sample {
		return dst
	}
	each := (len(dst) - start) / done
	if done > sample && cap(dst)-len(dst) > 2*each { // the estimate still holds
		return dst
	}
	rest := each * (all - done)
	if rest <= cap(dst)-len(dst) {
		return dst
	}
	return append(make([]byte, 0, len(dst)+rest+rest/8), dst...)
}

// decodeRaw reads a raw message with its digits kept; other values stay as they are.
func decodeRaw(v any) (any, error) {
	raw, ok := v.(json.RawMessage)
	if !ok {
		return v, nil
	}
	return Decode(raw)
}

// Decode reads one JSON value with the digits of its numbers kept.
func Decode(raw []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("something follows the JSON value")
	}
	return v, nil
}
