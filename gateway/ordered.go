package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"

	"headgate/gateway/wire"
)

// Ordered is a JSON object whose members keep their order: targets stand as in the
// route's file, not by the accident of a map.
type Ordered[V any] []Member[V]

// Member is one member of an Ordered.
type Member[V any] struct {
	Name  string
	Value V
}

// MarshalJSON implements json.Marshaler.
func (o Ordered[V]) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			out.WriteByte(',')
		}
		name, err := wire.Encode(m.Name)
		if err != nil {
			return nil, err
		}
		value, err := wire.Encode(m.Value)
		if err != nil {
			return nil, err
		}
		out.Write(name)
		out.WriteByte(':')
		out.Write(value)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// UnmarshalJSON implements json.Unmarshaler; members keep the order of the text.
func (o *Ordered[V]) UnmarshalJSON(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	start, err := dec.Token()
	if err != nil {
		return fmt.Errorf("decode ordered object: %w", err)
	}
	if start != json.Delim('{') {
		return fmt.Errorf("decode ordered object: %v begins no object", start)
	}
	*o = nil
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return fmt.Errorf("decode ordered object: %w", err)
		}
		m := Member[V]{Name: name.(string)} // a member's name always is a string
		if err := dec.Decode(&m.Value); err != nil {
			return fmt.Errorf("decode %s: %w", m.Name, err)
		}
		*o = append(*o, m)
	}
	return nil
}
