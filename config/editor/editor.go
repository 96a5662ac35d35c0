// Package editor owns how the types of the YAML files become JSON Schema (draft
// 2020-12), so that editors complete and check what a person writes. It knows the
// scalars of the files, but none of the files' contents.
package editor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"

	"headgate/config/secret"
	"headgate/config/unit"
	"headgate/config/yamlsrc"
)

// A variable may stand for any scalar, and what it holds is not known here.
const variable = `\$\{`

var (
	duration = &jsonschema.Schema{
		OneOf: []*jsonschema.Schema{
			{Type: "string", Pattern: `^([0-9.]+(ns|us|µs|ms|s|m|h))+$|^[0-9.]+d$|^0$|` + variable},
			{Type: "integer", Const: 0},
		},
		Examples: []any{"500ms", "30s", "5m", "24h", "7d"},
	}
	size = &jsonschema.Schema{
		OneOf: []*jsonschema.Schema{
			{Type: "string", Pattern: `^[0-9.]+ *(B|KB|MB|GB)?$|` + variable},
			{Type: "integer", Minimum: "0"},
		},
		Examples: []any{"256KB", "6MB"},
	}
	fill = &jsonschema.Schema{
		Type: "string", Pattern: `^([1-9][0-9]?|100)%$|^[0-9.]+ *(B|KB|MB|GB)$|` + variable,
		Examples: []any{"90%", "6GB"},
	}
	rate = &jsonschema.Schema{
		Type: "string", Pattern: `^[0-9]+/(s|m|h)$|` + variable,
		Examples: []any{"100/s", "600/m"},
	}
)

// mapped gives the schema of a type that is written in a form of its own; nil for all
// others.
func mapped(t reflect.Type) *jsonschema.Schema {
	var found *jsonschema.Schema
	switch t {
	case reflect.TypeFor[unit.Duration]():
		found = duration
	case reflect.TypeFor[unit.Size]():
		found = size
	case reflect.TypeFor[unit.Fill]():
		found = fill
	case reflect.TypeFor[unit.Rate]():
		found = rate
	case reflect.TypeFor[yamlsrc.Node](), reflect.TypeFor[*yamlsrc.Node]():
		return &jsonschema.Schema{} // anything
	case reflect.TypeFor[secret.Ref]():
		return secretRef()
	default:
		return nil
	}
	own := *found // the caller adds the field's description to it
	return &own
}

func secretRef() *jsonschema.Schema {
	properties := jsonschema.NewProperties()
	properties.Set("env", &jsonschema.Schema{Type: "string", Description: "Name of the environment variable that holds the secret; one trailing newline is dropped."})
	properties.Set("file", &jsonschema.Schema{Type: "string", Description: "Path of the file that holds the secret; one trailing newline is dropped."})
	one := uint64(1)
	return &jsonschema.Schema{
		Type: "object", Properties: properties, AdditionalProperties: jsonschema.FalseSchema,
		MinProperties: &one, MaxProperties: &one,
		Description: "Where the secret is kept; it never stands in the file.",
	}
}

// Schema gives the schema of what yamlsrc decodes into v, a pointer to a struct or a
// list. The types that it refers to are put into defs, by names that tell their
// packages apart.
func Schema(v any, defs jsonschema.Definitions) *jsonschema.Schema {
	t := reflect.TypeOf(v)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	reflector := &jsonschema.Reflector{
		Anonymous:                  true,
		FieldNameTag:               "yaml",
		RequiredFromJSONSchemaTags: true,
		Mapper:                     mapped,
		Namer: func(t reflect.Type) string {
			if t.Name() == "" || t.PkgPath() == "" {
				return ""
			}
			return path.Base(t.PkgPath()) + "." + t.Name()
		},
	}
	schema := reflector.ReflectFromType(t)
	for name, def := range schema.Definitions {
		defs[name] = def
	}
	schema.Definitions, schema.Version = nil, ""
	align(t, schema, defs, map[reflect.Type]bool{})
	return schema
}

