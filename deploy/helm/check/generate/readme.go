package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// byChart are keys of headgate.yaml that the chart sets.
var byChart = []string{"listen", "routes", "admin.listen", "admin.token"}

// fill puts a text between the markers <!-- NAME --> and <!-- end NAME --> of README.md.
func fill(root *os.Root, name, text string) error {
	old, err := root.ReadFile(readmeFile)
	if err != nil {
		return fmt.Errorf("read what is to be filled: %w", err)
	}
	start, end := "<!-- "+name+" -->\n", "<!-- end "+name+" -->"
	head, rest, ok := strings.Cut(string(old), start)
	_, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return fmt.Errorf("%s has no place for the table: %s…%s", readmeFile, start, end)
	}
	if err := root.WriteFile(readmeFile, []byte(head+start+text+end+tail), 0o644); err != nil {
		return fmt.Errorf("fill the table: %w", err)
	}
	return nil
}

// valuesTable has a row for each value, and one for each group of them.
func valuesTable(root *value) string {
	var b strings.Builder
	b.WriteString("| value | default | meaning |\n|---|---|---|\n")
	var walk func(v *value)
	walk = func(v *value) {
		switch {
		case v.key == configType:
			fmt.Fprintf(&b, "| **`%s`** | [below](#keys-of-config) | %s |\n", v.key, cell(v.comment))
		case v.schema == nil && v.key != "":
			fmt.Fprintf(&b, "| **`%s`** | | %s |\n", v.key, cell(v.comment))
		case v.key != "":
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", v.key, code(v.deflt), cell(v.comment))
		}
		for _, m := range v.members {
			walk(m)
		}
	}
	walk(root)
	return b.String()
}

// configTable has a row for each key of headgate.yaml that the operator may set.
func configTable(values *value, config schema) string {
	var set *yaml.Node
	for _, v := range values.members {
		if v.key == configType {
			set = v.deflt
		}
	}
	var b strings.Builder
	b.WriteString("| key of `config` | set here | meaning |\n|---|---|---|\n")
	var walk func(prefix string, at schema, set *yaml.Node)
	walk = func(prefix string, at schema, set *yaml.Node) {
		properties, _ := at["properties"].(schema)
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			key, property := prefix+name, properties[name].(schema)
			if slices.Contains(byChart, key) {
				continue
			}
			into, preset := follow(property, config), ""
			if member(set, name) != nil && into["properties"] == nil {
				preset = code(member(set, name))
			}
			text, _ := property["description"].(string)
			if d, ok := property["default"]; ok {
				encoded, _ := json.Marshal(d)
				text += " Default " + strings.Trim(string(encoded), `"`) + "."
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", key, preset, cell(text))
			if name != "password" { // what it looks like stands in values.yaml
				walk(key+".", into, member(set, name))
			}
		}
	}
	walk("", follow(config, config), set)
	return b.String()
}

// follow gives what a $ref refers to.
func follow(at, root schema) schema {
	ref, ok := at["$ref"].(string)
	if !ok {
		return at
	}
	found, _ := root["$defs"].(schema)[strings.TrimPrefix(ref, "#/$defs/")].(schema)
	return found
}

// member gives a key's value; nil when there is none.
func member(n *yaml.Node, name string) *yaml.Node {
	if n == nil {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// code writes a default as JSON.
func code(n *yaml.Node) string {
	var v any
	if err := n.Decode(&v); err != nil {
		return ""
	}
	if v == "" {
		return ""
	}
	text, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	if len(text) > 60 {
		return "see values.yaml"
	}
	return "`" + strings.ReplaceAll(strings.Trim(string(text), `"`), "|", `\|`) + "`"
}

// cell makes a text fit a table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "*", `\*`, "<", "&lt;").Replace(text)
}
