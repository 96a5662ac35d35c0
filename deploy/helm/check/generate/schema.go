package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"
)

// schema is a JSON Schema, or a part of one.
type schema = map[string]any

// readConfigSchema reads the schema of headgate.yaml.
func readConfigSchema(root *os.Root) (schema, error) {
	text, err := root.ReadFile(configSchema)
	if err != nil {
		return nil, fmt.Errorf("read the schema of headgate.yaml: %w", err)
	}
	var out schema
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, fmt.Errorf("read %s: %w", configSchema, err)
	}
	return out, nil
}

// writeSchema writes values.schema.json. It is of draft 7, which all versions of Helm 3
// and 4 know; in that draft nothing that stands beside a $ref counts.
func writeSchema(root *os.Root, values *value, config schema) error {
	out := of(values, config)
	out["$schema"] = "http://json-schema.org/draft-07/schema#"
	out["title"] = "Values of the headgate chart"
	out["$comment"] = "Made by `make generate` from values.yaml, types.yaml and schemas/headgate.schema.json; edits here are lost."
	out["$defs"] = config["$defs"]
	out["properties"].(schema)["global"] = schema{"type": "object", "description": "Values that all charts of an umbrella chart share; not used here."}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(out); err != nil {
		return fmt.Errorf("encode the schema: %w", err)
	}
	if err := root.WriteFile(schemaFile, text.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the schema: %w", err)
	}
	return nil
}

func of(v *value, config schema) schema {
	if v.key == configType {
		return schema{
			"description": v.comment,
			"allOf": []any{
				schema{"$ref": config["$ref"]},
				schema{"required": []string{"redis"}, "properties": schema{"redis": schema{"required": []string{"url"}}}},
			},
		}
	}
	if v.schema != nil {
		out := maps.Clone(v.schema)
		out["description"] = v.comment
		return out
	}
	properties := schema{}
	for _, m := range v.members {
		properties[m.key[strings.LastIndex(m.key, ".")+1:]] = of(m, config)
	}
	out := schema{"type": "object", "additionalProperties": false, "properties": properties}
	if v.comment != "" {
		out["description"] = v.comment
	}
	return out
}
