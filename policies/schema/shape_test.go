package schema_test

import (
	"fmt"
	"strings"
	"testing"

	"headgate/config/yamlsrc"
	"headgate/policies/schema"
)

// What a schema says of a path into the values that it lets pass.
func TestLacks(t *testing.T) {
	const (
		open   = `{properties: {email: {type: string}, address: {properties: {city: {}}}, any: {}}}`
		closed = `{properties: {email: {}, lines: {type: array, items: {properties: {sku: {}}, additionalProperties: false}}}, additionalProperties: false}`
		refs   = `{$ref: "#/$defs/p", $defs: {p: {allOf: [{properties: {a: {$ref: "#/$defs/p"}}}, {properties: {b: {}}}], unevaluatedProperties: false}}}`
		either = `{oneOf: [{properties: {a: {}}, additionalProperties: false}, {properties: {b: {}}, additionalProperties: false}]}`
		half   = `{anyOf: [{properties: {a: {}}, additionalProperties: false}, {properties: {b: {}}}]}`
	)
	for _, tt := range []struct{ schema, path, want string }{
		{open, "email", ""},
		{open, "emial", "0 may be [address any email]"},
		{open, "address.city", ""},
		{open, "address.zip", "1 may be [city]"},
		{open, "any.thing", ""},
		{open, "email.x", ""},
		{open, "tags.[].x", "0 may be [address any email]"},
		{closed, "email", ""},
		{closed, "mail", "0 never [email lines]"},
		{closed, "lines.[].sku", ""},
		{closed, "lines.[].name", "2 never [sku]"},
		{refs, "a.a.b", ""},
		{refs, "a.a.c", "2 never [a b]"},
		{either, "b", ""},
		{either, "c", "0 never [a b]"},
		{half, "c", "0 may be [a b]"},
		{`{properties: {a: {}}, additionalProperties: true}`, "b", ""},
		{`{properties: {a: {}}, additionalProperties: {type: string}}`, "b.c", ""},
		{`{properties: {a: {}}, patternProperties: {"^x-": {properties: {y: {}}}}}`, "x-1.y", ""},
		{`{properties: {a: {}}, patternProperties: {"^x-": {properties: {y: {}}}}}`, "x-1.z", "1 may be [y]"},
		{`{properties: {a: {}}, patternProperties: {"^x-": {}}, additionalProperties: false}`, "y", "0 never [a]"},
		{`{type: object}`, "a.b", ""},
		{`{additionalProperties: false}`, "a", "0 never []"},
		{`{if: {properties: {kind: {const: a}}}, then: {properties: {a: {}}}, else: {properties: {b: {}}}}`, "b", ""},
		{`{properties: {l: {prefixItems: [{properties: {a: {}}}], items: {properties: {b: {}}}}}}`, "l.[].b", ""},
		{`{properties: {l: {prefixItems: [{properties: {a: {}}}], items: {properties: {b: {}}}}}}`, "l.[].c", "2 may be [a b]"},
	} {
		var report yamlsrc.Report
		n := yamlsrc.Parse("s.yaml", []byte("schema: "+tt.schema), &report).Get("schema")
		s := schema.Compile(n, t.TempDir(), &report)
		if err := report.Err(); err != nil {
			t.Fatalf("%s: %v", tt.schema, err)
		}
		got := ""
		if missing, ok := s.Lacks(strings.Split(tt.path, ".")); ok {
			got = fmt.Sprintf("%d may be %v", missing.At, missing.Known)
			if missing.Never {
				got = fmt.Sprintf("%d never %v", missing.At, missing.Known)
			}
		}
		if got != tt.want {
			t.Errorf("%s of %s: %q, want %q", tt.path, tt.schema, got, tt.want)
		}
	}
}
