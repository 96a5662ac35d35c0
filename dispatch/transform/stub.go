package transform

import (
	"encoding/json"

	"headgate/config/yamlsrc"
)

// Value is a compiled YAML value: literals, mappings and lists with expressions inside.
type Value struct{}

// CompileValue compiles n. roots are the names an expression may use (".body" needs
// "body"); anything else is a problem in report. On problems the result is not used.
func CompileValue(n *yamlsrc.Node, roots []string, report *yamlsrc.Report) *Value { panic("stub") }

// Eval gives the value as JSON-like data. A string that is exactly one expression keeps
// the type of what the expression gives; otherwise expressions are interpolated.
func (v *Value) Eval(scope Scope) (any, error) { panic("stub") }

// JSON is Eval, encoded. Numbers that no expression touched keep their digits; HTML
// characters are not escaped.
func (v *Value) JSON(scope Scope) (json.RawMessage, error) { panic("stub") }

// Fields lists, sorted, the first-level fields used below root: {"job"} for
// .saved.job; all reports that the whole root is used in a way that cannot be listed.
func (v *Value) Fields(root string) (fields []string, all bool) { panic("stub") }

// Text is a compiled string: a URL, a header value.
type Text struct{}

// CompileText compiles a scalar.
func CompileText(n *yamlsrc.Node, roots []string, report *yamlsrc.Report) *Text { panic("stub") }

// Eval gives the string; null, objects and lists are errors when interpolated.
func (t *Text) Eval(scope Scope) (string, error) { panic("stub") }

// URL is Eval with each interpolated value percent-encoded (path segment and query
// safe), unless the whole text is one expression.
func (t *Text) URL(scope Scope) (string, error) { panic("stub") }

// Source is the text as written.
func (t *Text) Source() string { panic("stub") }

// IsLiteral reports whether there is no expression in it.
func (t *Text) IsLiteral() bool { panic("stub") }

// Fields is as for Value.
func (t *Text) Fields(root string) (fields []string, all bool) { panic("stub") }

// Bool is a compiled condition: exactly one expression that gives true or false.
type Bool struct{}

// CompileBool compiles a scalar.
func CompileBool(n *yamlsrc.Node, roots []string, report *yamlsrc.Report) *Bool { panic("stub") }

// Eval gives the answer; anything but a boolean is an error.
func (b *Bool) Eval(scope Scope) (bool, error) { panic("stub") }

// Fields is as for Value.
func (b *Bool) Fields(root string) (fields []string, all bool) { panic("stub") }
