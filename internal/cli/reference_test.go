package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"headgate/config"
	"headgate/dispatch/fault"
	"headgate/gateway"
	"headgate/internal/app"
	"headgate/internal/obs"
	"headgate/internal/routetests"
	"headgate/recipes"
	"headgate/routes"
)

// writeReference runs the command and gives what it wrote.
func writeReference(t *testing.T) map[string]string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "reference") // made by the command
	root := newRoot()
	root.SetArgs([]string{"reference", "--dir", dir})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		pages[f.Name()] = string(text)
	}
	return pages
}

func TestReferenceHasEverything(t *testing.T) {
	pages := writeReference(t)
	want := map[string][]string{}
	wantKeys := func(page string, text []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for key := range schemaKeys(t, text) {
			want[page] = append(want[page], key)
		}
	}
	text, err := config.Schema()
	wantKeys("configuration.md", text, err)
	text, err = routes.Schema(app.Builtin())
	wantKeys("routes.md", text, err)
	text, err = routetests.Schema()
	wantKeys("tests.md", text, err)
	for _, r := range recipes.All() {
		want["recipes.md"] = append(want["recipes.md"], "\n## "+r.Name+"\n")
		for _, p := range r.With {
			want["recipes.md"] = append(want["recipes.md"], "| `"+p.Name+"` | "+string(p.Kind)+" |")
		}
	}
	for _, p := range gateway.Problems() {
		want["problems.md"] = append(want["problems.md"], "| `"+p.Slug+"` |", p.Title)
	}
	for _, r := range fault.All() {
		want["reasons.md"] = append(want["reasons.md"], "| `"+string(r)+"` |")
	}
	figures, err := obs.Figures()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range figures {
		want["metrics.md"] = append(want["metrics.md"], "| `"+f.Name+"` | "+f.Type+" |")
	}
	each(newRoot(), func(c *cobra.Command) {
		if heading := "\n## `" + c.CommandPath() + "`\n"; c.Hidden {
			if strings.Contains(pages["commands.md"], heading) {
				t.Errorf("commands.md shows the hidden %s", c.CommandPath())
			}
		} else {
			want["commands.md"] = append(want["commands.md"], heading)
		}
	})
	want["admin.md"] = []string{"| `GET /readyz` | Can requests be taken? ", "| `POST /targets/{name}/drain` | ", "`cross-origin`"}
	if len(want["configuration.md"]) < 40 || len(want["routes.md"]) < 80 || len(want["commands.md"]) < 10 {
		t.Error("the test looks for too little")
	}
	for page, words := range want {
		for _, word := range words {
			if !strings.Contains(pages[page], word) {
				t.Errorf("%s does not have %q", page, word)
			}
		}
		if !strings.Contains(pages["README.md"], "("+page+")") {
			t.Errorf("README.md has no link to %s", page)
		}
	}
	if len(pages) != len(want)+1 {
		t.Errorf("%d pages, want %d and the index", len(pages), len(want))
	}
}

// schemaKeys gives every key that a schema document names, as pages show it: the end of
// a path in backquotes.
func schemaKeys(t *testing.T, document []byte) map[string]bool {
	t.Helper()
	var root any
	if err := json.Unmarshal(document, &root); err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	var walk func(any)
	walk = func(value any) {
		switch v := value.(type) {
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			properties, _ := v["properties"].(map[string]any)
			// {env: ENV} or {file: FILE} stand in their places.
			secret := len(properties) == 2 && properties["env"] != nil && properties["file"] != nil
			for key := range properties {
				if secret {
					keys["{"+key+": "] = true
				} else {
					keys[key+"` |"] = true
				}
			}
			for key, item := range v {
				if key != "allOf" { // what a recipe takes has a page of its own
					walk(item)
				}
			}
		}
	}
	walk(root)
	return keys
}

func each(parent *cobra.Command, do func(*cobra.Command)) {
	for _, c := range parent.Commands() {
		do(c)
		each(c, do)
	}
}

// TestReferenceIsOfNoMachine: the pages are the same wherever they are made, and hold
// nothing of the environment, which has secrets.
func TestReferenceIsOfNoMachine(t *testing.T) {
	first := writeReference(t)
	for _, name := range []string{"HEADGATE_TOKEN", "HEADGATE_ADMIN_TOKEN", "HEADGATE_URL"} {
		t.Setenv(name, "of-this-machine")
	}
	second := writeReference(t)
	for page, text := range first {
		if !bytes.Equal([]byte(text), []byte(second[page])) {
			t.Errorf("%s differs from one run to the next:\n%s", page, second[page])
		}
	}
}

func TestReferenceLinks(t *testing.T) {
	for page, text := range writeReference(t) {
		for _, part := range strings.Split(text, "](#")[1:] {
			anchor, _, _ := strings.Cut(part, ")")
			found := false
			for line := range strings.Lines(text) {
				if heading, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && line[0] == '#' {
					name := strings.NewReplacer("`", "", ".", "", "[", "", "]", "", " ", "-").Replace(strings.ToLower(strings.TrimSpace(heading)))
					found = found || name == anchor
				}
			}
			if !found {
				t.Errorf("%s: no heading for the link #%s", page, anchor)
			}
		}
	}
}

func TestReferenceNeedsAFolder(t *testing.T) {
	root := newRoot()
	root.SetArgs([]string{"reference"})
	if err := root.Execute(); err == nil || !strings.Contains(err.Error(), "--dir") {
		t.Errorf("error %v, want one that names --dir", err)
	}
}
