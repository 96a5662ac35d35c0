// Package schema owns validation by JSON Schema (2020-12): it compiles a schema from
// the platform team's files and says in sentences what is wrong with a value. It
// fetches nothing, and it knows no requests.
package schema

import (
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"headgate/config/yamlsrc"
	"headgate/policies"
)

// MaxErrors is how many faults of one value are told.
const MaxErrors = 20

// Schema is a compiled schema. It is immutable and safe for concurrent use.
type Schema struct {
	compiled *jsonschema.Schema
	document any
}

// Document is the schema as it was written, as plain data: for generated docs. It must
// not be changed.
func (s *Schema) Document() any { return s.document }

// Validate lists what is wrong with v, at most MaxErrors faults; nil when it conforms.
// v is JSON data with json.Number: numbers are compared exactly, whatever their size.
// They must be within the bounds that a decoder should set anyway, since an exponent
// in the millions would be computed.
func (s *Schema) Validate(v any) []policies.FieldError {
	err := s.compiled.Validate(v)
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return []policies.FieldError{{Detail: err.Error()}}
	}
	return faults(invalid)
}

// Compile compiles a schema: n is the path of a file below dir, JSON or YAML, or the
// schema itself as a mapping. References stay within dir. What is wrong goes into
// report, at its place where that is known; the result is nil then.
func Compile(n *yamlsrc.Node, dir string, report *yamlsrc.Report) *Schema {
	before := report.Len()
	files := &folder{dir: dir, report: report, nodes: map[string]*yamlsrc.Node{}}
	url := ""
	var document any
	switch {
	case n.Kind == yamlsrc.Map:
		url = root + "inline"
		document = n.Value()
		files.nodes[url] = n
	case n.Kind == yamlsrc.Scalar && n.IsString() && n.Text != "":
		path, err := within(n.Text)
		if err == nil {
			url = root + path
			document, err = files.Load(url)
		}
		if err != nil {
			if report.Len() == before {
				report.Addf(n.Pos, n.Path, "write the path of a schema, relative to the folder of this file", "schema %s: %s", n.Text, err)
			}
			return nil
		}
	default:
		n.Wrong("the path of a schema, such as schemas/profile.json, or a schema as a mapping", report)
		return nil
	}

	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	compiler.UseLoader(files)
	if err := compiler.AddResource(url, document); err != nil {
		report.Addf(n.Pos, n.Path, "", "schema: %s", clean(err.Error()))
		return nil
	}
	compiled, err := compiler.Compile(url)
	if err != nil {
		files.explain(err, n)
		return nil
	}
	if report.Len() > before {
		return nil
	}
	return &Schema{compiled: compiled, document: document}
}

// explain turns what the compiler says into problems, each at its place in the schema
// where the compiler tells one.
func (f *folder) explain(err error, n *yamlsrc.Node) {
	var mismatch *jsonschema.SchemaValidationError
	var invalid *jsonschema.ValidationError
	if errors.As(err, &mismatch) && errors.As(mismatch.Err, &invalid) {
		for _, fault := range faults(invalid) {
			at := f.locate(mismatch.URL, fault.Pointer, n)
			hint := "see https://json-schema.org/understanding-json-schema"
			if strings.HasSuffix(fault.Detail, "valid regex") {
				hint = "patterns are RE2: no look-ahead and no back-references"
			}
			f.report.Addf(at.Pos, at.Path, hint, "schema: %s", at.describe(fault))
		}
		return
	}
	hint := "check the schema"
	var load *jsonschema.LoadURLError
	var noAnchor *jsonschema.AnchorNotFoundError
	var noPointer *jsonschema.JSONPointerNotFoundError
	switch {
	case errors.As(err, &load):
		hint = "references are files below the folder of this file; they are resolved against $id, if there is one"
	case errors.As(err, &noAnchor), errors.As(err, &noPointer):
		hint = "the reference names a part that is not there; definitions are at #/$defs/NAME"
	}
	f.report.Addf(n.Pos, n.Path, hint, "schema: %s", clean(err.Error()))
}

// place is where a problem of a schema is told.
type place struct {
	*yamlsrc.Node
	exact bool // Node is what the pointer names
}

func (p place) describe(fault policies.FieldError) string {
	if p.exact || fault.Pointer == "" {
		return fault.Detail
	}
	return fmt.Sprintf("at %s: %s", fault.Pointer, fault.Detail)
}

// locate finds the node that a pointer into a schema file names, or the nearest one
// above it; where the file's nodes are not known it is the node that asked for it.
func (f *folder) locate(url, pointer string, n *yamlsrc.Node) place {
	file, fragment, _ := strings.Cut(url, "#")
	node := f.nodes[file]
	if node == nil {
		return place{Node: n}
	}
	at := place{Node: node, exact: true}
	for _, token := range strings.Split(fragment+pointer, "/")[1:] {
		next := step(at.Node, unescape(token))
		if next == nil {
			at.exact = false
			break
		}
		at.Node = next
	}
	return at
}
