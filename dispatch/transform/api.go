// Package transform owns ${{ … }}: it compiles the expressions of the YAML files at
// load and evaluates them, pure and bounded, on request data. It knows no HTTP, no
// targets and no files beyond the node it is given.
package transform

import "errors"

// Scope is what an expression sees: {"body": …, "params": …}. Values are JSON-like:
// nil, bool, string, json.Number, []any, map[string]any. Evaluation never changes them.
type Scope = map[string]any

// ErrEmpty is returned by evaluations whose expression gave no output (jq's empty).
// In a mapping such a key is left out.
var ErrEmpty = errors.New("the expression gave no value")

// Error is a failed evaluation, told to the author of the expression or to the caller
// whose data did not fit.
type Error struct {
	Expr    string // the expression's source
	Path    string // where it stands in the file
	Message string
}

// Error implements error.
func (e *Error) Error() string { return e.Path + ": ${{ " + e.Expr + " }}: " + e.Message }
