package reference

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"

	"headgate/config/unit"
)

// sections makes a page of a JSON Schema: a table for each mapping with fixed keys,
// depth first. What several keys share is described once, where it comes first.
type sections struct {
	out      strings.Builder
	defs     jsonschema.Definitions
	named    map[string]string // a scalar's schema → its name in the files
	shown    map[string]string // a definition → the anchor of its section
	anchors  []string
	defaults map[string]any // what the code fills in, as nested mappings
}

// section is one mapping with fixed keys, at the place it is described.
type section struct {
	path   string
	schema *jsonschema.Schema
}

// schemaPage writes intro and the tables of a schema document. defaults, if any, hold
// the values of keys that a file leaves out.
func schemaPage(document []byte, intro string, defaults map[string]any) ([]byte, error) {
	var root jsonschema.Schema
	if err := json.Unmarshal(document, &root); err != nil {
		return nil, fmt.Errorf("decode JSON Schema: %w", err)
	}
	named, legend, err := scalars()
	if err != nil {
		return nil, err
	}
	s := &sections{defs: root.Definitions, named: named, shown: map[string]string{}, defaults: defaults}
	s.out.WriteString(intro + legend)
	resolved, _ := s.resolve(&root)
	if err := s.write(section{schema: resolved}); err != nil {
		return nil, err
	}
	return []byte(s.out.String()), nil
}

func (s *sections) write(at section) error {
	if at.path != "" {
		name := anchor(at.path)
		if slices.Contains(s.anchors, name) {
			return fmt.Errorf("reference: two headings have the anchor %q; the second is %s", name, at.path)
		}
		s.anchors = append(s.anchors, name)
		level := "##"
		if strings.Contains(strings.ReplaceAll(at.path, "."+placeholder, ""), ".") {
			level = "###"
		}
		fmt.Fprintf(&s.out, "\n%s %s\n\n", level, code(at.path))
		if at.schema.Description != "" {
			s.out.WriteString(prose(at.schema.Description) + "\n\n")
		}
		if one(at.schema) {
			s.out.WriteString("Exactly one of these keys:\n\n")
		}
	}
	var below []section
	t := newTable("key", "type", "default", "meaning")
	for pair := at.schema.Properties.Oldest(); pair != nil; pair = pair.Next() {
		path := strings.TrimPrefix(at.path+"."+pair.Key, ".")
		kind, children := s.kind(path, pair.Value)
		below = append(below, children...)
		schema, _ := s.resolve(pair.Value)
		meaning, standard, isValue := splitDefault(schema.Description)
		if known := s.standard(path, schema); known != "" {
			if isValue && !same(known, standard) {
				return fmt.Errorf("reference: the description of %s says that the default is %s, the code takes %s", path, standard, known)
			}
			if !isValue {
				standard = known
			}
		}
		if slices.Contains(at.schema.Required, pair.Key) {
			standard = "**required**"
		}
		if meaning == "" && len(children) > 0 {
			meaning = "See [" + code(children[0].path) + "](#" + anchor(children[0].path) + ")."
		} else {
			meaning = prose(meaning)
		}
		t.row(code(shortest(path, pair.Key)), kind, standard, meaning)
	}
	t.write(&s.out)
	for _, child := range below {
		if err := s.write(child); err != nil {
			return err
		}
	}
	return nil
}

// shortest names a key by its whole path where that is the same in every file, and by
// itself where the heading has to be read anyway.
func shortest(path, key string) string {
	if strings.ContainsAny(path, "[") || strings.Contains(path, placeholder) {
		return key
	}
	return path
}

// resolve follows references; what stands beside one has the last word. The second
// result names the definition, empty when there was no reference.
func (s *sections) resolve(schema *jsonschema.Schema) (*jsonschema.Schema, string) {
	name := ""
	for schema.Ref != "" {
		name = strings.TrimPrefix(schema.Ref, "#/$defs/")
		to := *s.defs[name]
		if schema.Description != "" {
			to.Description = schema.Description
		}
		if schema.Default != nil {
			to.Default = schema.Default
		}
		schema = &to
	}
	return schema, name
}

// standard gives the value that holds when the key at path is left out, as Markdown;
// empty when that is nothing or a mapping.
func (s *sections) standard(path string, schema *jsonschema.Schema) string {
	var value any = s.defaults
	for key := range strings.SplitSeq(path, ".") {
		in, _ := value.(map[string]any)
		value = in[key]
	}
	if value == nil {
		value = schema.Default
	}
	switch v := value.(type) {
	case nil, map[string]any:
		return ""
	case []any:
		return strings.Join(literals(v), ", ")
	case float64:
		return code(fmt.Sprintf("%.15g", v))
	case string:
		if v == "" {
			return ""
		}
	}
	return code(fmt.Sprint(value))
}

// defaultSentence is how descriptions end that say what holds when the key is left out:
// `Default 10s.` for a value, `Default: all of them.` for words.
var defaultSentence = regexp.MustCompile(`(?s)^(.*\S)\s+Default(:?) (.+)\.$`)

// splitDefault takes a description apart. The default is Markdown, the meaning is not.
// isValue reports whether the default is a value that could be written in a file.
func splitDefault(description string) (meaning, standard string, isValue bool) {
	found := defaultSentence.FindStringSubmatch(description)
	switch {
	case found == nil || strings.Contains(found[3], ". "):
		return description, "", false
	case found[2] == "":
		return found[1], code(found[3]), true
	case strings.ContainsAny(found[3], "./*") && !strings.Contains(found[3], " "):
		return found[1], code(found[3]), false
	}
	return found[1], prose(found[3]), false
}

// same reports whether two defaults are one value, such as `60s` and `1m`.
func same(a, b string) bool {
	first, err := unit.ParseDuration(strings.Trim(a, "`"))
	if err != nil {
		return a == b
	}
	second, err := unit.ParseDuration(strings.Trim(b, "`"))
	return err == nil && first == second
}
