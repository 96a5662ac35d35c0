package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"headgate/internal/cli"
)

// wraps are what a block of YAML can be, by the rest of its info string or by its keys:
// how it becomes the operator's file and a route file. The others are in checkYAML.
var wraps = map[string]func(text string) (config, routes string){
	"config": func(text string) (string, string) { return text, "" },
	"routes": func(text string) (string, string) { return plainConfig, text },
	// The keys of one target.
	"target": func(text string) (string, string) {
		text = withKeys(text, "url|recipe: x", "url: https://backend.example.com")
		text = withKeys(text, "get|post|put|patch|delete|steps|recipe: x", "post: /records")
		return plainConfig, "targets:\n  example:\n" + indent(text, 4)
	},
	// The keys of one route.
	"route": func(text string) (string, string) {
		for _, line := range []string{"name: example", "match: POST /example/:id", "auth: none", "targets: {crm: {}}"} {
			text = withKeys(text, line, line)
		}
		return plainConfig, "routes:\n  -\n" + indent(text, 4)
	},
}

// withKeys puts a line before a text that has none of the keys before the colon.
func withKeys(text, keys, line string) string {
	keys, _, _ = strings.Cut(keys, ":")
	if regexp.MustCompile(`(?m)^(` + keys + `):`).MatchString(text) {
		return text
	}
	return line + "\n" + text
}

const plainConfig = "redis: {url: embedded}\nadmin: {token: {env: HEADGATE_ADMIN_TOKEN}}\nroutes_may_read: {env: ['*'], files: [/]}\n"

// around gives a route file with what another one leaves out: targets and authenticators
// that its routes name, or a route that feeds its targets.
func around(text string) (string, error) {
	var doc struct {
		Auth    map[string]any
		Targets map[string]any
		Routes  []struct {
			Auth    any
			Targets map[string]any
		}
	}
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return "", err
	}
	targets, auth := map[string]any{}, map[string]any{}
	for _, route := range doc.Routes {
		for name := range route.Targets {
			targets[name] = map[string]any{"url": "https://" + name + ".example.com", "post": "/"}
		}
		names := route.Auth
		if either, ok := names.(map[string]any); ok {
			names = either["any"]
		}
		for _, name := range strings.Fields(strings.Trim(fmt.Sprint(names), "[]")) {
			auth[name] = map[string]any{"jwt": map[string]any{
				"issuer": "https://id.example.com", "audience": "headgate", "algorithms": []string{"HS256"},
				"key": map[string]any{"env": "HEADGATE_ADMIN_TOKEN"},
			}}
		}
	}
	delete(auth, "none")
	maps.DeleteFunc(targets, func(name string, _ any) bool { return doc.Targets[name] != nil })
	maps.DeleteFunc(auth, func(name string, _ any) bool { return doc.Auth[name] != nil })
	rest := map[string]any{"targets": targets, "auth": auth}
	if len(doc.Routes) == 0 {
		fed := map[string]any{"plain": nil}
		for name := range doc.Targets {
			fed[name] = nil
		}
		targets["plain"] = map[string]any{"url": "https://plain.example.com", "post": "/"}
		rest["routes"] = []any{map[string]any{"name": "plain", "match": "POST /plain/:id", "auth": "none", "targets": fed}}
	}
	out, err := yaml.Marshal(rest)
	return string(out), err
}

func indent(text string, n int) string {
	return regexp.MustCompile(`(?m)^(.)`).ReplaceAllString(text, strings.Repeat(" ", n)+"$1")
}

// keysOf are the keys of the first level that tell what a block is; those of the
// operator's file come from its schema.
var keysOf = map[string][]string{
	"routes": {"auth", "targets", "routes"},
	"tests":  {"env", "secrets", "tests"},
}

// kindOf says what a block of YAML is.
func kindOf(b *block) (string, error) {
	if b.kind != "" {
		return b.kind, nil
	}
	var doc yaml.MapSlice
	if err := yaml.Unmarshal([]byte(b.text), &doc); err != nil {
		return "", err
	}
	var schema struct {
		Defs map[string]struct{ Properties map[string]any } `json:"$defs"`
	}
	text, err := os.ReadFile("schemas/headgate.schema.json")
	if err == nil {
		err = json.Unmarshal(text, &schema)
	}
	if err != nil {
		return "", err
	}
	known := maps.Clone(keysOf)
	known["config"] = slices.Collect(maps.Keys(schema.Defs["config.Config"].Properties))
	var kinds []string
	for kind, keys := range known {
		if len(doc) > 0 && !slices.ContainsFunc(doc, func(item yaml.MapItem) bool { return !slices.Contains(keys, fmt.Sprint(item.Key)) }) {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) != 1 {
		return "", errors.New("its keys do not tell what it is: write yaml config, routes, tests, target, route or values behind the backquotes, or " +
			"<!-- not checked: why --> before the block")
	}
	return kinds[0], nil
}

// checkYAML holds a block against what Headgate takes.
func checkYAML(t *testing.T, b *block) error {
	kind, err := kindOf(b)
	if err != nil {
		return err
	}
	switch wrap := wraps[kind]; {
	case wrap != nil:
		config, routes := wrap(b.text)
		return checkFiles(t, config, routes)
	case kind == "tests":
		return checkDocument(b.text, "schemas/tests.schema.json")
	case kind == "values":
		value, err := decode(b.text)
		if err != nil {
			return err
		}
		return checkValues(value)
	}
	return fmt.Errorf("there is no kind %q of YAML", kind)
}

// checkFiles does what `headgate check` does.
func checkFiles(t *testing.T, config, routes string) error {
	dir := t.TempDir()
	rest, err := around(routes)
	if err != nil {
		return err
	}
	config = regexp.MustCompile(`(?m)^routes:.*\n`).ReplaceAllString(config, "")
	config = withKeys(config, "admin", "admin: {token: {env: HEADGATE_ADMIN_TOKEN}}")
	write(t, filepath.Join(dir, "headgate.yaml"), []byte(config))
	if routes != "" { // a block of the operator's file has none, and an empty file is a mistake
		write(t, filepath.Join(dir, "routes/example.yaml"), []byte(routes))
	}
	write(t, filepath.Join(dir, "routes/rest.yaml"), []byte(rest))
	root, out := cli.Root(), new(bytes.Buffer)
	root.SetOut(out)
	root.SetArgs([]string{"check", "-c", filepath.Join(dir, "headgate.yaml")})
	if err := root.Execute(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// checkDocument holds YAML against one of the published schemas.
func checkDocument(text, schema string) error {
	raw, err := os.ReadFile(schema)
	if err != nil {
		return err
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	value, err := decode(text)
	if err != nil {
		return err
	}
	return checkSchema(document, value)
}

// decode gives YAML as the JSON value that it is.
func decode(text string) (any, error) {
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(raw))
}

var (
	variable  = regexp.MustCompile(`\$\{([A-Z][A-Z0-9_]*)\}`)
	secretRef = regexp.MustCompile(`\benv: ([A-Z][A-Z0-9_]*)`)
)

// setVariables gives every variable that a block names a value that passes for a URL and
// for a secret.
func setVariables(t *testing.T, pages []*page) {
	t.Helper()
	t.Setenv("HEADGATE_ADMIN_TOKEN", strings.Repeat("x", 64))
	for _, p := range pages {
		for _, b := range p.blocks {
			for _, pattern := range []*regexp.Regexp{variable, secretRef} {
				for _, m := range pattern.FindAllStringSubmatch(b.text, -1) {
					t.Setenv(m[1], "https://backend.example.com/"+strings.Repeat("x", 64))
				}
			}
		}
	}
}
