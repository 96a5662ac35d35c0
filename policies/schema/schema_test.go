package schema

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headgate/config/yamlsrc"
)

func compile(t testing.TB, dir, text string) (*Schema, *yamlsrc.Report) {
	t.Helper()
	report := &yamlsrc.Report{}
	node := yamlsrc.Parse("routes.yaml", []byte(text), report)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	return Compile(node, dir, report), report
}

func must(t testing.TB, dir, text string) *Schema {
	t.Helper()
	s, report := compile(t, dir, text)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	return s
}

func value(t testing.TB, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func told(t testing.TB, s *Schema, body string) string {
	t.Helper()
	var out []string
	for _, e := range s.Validate(value(t, body)) {
		out = append(out, e.Pointer+" "+e.Detail)
	}
	return strings.Join(out, "; ")
}

func TestValidate(t *testing.T) {
	tests := []struct{ name, schema, body, want string }{
		{"fits", "{type: object, required: [a]}", `{"a":1}`, ""},
		{"missing", "{required: [a, 'b/c']}", `{}`, "/a is missing; /b~1c is missing"},
		{"type", "{properties: {a: {type: [string, 'null']}}}", `{"a":1}`, "/a should be null or string, not number"},
		{"unknown field", "{additionalProperties: false}", `{"x":1}`, "/x is not known here"},
		{"enum", "{properties: {a: {enum: [x, 1]}}}", `{"a":2}`, `/a should be one of "x", 1`},
		{"const", "{const: true}", `false`, " should be true"},
		{"length", "{minLength: 1}", `""`, " should have 1 character or more, not 0"},
		{"items", "{maxItems: 2}", `[1,2,3]`, " should have 2 items or fewer, not 3"},
		{"pattern", "{items: {pattern: '^a'}}", `["b"]`, `/0 does not match the pattern "^a"`},
		{"e-mail", "{format: email}", `"nobody"`, " is not a valid email"},
		{"date-time", "{format: date-time}", `"yesterday"`, " is not a valid date-time"},
		{"uuid", "{format: uuid}", `"1"`, " is not a valid uuid"},
		{"minimum", "{minimum: 1.5}", `1`, " should be 1.5 or more"},
		{"one of none", "{oneOf: [{type: string}, {type: boolean}]}", `1`, " should be boolean, not number;  should be string, not number"},
		{"one of two", "{oneOf: [{type: integer}, {type: number}]}", `1`, " fits more than one of the allowed forms"},
		{"not", "{not: {type: string}}", `"a"`, " has a form that is not allowed"},
		{"all leaves", "{allOf: [{required: [a]}, {required: [b]}]}", `{}`, "/a is missing; /b is missing"},
		{"same leaf once", "{allOf: [{required: [a]}, {required: [a]}]}", `{}`, "/a is missing"},
		{"definitions", "{$ref: '#/$defs/p', $defs: {p: {required: [a]}}}", `{}`, "/a is missing"},
		{"dependent", "{dependentRequired: {a: [b]}}", `{"a":1}`, `/b is missing: it belongs to "a"`},
		{"false", "{properties: {a: false}}", `{"a":1}`, "/a is not allowed here"},
		// Numbers beyond float64's 53 bits are told apart.
		{"big number, above", "{maximum: 9007199254740992}", `9007199254740993`, " should be 9007199254740992 or less"},
		{"big number, equal", "{maximum: 9007199254740993}", `9007199254740993`, ""},
		{"big constant", "{const: 12345678901234567890}", `12345678901234567891`, " should be 12345678901234567890"},
		{"whole number in another form", "{type: integer}", `1.0e2`, ""},
		{"decimal multiple", "{multipleOf: 0.1}", `0.3`, ""},
		{"beyond float64", "{type: integer}", `1e400`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := told(t, must(t, "", tt.schema), tt.body); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestAtMostMaxErrors(t *testing.T) {
	s := must(t, "", "{items: {type: string}}")
	body := "[" + strings.Repeat("1,", 50) + "1]"
	first := s.Validate(value(t, body))
	if len(first) != MaxErrors {
		t.Fatalf("%d errors", len(first))
	}
	if second := s.Validate(value(t, body)); fmt.Sprint(first) != fmt.Sprint(second) {
		t.Errorf("the same body has other faults: %v, %v", first, second)
	}
}

func TestLongValuesAreCutShort(t *testing.T) {
	got := must(t, "", "{const: '"+strings.Repeat("ü", 200)+"'}").Validate("x")
	if len(got) != 1 || len(got[0].Detail) > maxQuote+30 || !strings.Contains(got[0].Detail, "…") {
		t.Errorf("%+v", got)
	}
}

func TestFiles(t *testing.T) {
	dir := write(t, map[string]string{
		"schemas/profile.json": `{"type":"object","properties":{"a":{"$ref":"common/name.yaml"}}}`,
		"schemas/tabs.json":    "{\n\t\"type\": \"string\",\n\t\"pattern\": \"^\\\\d\\/$\"\n}",
		"schemas/common/name.yaml": "type: string\nmaxLength: 3\n" +
			"$comment: see ../profile.json\n",
	})
	if got, want := told(t, must(t, dir, "schemas/profile.json"), `{"a":"long"}`), "/a should have 3 characters or fewer, not 4"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := told(t, must(t, dir, "./schemas/tabs.json"), `"5/"`); got != "" {
		t.Errorf("got %q", got)
	}
	if doc, ok := must(t, dir, "schemas/profile.json").Document().(map[string]any); !ok || doc["type"] != "object" {
		t.Errorf("document %v", doc)
	}
}

func TestProblems(t *testing.T) {
	outside := write(t, map[string]string{"secret.json": `{"type":"string"}`})
	dir := write(t, map[string]string{
		"net.json":     `{"$ref":"https://example.com/a.json"}`,
		"id.json":      `{"$id":"https://example.com/a.json","$ref":"b.json"}`,
		"up.json":      `{"$ref":"../secret.json"}`,
		"abs.json":     `{"$ref":"file:///etc/passwd"}`,
		"gone.json":    `{"$ref":"nowhere.json"}`,
		"pointer.json": `{"$ref":"#/$defs/x"}`,
		"type.json":    "{\n  \"properties\": {\n    \"a\": {\"type\": \"strin\"}\n  }\n}",
		"type.yaml":    "properties:\n  a:\n    minLength: -1\n",
		"regex.json":   `{"pattern":"(?=x)"}`,
		"torn.json":    `{"type":`,
		"torn.yaml":    "a: [",
		"two.json":     `{} {}`,
	})
	if err := os.Symlink(filepath.Join(outside, "secret.json"), filepath.Join(dir, "link.json")); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, yaml, want string }{
		{"no file", "nowhere.json", "no such file"},
		{"network", "https://example.com/a.json", "never from the network"},
		{"out of the folder", "../secret.json", "must lie below the folder"},
		{"absolute", "/etc/passwd", "must lie below the folder"},
		{"link out of the folder", "link.json", "escapes"},
		{"a folder", ".", "not a file"},
		{"ref to the network", "net.json", "never from the network"},
		{"ref through $id", "id.json", "resolved against $id"},
		{"ref out of the folder", "up.json", "secret.json"},
		{"ref to an absolute file", "abs.json", "etc/passwd"},
		{"ref to no file", "gone.json", "nowhere.json"},
		{"ref to no part", "pointer.json", "#/$defs/NAME"},
		{"wrong type in JSON", "type.json", "type.json:3:19: schema: should be one of"},
		{"wrong length in YAML", "type.yaml", "type.yaml:3:16: schema: should be 0 or more"},
		{"regex", "regex.json", "no look-ahead"},
		{"torn JSON", "torn.json", "routes.yaml:1:1: schema torn.json: read it as JSON"},
		{"torn YAML", "torn.yaml", "torn.yaml:1:"},
		{"two documents", "two.json", "after top-level value"},
		{"inline", "{properties: {a: {type: strin}}}", "routes.yaml:1:25: schema: should be one of"},
		{"a number", "42", "should be the path of a schema"},
		{"a list", "[a]", "should be the path of a schema"},
		{"nothing", "", "should be the path of a schema"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, report := compile(t, dir, tt.yaml)
			if s != nil {
				t.Error("compiled in spite of it")
			}
			err := report.Err()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("problems: %v\nwant %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "root:x:") {
				t.Errorf("a file outside was read: %v", err)
			}
		})
	}
}

func FuzzCompile(f *testing.F) {
	f.Add(`{"type":"object","properties":{"a":{"$ref":"#/$defs/b"}}}`, `{"a":1}`)
	f.Add(`{"oneOf":[{"type":"string"},true]}`, `"x"`)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, schema, body string) {
		report := &yamlsrc.Report{}
		node := yamlsrc.Parse("routes.yaml", []byte(schema), report)
		var v any
		if report.Len() > 0 || json.Unmarshal([]byte(body), &v) != nil {
			return
		}
		if s := Compile(node, dir, report); s != nil {
			if report.Len() > 0 {
				t.Fatalf("compiled with problems: %v", report.Err())
			}
			s.Validate(v)
		} else if report.Len() == 0 {
			t.Fatal("not compiled, and no problem told")
		}
	})
}

func BenchmarkValidate(b *testing.B) {
	s := must(b, "", "{type: object, required: [email], properties: {email: {type: string, format: email}, age: {type: integer, minimum: 0}}, additionalProperties: false}")
	v := value(b, `{"email":"a@example.com","age":42}`)
	b.ReportAllocs()
	for b.Loop() {
		if len(s.Validate(v)) > 0 {
			b.Fatal("invalid")
		}
	}
}
