package editor

import (
	"bytes"
	"testing"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"headgate/config/secret"
	"headgate/config/unit"
	"headgate/config/yamlsrc"
)

type words []string

type many []part

// DecodeYAML implements yamlsrc.Decoder.
func (m *many) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	if n.Kind == yamlsrc.Map {
		*m = make(many, 1)
		n.Decode(&(*m)[0], report)
		return
	}
	type plain many
	n.Decode((*plain)(m), report)
}

type base struct {
	Name string `yaml:"name,required"`
}

type part struct {
	Wait unit.Duration `yaml:"wait,required"`
	Max  unit.Size     `yaml:"max"`
}

type sample struct {
	base   `yaml:",inline"`
	Words  words           `yaml:"words" jsonschema:"oneof_type=string;array"`
	Rate   unit.Rate       `yaml:"rate"`
	Token  secret.Ref      `yaml:"token"`
	Raw    *yamlsrc.Node   `yaml:"raw" jsonschema_description:"Anything."`
	Other  *yamlsrc.Node   `yaml:"other"`
	Parts  []part          `yaml:"parts"`
	ByName map[string]part `yaml:"by_name"`
	Either *part           `yaml:"either" jsonschema:"oneof_type=string;object"`
	Many   many            `yaml:"many" jsonschema:"oneof_type=object;array"`
	Hidden string          `yaml:"-"`
	GoOnly string
}

func TestSchemaAgreesWithDecode(t *testing.T) {
	defs := jsonschema.Definitions{}
	schema := Schema(&sample{}, defs)
	schema.Definitions = defs
	text, err := Encode(schema)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Count(text, []byte("Anything.")) != 1 {
		t.Errorf("one field's description is another's too:\n%s", text)
	}
	doc, err := validator.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := validator.NewCompiler()
	if err := compiler.AddResource("s.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("s.json")
	if err != nil {
		t.Fatal(err)
	}
	for yaml, valid := range map[string]bool{
		"name: a": true,
		"{name: a, raw: [1, {x: y}], other: 1, rate: 5/m}":   true,
		"{name: a, token: {env: A}}":                         true,
		"{name: a, parts: [{wait: 7d, max: 5}]}":             true,
		"{name: a, parts: [{wait: 1m30s, max: 1.5MB}]}":      true,
		"{name: a, by_name: {x: {wait: 0}}}":                 true,
		"{name: a, either: {wait: 1s}}":                      true,
		"{name: a, either: {max: 1}}":                        false,
		"{name: a, either: {wait: 1s, unknown: true}}":       false,
		"{name: a, either: [x]}":                             false,
		"{name: a, many: {wait: 1s}}":                        true,
		"{name: a, many: [{wait: 1s}, {wait: 2s}]}":          true,
		"{name: a, many: [{max: 1}]}":                        false,
		"{name: a, many: {max: 1}}":                          false,
		"{name: a, many: 1}":                                 false,
		"{}":                                                 false,
		"{name: a, Hidden: b}":                               false,
		"{name: a, GoOnly: b}":                               false,
		"{name: a, base: {}}":                                false,
		"{name: a, rate: 5}":                                 false,
		"{name: a, token: clear}":                            false,
		"{name: a, parts: [{}]}":                             false,
		"{name: a, parts: [{wait: soon}]}":                   false,
		"{name: a, by_name: {x: {wait: 1s, max: big}}}":      false,
		"{name: a, by_name: {x: {wait: 1s, unknown: true}}}": false,
	} {
		var report yamlsrc.Report
		n := yamlsrc.Parse("f", []byte(yaml), &report)
		if err := compiled.Validate(n.Value()); (err == nil) != valid {
			t.Errorf("%s: schema says %v", yaml, err)
		}
		if n.Decode(&sample{}, &report); (report.Len() == 0) != valid {
			t.Errorf("%s: decoding says %v", yaml, report.Err())
		}
	}
	// Only the schema knows that a word may stand for a list: its type decodes itself.
	for yaml, valid := range map[string]bool{"{name: a, either: b}": true, "{name: a, words: b}": true, "{name: a, words: [b, c]}": true, "{name: a, words: [{}]}": false, "{name: a, words: {}}": false} {
		if err := compiled.Validate(yamlsrc.Parse("f", []byte(yaml), new(yamlsrc.Report)).Value()); (err == nil) != valid {
			t.Errorf("%s: %v", yaml, err)
		}
	}
}
