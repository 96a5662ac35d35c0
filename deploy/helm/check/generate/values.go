package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// value is a key of values.yaml: a group of others, or a leaf with a type and a default.
type value struct {
	key     string // such as gateway.replicas
	comment string // the first paragraph above it
	deflt   *yaml.Node
	schema  map[string]any // of a leaf; nil for a group
	members []*value
}

// configType is the leaf whose schema is that of headgate.yaml.
const configType = "config"

// readValues joins values.yaml with the types of its keys. Each key needs a comment
// and a type, and each type a key.
func readValues(product *os.Root) (*value, error) {
	var values yaml.Node
	var types struct {
		Types  map[string]map[string]any `yaml:"types"`
		Values map[string]any            `yaml:"values"`
	}
	for file, into := range map[string]any{valuesFile: &values, typesFile: &types} {
		text, err := product.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the values: %w", err)
		}
		if err := yaml.Unmarshal(text, into); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
	}
	types.Types[configType] = map[string]any{}
	j := joiner{types: types.Types}
	root := &value{members: j.group("", values.Content[0], types.Values)}
	return root, errors.Join(j.problems...)
}

type joiner struct {
	types    map[string]map[string]any
	problems []error
}

func (j *joiner) problem(format string, args ...any) {
	j.problems = append(j.problems, fmt.Errorf(format, args...))
}

func (j *joiner) group(prefix string, n *yaml.Node, types map[string]any) []*value {
	var out []*value
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, at := n.Content[i], n.Content[i+1]
		v := &value{key: prefix + name.Value, comment: paragraph(name.HeadComment), deflt: at}
		seen[name.Value] = true
		if v.comment == "" {
			j.problem("values.yaml:%d: %s has no comment that says what it means", name.Line, v.key)
		}
		switch t := types[name.Value].(type) {
		case map[string]any:
			if at.Kind != yaml.MappingNode {
				j.problem("values.yaml:%d: %s is a group in types.yaml", at.Line, v.key)
				continue
			}
			v.members = j.group(v.key+".", at, t)
		case string:
			if v.schema = j.types[t]; v.schema == nil {
				j.problem("types.yaml: %s has the type %q, which is not there", v.key, t)
			}
		default:
			j.problem("values.yaml:%d: %s has no type in types.yaml", name.Line, v.key)
		}
		out = append(out, v)
	}
	for name := range types {
		if !seen[name] {
			j.problem("types.yaml: %s%s is not in values.yaml", prefix, name)
		}
	}
	return out
}

// paragraph is a comment up to its first empty line, in one line.
func paragraph(comment string) string {
	// A comment that stands apart belongs to the file.
	if i := strings.LastIndex(comment, "\n\n"); i >= 0 {
		comment = comment[i+2:]
	}
	var words []string
	for line := range strings.Lines(comment) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#"))
		if line == "" {
			break
		}
		words = append(words, line)
	}
	return strings.Join(words, " ")
}
