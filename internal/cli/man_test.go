package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// writeMan runs the command and gives the pages it wrote.
func writeMan(t *testing.T) (dir string, pages map[string]string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "man") // made by the command
	if _, err := command(t, "man", "--dir", dir); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	pages = map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		pages[f.Name()] = string(text)
	}
	return dir, pages
}

func TestManHasEveryCommand(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1767225600") // the first second of 2026
	dir, pages := writeMan(t)
	want := map[string]bool{"headgate.1": true}
	each(newRoot(), func(c *cobra.Command) {
		if c.Hidden {
			return
		}
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		want[name] = true
		if !strings.Contains(pages[name], strings.ReplaceAll(c.Short, "-", `\-`)) {
			t.Errorf("%s does not tell what the command does", name)
		}
	})
	for name, text := range pages {
		if !want[name] {
			t.Errorf("%s is of no command that help shows", name)
		}
		if head, _, _ := strings.Cut(text, "\n"); !strings.Contains(head, `"2026\-01\-01"`) {
			t.Errorf("%s begins with %s, without the date of the source", name, head)
		}
	}
	if len(pages) != len(want) {
		t.Errorf("%d pages, want %d", len(pages), len(want))
	}
	// What Markdown or roff would take for its own is there as it was written.
	for name, text := range map[string]string{
		"headgate.1":             "GET /tracking/<id> tells",
		"headgate-serve.1":       `\-c, \-\-config string`,
		"headgate-deadletters.1": "headgate\\-deadletters\\-replay (1)",
	} {
		if !strings.Contains(pages[name], text) {
			t.Errorf("%s does not have %q:\n%s", name, text, pages[name])
		}
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Log("groff is not on the PATH: how it reads the pages is not looked at")
		return
	}
	for name := range pages {
		out, err := exec.CommandContext(t.Context(), groff, "-man", "-Tutf8", "-ww", "-z", filepath.Join(dir, name)).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("groff does not like %s: %v\n%s", name, err, out)
		}
	}
}

// TestManIsOfNoMachine: the same binary writes the same pages, without secrets and, where no
// date is given, without one.
func TestManIsOfNoMachine(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "")
	_, first := writeMan(t)
	for _, name := range []string{"HEADGATE_TOKEN", "HEADGATE_ADMIN_TOKEN", "HEADGATE_URL"} {
		t.Setenv(name, "of-this-machine")
	}
	_, second := writeMan(t)
	for name, text := range first {
		if text != second[name] {
			t.Errorf("%s differs from one run to the next:\n%s", name, second[name])
		}
	}
}

func TestManRefusals(t *testing.T) {
	if _, err := command(t, "man"); err == nil || !strings.Contains(err.Error(), "--dir") {
		t.Errorf("error %v, want one that names --dir", err)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	if _, err := command(t, "man", "--dir", t.TempDir()); err == nil || !strings.Contains(err.Error(), `SOURCE_DATE_EPOCH is "yesterday"`) {
		t.Errorf("error %v, want one about SOURCE_DATE_EPOCH", err)
	}
}
