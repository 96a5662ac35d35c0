package jq

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/itchyny/gojq"
)

// maxQuoted bounds what a message repeats of expressions and data: messages end in
// logs and in answers.
const maxQuoted = 100

// Manual is where to look up the language.
const Manual = "an expression is jq: https://jqlang.org/manual/"

var (
	errUnparsable = errors.New("it cannot be parsed")
	errInternal   = errors.New("the interpreter met something it cannot handle")
)

// Quote gives text for a message, in quotes and shortened.
func Quote(text string) string { return strconv.Quote(Shorten(text)) }

// Shorten cuts text to what a message may repeat.
func Shorten(text string) string {
	if len(text) <= maxQuoted {
		return text
	}
	cut := maxQuoted
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// Describe names data in a message: its type and the beginning of it.
func Describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case string:
		return "the string " + preview(v)
	case map[string]any:
		return "the object " + preview(v)
	case []any:
		return "the list " + preview(v)
	case int, float64, *big.Int, json.Number:
		return "the number " + preview(v)
	}
	return fmt.Sprintf("a value of type %T", v)
}

// preview is at most some thirty characters of JSON.
func preview(v any) (out string) {
	defer func() {
		if recover() != nil { // a type that the interpreter does not know
			out = "…"
		}
	}()
	return gojq.Preview(v)
}

// message tells a failed evaluation in words for the author of the expression.
func message(err error) string {
	var halt *gojq.HaltError
	if errors.As(err, &halt) {
		return "stopped by halt"
	}
	var raised gojq.ValueError
	if errors.As(err, &raised) {
		// The text of such an error holds the whole value: it must not be asked for.
		if s, ok := raised.Value().(string); ok {
			return Shorten(s)
		}
		return preview(raised.Value())
	}
	text := err.Error()
	text = strings.Replace(text, "but got: ", "but got ", 1)
	return shortenMessage(text)
}

// shortenMessage leaves room for the two previews that the interpreter puts in.
func shortenMessage(text string) string {
	if len(text) <= 2*maxQuoted {
		return text
	}
	return strings.ToValidUTF8(text[:2*maxQuoted], "") + "…"
}

// checker tells each fault once, however often it is in an expression.
type checker struct {
	told  map[string]bool
	fault Fault
}

func (c *checker) faultf(hint, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if !c.told[message] {
		c.told[message] = true
		c.fault(hint, message)
	}
}
