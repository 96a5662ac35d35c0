package encode

import "fmt"

// List writes a list one item at a time: what Open, Item for each and Close append is what
// Encode gives for the whole. It is good for one list.
type List interface {
	Open(dst []byte) []byte
	Item(dst []byte, item any) ([]byte, error)
	Close(dst []byte) []byte
}

// NDJSON writes a list as ndjson.
func NDJSON() List { return ndjsonList{} }

// jsonList writes a JSON array, which stands at a depth of a larger value.
type jsonList struct {
	depth int
	begun bool
}

func (*jsonList) Open(dst []byte) []byte  { return append(dst, '[') }
func (*jsonList) Close(dst []byte) []byte { return append(dst, ']') }

func (l *jsonList) Item(dst []byte, item any) ([]byte, error) {
	if l.begun {
		dst = append(dst, ',')
	}
	l.begun = true
	dst, err := appendValue(dst, item, l.depth+1)
	if err != nil {
		return nil, fmt.Errorf("encode json: %w", err)
	}
	return dst, nil
}

// Gap is a place in a value that is left open. One Gap is good for one Around.
type Gap struct{ at, depth int }

// Around writes a value as JSON with a gap, which must be in it once: what stands before
// and behind it. list makes what writes a list in between.
func Around(v any, gap *Gap) (before, after []byte, list func() List, err error) {
	out, err := AppendJSON(nil, v)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("encode json: %w", err)
	}
	return out[:gap.at:gap.at], out[gap.at:], func() List { return &jsonList{depth: gap.depth} }, nil
}
