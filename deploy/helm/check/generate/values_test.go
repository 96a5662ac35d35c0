package main

import (
	"os"
	"path"
	"strings"
	"testing"
)

func read(t *testing.T, values, types string) (*value, error) {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	for name, text := range map[string]string{valuesFile: values, typesFile: types} {
		if err := root.MkdirAll(path.Dir(name), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := root.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return readValues(root)
}

const types = "types: {count: {type: integer}}\nvalues: {group: {pods: count}}\n"

func TestValuesAndTypesAreJoined(t *testing.T) {
	got, err := read(t, "# Of the file.\n\n# A group\n# of values.\n#\n# An example.\ngroup:\n  # How many.\n  pods: 2\n", types)
	if err != nil {
		t.Fatal(err)
	}
	group := got.members[0]
	if group.comment != "A group of values." || group.members[0].comment != "How many." {
		t.Errorf("comments: %q, %q", group.comment, group.members[0].comment)
	}
	const want = "| value | default | meaning |\n|---|---|---|\n| **`group`** | | A group of values. |\n| `group.pods` | `2` | How many. |\n"
	if table := valuesTable(got); table != want {
		t.Errorf("the table is\n%s", table)
	}
	pods := of(got, nil)["properties"].(schema)["group"].(schema)["properties"].(schema)["pods"].(schema)
	if pods["type"] != "integer" || pods["description"] != "How many." {
		t.Errorf("the schema of pods is %v", pods)
	}
}

func TestWhatIsMissingIsTold(t *testing.T) {
	for name, tt := range map[string]struct{ values, types, says string }{
		"a comment":      {"# G.\ngroup:\n  pods: 2\n", types, "values.yaml:3: group.pods has no comment"},
		"a type":         {"# G.\ngroup:\n  # P.\n  pods: 2\n  # S.\n  size: 1\n", types, "group.size has no type"},
		"a value":        {"# G.\ngroup: {}\n", types, "group.pods is not in values.yaml"},
		"the type named": {"# G.\ngroup:\n  # P.\n  pods: 2\n", strings.Replace(types, "{count:", "{counts:", 1), `the type "count", which is not there`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := read(t, tt.values, tt.types); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v does not say %q", err, tt.says)
			}
		})
	}
}
