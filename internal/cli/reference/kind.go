package reference

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"

	"headgate/config/editor"
	"headgate/config/unit"
)

// placeholder stands for a name that the author of a file chooses.
const placeholder = "NAME"

// units are the scalars of the files that have a form of their own.
type units struct {
	Duration unit.Duration `yaml:"duration"`
	Size     unit.Size     `yaml:"size"`
	Rate     unit.Rate     `yaml:"rate"`
	Fill     unit.Fill     `yaml:"fill"`
}

// scalars tells the schemas of units from others, and explains their forms.
func scalars() (map[string]string, string, error) {
	defs := jsonschema.Definitions{}
	s := &sections{defs: defs}
	schema, _ := s.resolve(editor.Schema(&units{}, defs))
	named := map[string]string{}
	var forms []string
	for pair := schema.Properties.Oldest(); pair != nil; pair = pair.Next() {
		print, err := fingerprint(pair.Value)
		if err != nil {
			return nil, "", err
		}
		named[print] = pair.Key
		forms = append(forms, "a *"+pair.Key+"* is written "+examples(pair.Value))
	}
	return named, "A" + strings.TrimPrefix(strings.Join(forms, ";\n"), "a") + ".\n\n", nil
}

// fingerprint is what a schema allows, whatever is said about it.
func fingerprint(schema *jsonschema.Schema) (string, error) {
	bare := *schema
	bare.Description, bare.Default = "", nil
	raw, err := json.Marshal(&bare)
	if err != nil {
		return "", fmt.Errorf("encode JSON Schema: %w", err)
	}
	return string(raw), nil
}

// kind says in words what may stand at path, and gives the mappings in it that need a
// section of their own.
func (s *sections) kind(path string, schema *jsonschema.Schema) (string, []section) {
	schema, definition := s.resolve(schema)
	if print, err := fingerprint(schema); err == nil && s.named[print] != "" {
		return s.named[print], nil
	}
	switch forms := slices.Concat(schema.OneOf, schema.AnyOf); {
	case len(forms) > 0:
		return s.alternatives(path, forms)
	case len(schema.Enum) > 0:
		return either(literals(schema.Enum)), nil
	case schema.Const != nil:
		return code(fmt.Sprint(schema.Const)), nil
	case schema.Type == "array":
		item, below := "any value", []section(nil)
		if schema.Items != nil {
			item, below = s.kind(path+"[]", schema.Items)
		}
		return "list of " + plural(item), below
	case schema.Properties != nil && schema.Properties.Len() > 0:
		return s.mapping(path, definition, schema)
	case schema.AdditionalProperties != nil && schema.AdditionalProperties.Not == nil:
		value, below := s.kind(path+"."+placeholder, schema.AdditionalProperties)
		return "by " + placeholder + ": " + value, below
	case schema.Type == "object":
		return "mapping", nil
	case schema.Type == "":
		return "any value", nil
	}
	return schema.Type + bounds(schema), nil
}

func (s *sections) alternatives(path string, forms []*jsonschema.Schema) (string, []section) {
	var words []string
	var below []section
	for _, form := range forms {
		if form.Type == "null" {
			continue // nothing may stand for an empty mapping or list; that is YAML's affair
		}
		word, children := s.kind(path, form)
		below = append(below, children...)
		if !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return either(words), below
}

// mapping has fixed keys. One that is a choice between scalars is shown in its place,
// all others have a section.
func (s *sections) mapping(path, definition string, schema *jsonschema.Schema) (string, []section) {
	if one(schema) {
		var forms []string
		for pair := schema.Properties.Oldest(); pair != nil; pair = pair.Next() {
			if pair.Value.Type == "string" {
				forms = append(forms, code("{"+pair.Key+": "+strings.ToUpper(pair.Key)+"}"))
			}
		}
		if len(forms) == schema.Properties.Len() {
			return either(forms), nil
		}
	}
	if at, ok := s.shown[definition]; ok && definition != "" {
		return "[mapping](#" + at + ")", nil
	}
	s.shown[definition] = anchor(path)
	// The text above the section's table would repeat that of the key which leads here.
	own := *schema
	if definition != "" {
		own.Description = s.defs[definition].Description
	}
	return "[mapping](#" + anchor(path) + ")", []section{{path, &own}}
}

// one reports whether a mapping must have exactly one of its keys.
func one(schema *jsonschema.Schema) bool {
	return schema.MinProperties != nil && schema.MaxProperties != nil &&
		*schema.MinProperties == 1 && *schema.MaxProperties == 1
}

func bounds(schema *jsonschema.Schema) string {
	var out string
	if schema.Minimum != "" {
		out += ", at least " + schema.Minimum.String()
	}
	if schema.Maximum != "" {
		out += ", at most " + schema.Maximum.String()
	}
	if len(schema.Examples) > 0 {
		out += ", such as " + examples(schema)
	}
	return out
}

func examples(schema *jsonschema.Schema) string { return either(literals(schema.Examples)) }

func literals(values []any) []string {
	out := make([]string, len(values))
	for i, value := range values {
		out[i] = code(fmt.Sprint(value))
	}
	return out
}

// plural makes "list of" read well.
func plural(kind string) string {
	for _, word := range []string{"string", "integer", "number", "boolean", "duration", "size", "rate", "any value", "mapping", "[mapping"} {
		if rest, ok := strings.CutPrefix(kind, word); ok {
			return word + "s" + rest
		}
	}
	return kind
}
