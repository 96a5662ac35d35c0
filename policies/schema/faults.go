package schema

import (
	"encoding/json"
	"fmt"
	"math/big"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"headgate/policies"
)

// maxQuote bounds what is repeated of a value or a schema in one sentence.
const maxQuote = 80

// faults lists the leaves of a validation error: what is really wrong, without the
// allOf and $ref that lead there.
func faults(e *jsonschema.ValidationError) []policies.FieldError {
	var out []policies.FieldError
	seen := map[policies.FieldError]bool{}
	var walk func(e *jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		if len(e.Causes) > 0 {
			for _, cause := range e.Causes {
				walk(cause)
			}
			return
		}
		for _, fault := range sentences(e) {
			if !seen[fault] {
				seen[fault] = true
				out = append(out, fault)
			}
		}
	}
	walk(e)
	// The validator goes through maps: without an order the same body would get its
	// faults in another sequence, and beyond the limit other faults, each time.
	sort.SliceStable(out, func(i, j int) bool {
		if out[i].Pointer != out[j].Pointer {
			return out[i].Pointer < out[j].Pointer
		}
		return out[i].Detail < out[j].Detail
	})
	if len(out) > MaxErrors {
		out = out[:MaxErrors]
	}
	return out
}

// sentences tells one leaf. What is missing or too much is told at its own place, so
// that a form can show it beside the field.
func sentences(e *jsonschema.ValidationError) []policies.FieldError {
	at := pointer(e.InstanceLocation)
	one := func(format string, args ...any) []policies.FieldError {
		return []policies.FieldError{{Detail: fmt.Sprintf(format, args...), Pointer: at}}
	}
	each := func(names []string, detail string) (out []policies.FieldError) {
		for _, name := range names {
			out = append(out, policies.FieldError{Detail: detail, Pointer: at + "/" + escape(name)})
		}
		return out
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		return each(k.Missing, "is missing")
	case *kind.DependentRequired:
		return each(k.Missing, fmt.Sprintf("is missing: it belongs to %s", quote(k.Prop)))
	case *kind.AdditionalProperties:
		return each(k.Properties, "is not known here")
	case *kind.FalseSchema:
		return one("is not allowed here")
	case *kind.Type:
		return one("should be %s, not %s", alternatives(k.Want), k.Got)
	case *kind.Enum:
		return one("should be one of %s", list(k.Want))
	case *kind.Const:
		return one("should be %s", literal(k.Want))
	case *kind.Format:
		return one("is not a valid %s", k.Want)
	case *kind.Pattern:
		return one("does not match the pattern %s", quote(k.Want))
	case *kind.MinLength:
		return one("should have %s or more, not %d", count(k.Want, "character"), k.Got)
	case *kind.MaxLength:
		return one("should have %s or fewer, not %d", count(k.Want, "character"), k.Got)
	case *kind.MinItems:
		return one("should have %s or more, not %d", count(k.Want, "item"), k.Got)
	case *kind.MaxItems:
		return one("should have %s or fewer, not %d", count(k.Want, "item"), k.Got)
	case *kind.MinProperties:
		return one("should have %s or more, not %d", count(k.Want, "field"), k.Got)
	case *kind.MaxProperties:
		return one("should have %s or fewer, not %d", count(k.Want, "field"), k.Got)
	case *kind.UniqueItems:
		return one("items %d and %d are the same", k.Duplicates[0], k.Duplicates[1])
	case *kind.Minimum:
		return one("should be %s or more", number(k.Want))
	case *kind.Maximum:
		return one("should be %s or less", number(k.Want))
	case *kind.ExclusiveMinimum:
		return one("should be more than %s", number(k.Want))
	case *kind.ExclusiveMaximum:
		return one("should be less than %s", number(k.Want))
	case *kind.MultipleOf:
		return one("should be a multiple of %s", number(k.Want))
	case *kind.OneOf:
		if len(k.Subschemas) > 1 {
			return one("fits more than one of the allowed forms")
		}
		return one("fits none of the allowed forms")
	case *kind.Not:
		return one("has a form that is not allowed")
	}
	return one("%s", shorten(e.ErrorKind.LocalizedString(message.NewPrinter(language.English))))
}

func pointer(tokens []string) string {
	var out strings.Builder
	for _, token := range tokens {
		out.WriteByte('/')
		out.WriteString(escape(token))
	}
	return out.String()
}

func escape(token string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(token)
}

func alternatives(types []string) string {
	if len(types) == 1 {
		return types[0]
	}
	return strings.Join(types[:len(types)-1], ", ") + " or " + types[len(types)-1]
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

func number(r *big.Rat) string {
	if r.IsInt() {
		return shorten(r.Num().String())
	}
	return strings.TrimRight(r.FloatString(10), "0")
}

func list(values []any) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = literal(v)
	}
	return shorten(strings.Join(parts, ", "))
}

func literal(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return "another value"
	}
	return shorten(string(raw))
}

func quote(s string) string { return strconv.Quote(shorten(s)) }

func shorten(s string) string {
	if len(s) <= maxQuote {
		return s
	}
	cut := maxQuote
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
