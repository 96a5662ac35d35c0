package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	sections = []string{"## What it means", "## See since when", "## What to do", "## When it is over"}

	codeBlock = regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```$")
	inline    = regexp.MustCompile("`(headgate [^`]+)`")
	ourMetric = regexp.MustCompile("`(headgate_[a-z_]+)[^`]*`")
	pageLink  = regexp.MustCompile(`\]\(([^):#]+)(?:#[^)]*)?\)`)
	heading   = regexp.MustCompile("(?m)^## `headgate ([a-z ]+)`$")
	flagRow   = regexp.MustCompile("(?m)^\\| `(?:-\\w, )?(--[a-z-]+)")
	flagUse   = regexp.MustCompile(`\s(--[a-z-]+)`)
)

// commands gives the flags of each command that there is.
func commands(t *testing.T) map[string][]string {
	t.Helper()
	known := map[string][]string{}
	text := read(t, "../docs/reference/commands.md")
	starts := heading.FindAllStringSubmatchIndex(text, -1)
	for i, at := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		flags := []string{}
		for _, row := range flagRow.FindAllStringSubmatch(text[at[1]:end], -1) {
			flags = append(flags, row[1])
		}
		known[text[at[2]:at[3]]] = flags
	}
	if len(known) < 10 {
		t.Fatalf("docs/reference/commands.md has %d commands that can be read", len(known))
	}
	return known
}

// command finds the longest name of a command that line begins with.
func command(known map[string][]string, line string) string {
	words := strings.Fields(strings.TrimPrefix(line, "headgate "))
	for n := min(2, len(words)); n > 0; n-- {
		name := strings.Join(words[:n], " ")
		if _, ok := known[name]; ok {
			return name
		}
	}
	return ""
}

func pages(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../docs/runbooks/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no run-books: %v", err)
	}
	return files
}

func TestRunbooks(t *testing.T) {
	known, metrics := commands(t), vocabulary(t)
	for _, file := range pages(t) {
		name, text := filepath.Base(file), read(t, file)
		var lines []string
		for _, block := range codeBlock.FindAllStringSubmatch(text, -1) {
			for line := range strings.Lines(block[1]) {
				if line = strings.TrimSpace(line); strings.HasPrefix(line, "headgate ") {
					lines = append(lines, line)
				}
			}
		}
		for _, m := range inline.FindAllStringSubmatch(text, -1) {
			lines = append(lines, m[1])
		}
		for _, line := range lines {
			c := command(known, line)
			if c == "" {
				t.Errorf("%s: there is no such command: %s", name, line)
			}
			for _, f := range flagUse.FindAllStringSubmatch(line, -1) {
				if !slices.Contains(known[c], f[1]) {
					t.Errorf("%s: headgate %s has no flag %s", name, c, f[1])
				}
			}
		}
		for _, m := range ourMetric.FindAllStringSubmatch(text, -1) {
			if _, ok := metrics[m[1]]; !ok {
				t.Errorf("%s: there is no metric %s", name, m[1])
			}
		}
		for _, m := range pageLink.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s leads to %s, which there is not", name, m[1])
			}
		}
		if name != "README.md" && len(lines) == 0 {
			t.Errorf("%s: no command", name)
		}
	}
}

// TestRunbooksAreOfOneForm, so that whoever is woken by one finds the way in the next, too.
func TestRunbooksAreOfOneForm(t *testing.T) {
	index := read(t, "../docs/runbooks/README.md")
	for _, name := range alertNames(t) {
		if !strings.Contains(index, "["+name+"]("+name+".md)") {
			t.Errorf("README.md does not list %s", name)
		}
		var found []string
		for line := range strings.Lines(read(t, "../docs/runbooks/"+name+".md")) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "###") {
				found = append(found, line)
			}
		}
		if want := append([]string{"# " + name}, sections...); !slices.Equal(found, want) {
			t.Errorf("%s.md has the headings %q, want %q", name, found, want)
		}
	}
}

var panelName = regexp.MustCompile(`(?:^|[^*])\*([^*\n]+(?:\n[^*\n]+)?)\*(?:[^*]|$)`)

// TestRunbooksNamePanels: what stands in italics is the title of a panel, a column of the overview's table,
// or a state that it shows.
func TestRunbooksNamePanels(t *testing.T) {
	names := []string{"half-open", "closed", "Status → Targets", "Redis", "Pending", "Failing", "In flight"}
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			names = append(names, p.Title)
		}
	}
	for _, file := range pages(t) {
		prose := codeBlock.ReplaceAllString(read(t, file), "")
		for _, m := range panelName.FindAllStringSubmatch(prose, -1) {
			if name := strings.Join(strings.Fields(m[1]), " "); !slices.Contains(names, name) {
				t.Errorf("%s speaks of %q, which is no panel", filepath.Base(file), name)
			}
		}
	}
}
