// Package encode owns the bodies that targets send: the encoders by name, and the one
// writer of JSON that keeps every digit and every raw message as it is. It knows no
// HTTP, no targets and no expressions.
package encode

import (
	"fmt"
	"slices"
)

// Encoder turns a value into the bytes of a request body. An encoder has no state: it
// is safe for concurrent use, gives the same bytes for the same value and never changes
// the value.
type Encoder interface {
	// Name is the word for it in the YAML of a target.
	Name() string
	// ContentType is the Content-Type that goes with the bytes unless the target sets one.
	ContentType() string
	// Encode gives the body. Its errors tell what in the value does not fit.
	Encode(v any) ([]byte, error)
}

// encoders is the whole registration of what needs nothing but a value; CSV is here in
// its default form. XML needs the name of a root, Multipart has parts.
var encoders = []Encoder{jsonEncoder{}, ndjsonEncoder{}, CSV{}, formEncoder{}, rawEncoder{}}

// byName is made once, so that two encoders of one name are found when the program starts.
var byName = index(encoders)

func index(list []Encoder) map[string]Encoder {
	out := make(map[string]Encoder, len(list))
	for _, e := range list {
		if _, dup := out[e.Name()]; dup {
			panic(fmt.Sprintf("encode: %q is registered twice", e.Name()))
		}
		out[e.Name()] = e
	}
	return out
}

// ByName gives the encoder called name. An unknown name is never replaced by a default.
func ByName(name string) (Encoder, bool) {
	e, ok := byName[name]
	return e, ok
}

// Names lists the encoders in alphabetical order.
func Names() []string {
	out := make([]string, 0, len(encoders))
	for _, e := range encoders {
		out = append(out, e.Name())
	}
	slices.Sort(out)
	return out
}

// describe names a value in an error, without its content: bodies hold personal data.
func describe(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case string:
		return "a string"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	}
	if isNumber(v) {
		return "a number"
	}
	return fmt.Sprintf("a %T", v)
}
