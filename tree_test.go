package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
)

// maxLines is the length over which a file is split; tests may be longer.
const maxLines = 600

func TestNoFileIsTooLong(t *testing.T) {
	for _, f := range parseAll(t) {
		data, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(data, []byte("\n")); n > maxLines && !f.test {
			t.Errorf("%s has %d lines; split it below %d", f.path, n, maxLines)
		}
	}
}

// folderName finds names like `internal/queue/` in a text: in backquotes, ended by a
// slash. `dispatch/target/...` counts too, and stands for its root.
var folderName = regexp.MustCompile("`([a-z][A-Za-z0-9_./-]*)/(?:\\.\\.\\.)?`")

func architecture(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestArchitectureNamesOnlyFoldersThatExist(t *testing.T) {
	named := folderName.FindAllStringSubmatch(architecture(t), -1)
	if len(named) == 0 {
		t.Error("ARCHITECTURE.md names no folder in the form `name/`")
	}
	for _, m := range named {
		if info, err := os.Stat(m[1]); err != nil || !info.IsDir() {
			t.Errorf("ARCHITECTURE.md names the folder %s, which does not exist", m[1])
		}
	}
}

// TestArchitecturePrintsTheTestedTable: the rules that people read are those of
// arch_test.go, word for word.
func TestArchitecturePrintsTheTestedTable(t *testing.T) {
	var want strings.Builder
	want.WriteString("| folder | may import | because |\n|---|---|---|\n")
	for _, row := range importTable {
		may := "nothing of this module"
		switch {
		case len(row.may) == 1 && row.may[0] == anything:
			may = "everything"
		case len(row.may) > 0:
			may = "`" + strings.Join(row.may, "`, `") + "`"
		}
		want.WriteString("| `" + row.in + "` | " + may + " | " + row.why + " |\n")
	}
	if !strings.Contains(architecture(t), want.String()) {
		t.Errorf("ARCHITECTURE.md does not hold the import table of arch_test.go; put in:\n\n%s", want.String())
	}
}

// registryHosts are written in two halves: this file is searched, too.
var registryHosts = []string{
	"proxy." + "golang.org", "sum." + "golang.org", "goproxy" + ".io", "goproxy" + ".cn",
	"registry." + "npmjs.org", "registry." + "yarnpkg.com", "pypi" + ".org", "files." + "pythonhosted.org",
	"crates" + ".io", "rubygems" + ".org", "deb." + "debian.org", "archive." + "ubuntu.com",
}

// TestNoRegistryIsNamed: where packages come from is the business of the machine that
// builds, and often a mirror.
func TestNoRegistryIsNamed(t *testing.T) {
	walk(t, func(path string) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range registryHosts {
			if strings.Contains(string(data), host) {
				t.Errorf("%s names the package registry %s", path, host)
			}
		}
	})
}
