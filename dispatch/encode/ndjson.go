package encode

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// ndjsonEncoder writes a list as JSON documents, each on a line of its own that ends in
// a newline, the last one included (https://github.com/ndjson/ndjson-spec).
type ndjsonEncoder struct{}

func (ndjsonEncoder) Name() string        { return "ndjson" }
func (ndjsonEncoder) ContentType() string { return "application/x-ndjson" }

// Encode takes a list; an empty one gives an empty body.
func (ndjsonEncoder) Encode(v any) ([]byte, error) {
	items, err := listOf(v)
	if err != nil {
		return nil, fmt.Errorf("encode ndjson: %w", err)
	}
	dst := []byte{}
	for i, item := range items {
		dst = reserve(dst, 0, i, len(items))
		if dst, err = (ndjsonList{}).Item(dst, item); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// ndjsonList writes a list as lines.
type ndjsonList struct{}

func (ndjsonList) Open(dst []byte) []byte  { return dst }
func (ndjsonList) Close(dst []byte) []byte { return dst }

func (ndjsonList) Item(dst []byte, item any) ([]byte, error) {
	start := len(dst)
	dst, err := appendValue(dst, item, 0)
	if err != nil {
		return nil, fmt.Errorf("encode ndjson: %w", err)
	}
	// Only white space of a raw message can break a line: strings escape theirs.
	if bytes.ContainsAny(dst[start:], "\r\n") {
		var line bytes.Buffer
		if err := json.Compact(&line, dst[start:]); err != nil {
			return nil, fmt.Errorf("encode ndjson: %w", err)
		}
		dst = append(dst[:start], line.Bytes()...)
	}
	return append(dst, '\n'), nil
}
