package config

import (
	"github.com/invopop/jsonschema"

	"headgate/config/editor"
)

// Schema gives the JSON Schema of the operator's file, for editors.
func Schema() ([]byte, error) {
	defs := jsonschema.Definitions{}
	schema := editor.Schema(&Config{}, defs)
	schema.Definitions = defs
	schema.Title = "headgate.yaml"
	return editor.Encode(schema)
}

// JSONSchema gives the form that RedisURL is written in.
func (RedisURL) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{
		Type: "string", Pattern: `^(rediss?(\+(sentinel|cluster))?|unix)://|^embedded$|\$\{`,
		Examples: []any{"redis://127.0.0.1:6379/0", string(Embedded)},
	}
}

// JSONSchema gives the form that Prefix is written in.
func (Prefix) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Examples: []any{"10.0.0.0/8", "192.0.2.1"}}
}
