package reference

import (
	"strings"
	"testing"
)

func TestProse(t *testing.T) {
	for text, want := range map[string]string{
		"plain words, 5xx.":                        "plain words, 5xx.",
		"a ${{ .claims.org }} and ${NAME}.":        "a `${{ .claims.org }}` and `${NAME}`.",
		"{basic: {user: TEXT, password: REF}} or":  "`{basic: {user: TEXT, password: REF}}` or",
		"see dead_letters.retention.":              "see `dead_letters.retention`.",
		"wildcards: CRM_*.":                        "wildcards: `CRM_*`.",
		"GET /tracking/<id> tells":                 "GET `/tracking/<id>` tells",
		"stands as <saved.name>.":                  "stands as `<saved.name>`.",
		"unix:///path, rediss:// and https://a.b.": "`unix:///path`, `rediss://` and `https://a.b`.",
		"unless --new-key is given":                "unless `--new-key` is given",
		"as .saved.NAME, not and/or":               "as `.saved.NAME`, not and/or",
		"`kept_as` it is":                          "`kept_as` it is",
		`application/*+json < Company\user`:        `application/\*+json \< Company\\user`,
	} {
		if got := prose(text); got != want {
			t.Errorf("%s\nis  %s\nnot %s", text, got, want)
		}
	}
}

func TestSplitDefault(t *testing.T) {
	for text, want := range map[string][2]string{
		"How long. Default 10s.":              {"How long.", "`10s`"},
		"Files. Default: routes/*.yaml.":      {"Files.", "`routes/*.yaml`"},
		"Authorities. Default: the system's.": {"Authorities.", "the system's"},
		"Off by default.":                     {"Off by default.", ""},
		"One. Default 1. More words.":         {"One. Default 1. More words.", ""},
	} {
		if meaning, standard, _ := splitDefault(text); meaning != want[0] || standard != want[1] {
			t.Errorf("%s: %q, %q", text, meaning, standard)
		}
	}
}

func TestSchemaPage(t *testing.T) {
	const document = `{
		"$ref": "#/$defs/a.Root", "$defs": {
			"a.Part": {"type": "object", "properties": {"deep": {"type": "boolean", "description": "Deep|er."}}, "required": ["deep"]},
			"a.Root": {"type": "object", "properties": {
				"wait": {"type": "string", "description": "Wait. Default 60s."},
				"one": {"$ref": "#/$defs/a.Part", "description": "First."},
				"more": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/a.Part"}}, {"type": "null"}]},
				"by": {"type": "object", "additionalProperties": {"oneOf": [{"type": "string"}, {"type": "integer", "minimum": 1}]}},
				"secret": {"type": "object", "minProperties": 1, "maxProperties": 1, "properties": {"env": {"type": "string"}, "file": {"type": "string"}}},
				"free": {}, "open": {"type": "object"}, "level": {"enum": ["low", "high"], "default": "low"}
			}}
		}}`
	page, err := schemaPage([]byte(document), "", map[string]any{"wait": "1m", "one": map[string]any{"deep": true}})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		"| `wait` | string | `60s` | Wait. |",
		"| `one` | [mapping](#one) |  | First. |",
		"| `more` | list of [mappings](#one) |  |  |",
		"| `by` | by NAME: string or integer, at least 1 |  |  |",
		"| `secret` | `{env: ENV}` or `{file: FILE}` |  |  |",
		"| `free` | any value |  |  |",
		"| `open` | mapping |  |  |",
		"| `level` | `low` or `high` | `low` |  |",
		"## `one`",
		`| ` + "`one.deep`" + ` | boolean | **required** | Deep\|er. |`,
	} {
		if !strings.Contains(string(page), row+"\n") {
			t.Errorf("no line %s in\n%s", row, page)
		}
	}

	_, err = schemaPage([]byte(document), "", map[string]any{"wait": "30s"})
	if err == nil || !strings.Contains(err.Error(), "wait") {
		t.Errorf("a description with another default than the code's: error %v", err)
	}
}
