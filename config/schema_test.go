package config

import (
	"bytes"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"headgate/config/yamlsrc"
)

func TestSchema(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := Schema(); !bytes.Equal(text, again) {
		t.Error("two calls give two schemas")
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("headgate.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("headgate.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		yaml  string
		valid bool
	}{
		"everything":        {full, true},
		"a little":          {"admin: {listen: off}\nroutes: ['*.yaml']\nlimits: {max_body: 100, shutdown: 0}\n", true},
		"embedded":          {"redis: {url: embedded}\n", true},
		"from a variable":   {"redis: {url: '${REDIS_URL}'}\nlimits: {max_body: '${MAX}'}\n", true},
		"unknown key":       {"lisen: a\n", false},
		"unknown deep":      {"telemetry: {log: {colour: true}}\n", false},
		"secret in clear":   {"admin: {token: abc}\n", false},
		"two places":        {"admin: {token: {env: A, file: B}}\n", false},
		"bad duration":      {"limits: {shutdown: soon}\n", false},
		"bad size":          {"limits: {max_body: 10 bananas}\n", false},
		"bad level":         {"telemetry: {log: {level: loud}}\n", false},
		"bad Redis":         {"redis: {url: 'http://x'}\n", false},
		"Go name of fields": {"RouteFiles: []\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			var report yamlsrc.Report
			value := yamlsrc.Parse("f", []byte(tc.yaml), &report).Value()
			if report.Len() > 0 {
				t.Fatal(report.Err())
			}
			if err := schema.Validate(value); (err == nil) != tc.valid {
				t.Errorf("validate: %v", err)
			}
		})
	}
}