// align makes the schema of a struct agree with what yamlsrc decodes: only fields with
// a yaml tag exist, and those tagged ",required" are required.
func align(t reflect.Type, schema *jsonschema.Schema, defs jsonschema.Definitions, seen map[reflect.Type]bool) {
	for schema != nil && schema.Ref != "" {
		schema = defs[strings.TrimPrefix(schema.Ref, "#/$defs/")]
	}
	if schema == nil || mapped(t) != nil {
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		align(t.Elem(), schema, defs, seen)
	case reflect.Slice:
		align(t.Elem(), schema.Items, defs, seen)
	case reflect.Map:
		align(t.Elem(), schema.AdditionalProperties, defs, seen)
	case reflect.Struct:
		if !seen[t] {
			seen[t] = true
			alignFields(t, schema, defs, seen)
		}
	default:
	}
}

func alignFields(t reflect.Type, schema *jsonschema.Schema, defs jsonschema.Definitions, seen map[reflect.Type]bool) {
	if schema.Properties == nil {
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		tag, ok := f.Tag.Lookup("yaml")
		name, options, _ := strings.Cut(tag, ",")
		if !ok {
			schema.Properties.Delete(f.Name)
			continue
		}
		if strings.Contains(options, "inline") {
			alignFields(f.Type, schema, defs, seen)
			continue
		}
		if strings.Contains(options, "required") && !slices.Contains(schema.Required, name) {
			schema.Required = append(schema.Required, name)
		}
		if property, ok := schema.Properties.Get(name); ok {
			alternatives(f, property, defs)
			standard(f, property)
			align(f.Type, property, defs, seen)
			for _, form := range property.OneOf {
				switch {
				case form.Ref != "" && f.Type.Kind() == reflect.Slice: // one, written without its list
					align(f.Type.Elem(), form, defs, seen)
				case form.Ref != "":
					align(f.Type, form, defs, seen)
				}
			}
		}
	}
}

// alternatives lets the tag oneof_type have the last word on types with several written
// forms, such as a list that may be one word: the derived type would contradict it. A
// struct that has other forms besides stays known as one.
func alternatives(f reflect.StructField, property *jsonschema.Schema, defs jsonschema.Definitions) {
	if !strings.Contains(f.Tag.Get("jsonschema"), "oneof_type=") {
		return
	}
	ref, items := property.Ref, (*jsonschema.Schema)(nil)
	if list := defs[strings.TrimPrefix(ref, "#/$defs/")]; list != nil && list.Items != nil && list.Items.Ref != "" {
		ref, items = list.Items.Ref, list.Items // of which one may be written alone
	}
	property.Ref, property.Type = "", ""
	for _, form := range property.OneOf {
		if form.Type == "object" && ref != "" {
			form.Type, form.Ref = "", ref
		}
		if form.Type == "array" && items != nil {
			form.Items = items
		}
		if form.Type == "array" && f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.String {
			form.Items = &jsonschema.Schema{Type: "string"}
		}
	}
}

// standard keeps the default of the tag, which the reflector drops for types that are
// written in a form of their own, such as a size.
func standard(f reflect.StructField, property *jsonschema.Schema) {
	if mapped(f.Type) == nil || property.Default != nil {
		return
	}
	for option := range strings.SplitSeq(f.Tag.Get("jsonschema"), ",") {
		if value, ok := strings.CutPrefix(option, "default="); ok {
			property.Default = value
		}
	}
}

// Encode writes a schema document: indented, the same bytes for the same schema.
func Encode(schema *jsonschema.Schema) ([]byte, error) {
	schema.Version = jsonschema.Version
	raw, err := json.Marshal(schema)
	if err != nil {
		return nil, fmt.Errorf("encode JSON Schema: %w", err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return nil, fmt.Errorf("indent JSON Schema: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// Duration gives the schema of a unit.Duration, for schemas written by hand.
func Duration() *jsonschema.Schema { return mapped(reflect.TypeFor[unit.Duration]()) }
