package routes

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"headgate/config/yamlsrc"
)

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := Schema(registry(new([]string)))
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := Schema(registry(new([]string))); !bytes.Equal(text, again) {
		t.Error("two calls give two schemas")
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("routes.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("routes.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestSchema(t *testing.T) {
	schema := compileSchema(t)
	good, err := os.ReadFile("testdata/good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	route := func(rest string) string { return "routes: [{name: a, match: GET /a, " + rest + "}]" }
	for name, tc := range map[string]struct {
		yaml  string
		valid bool
	}{
		"good.yaml":         {string(good), true},
		"empty parts":       {"auth:\ntargets:\nroutes:\n", true},
		"short forms":       {route("auth: mobile, targets: {crm: }, idempotency: off"), true},
		"unknown top key":   {"rotes: []", false},
		"unknown policy":    {route("auth: none, targets: {crm: }, ratelimit: []"), false},
		"scopes outside":    {route("auth: none, targets: {crm: }, scopes: []"), false},
		"bad policy":        {route("auth: none, targets: {crm: }, body: {maximum: 1}"), false},
		"no auth":           {route("targets: {crm: }"), false},
		"no targets":        {route("auth: none, targets: {}"), false},
		"bad method":        {"routes: [{name: a, match: FETCH /a, auth: none, targets: {crm: }}]", false},
		"bad binding":       {route("auth: none, targets: {crm: {transfrom: 1}}"), false},
		"bad mode":          {route("auth: none, targets: {crm: }, idempotency: maybe"), false},
		"bad rule":          {route("auth: none, targets: {crm: }, done_when: most"), false},
		"unknown kind":      {"auth: {a: {saml: {}}}", false},
		"two kinds":         {"auth: {a: {jwt: {}, api_key: {}}}", false},
		"secret in clear":   {"auth: {a: {jwt: {token: abc}}}", false},
		"unknown in target": {"targets: {crm: {url: 'https://a', post: /, rety: {}}}", false},
		"bodies":            {"targets: {a: {url: 'https://a', post: /, csv: x}, b: {url: 'https://a', post: /, csv: [x]}, c: {url: 'https://a', post: /, gzip: true, csv: {rows: x, columns: [y], 'null': ''}}}", true},
		"parts":             {"targets: {a: {url: 'https://a', post: /, multipart: [{name: x, csv: {rows: x}}, {name: y, raw: z}]}}", true},
		"csv without rows":  {"targets: {a: {url: 'https://a', post: /, csv: {columns: union}}}", false},
		"unknown in csv":    {"targets: {a: {url: 'https://a', post: /, csv: {rows: x, colums: union}}}", false},
		"part without name": {"targets: {a: {url: 'https://a', post: /, multipart: [{raw: x}]}}", false},
		"xml without root":  {"targets: {a: {url: 'https://a', post: /, xml: {value: x}}}", false},
		"target's auth":     {"targets: {a: {url: 'https://a', post: /, auth: {webhook: {secret: {env: A}}}}, b: {url: 'https://a', post: /, auth: none}}", true},
		"secret in target":  {"targets: {crm: {url: 'https://a', post: /, auth: {bearer: abc}}}", false},
		"two ways":          {"targets: {crm: {url: 'https://a', post: /, auth: {bearer: {env: A}, webhook: {secret: {env: A}}}}}", false},
		"bad algorithm":     {"targets: {crm: {url: 'https://a', post: /, auth: {hmac: {header: X-S, secret: {env: A}, algorithm: md5}}}}", false},
		"recipe":            {"targets: {a: {recipe: webhook, with: {url: 'https://a', secret: {env: A}}, retry: {attempts: 3}}}", true},
		"unknown recipe":    {"targets: {a: {recipe: webhok}}", false},
		"unknown parameter": {"targets: {a: {recipe: webhook, with: {url: x, secret: {env: A}, secrets: x}}}", false},
		"missing parameter": {"targets: {a: {recipe: webhook, with: {url: x}}}", false},
		"neither of both":   {"targets: {a: {post: /}}", false},
		"bad duration":      {"targets: {crm: {url: 'https://a', post: /, limits: {timeout: soon}}}", false},
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

// Every key that a person may write says what it means.
func TestSchemaDescribes(t *testing.T) {
	text, err := Schema(registry(new([]string)))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"$schema": "https://json-schema.org/draft/2020-12/schema"`, "Who may call:", "What the route feeds", "Condition on .body", "How long a key is remembered",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is not in the schema", want)
		}
	}
}
