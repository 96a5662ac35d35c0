package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	section   = regexp.MustCompile(`(?ms)^## Your own route[^\n]*\n(.*?)^## `)
	yamlBlock = regexp.MustCompile("(?ms)`([a-z_./]+\\.yaml)`[^`]*?\n```yaml\n(.*?)^```$")
	shBlock   = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")
	// offline are the commands of the section that send nothing and end by themselves.
	offline = regexp.MustCompile(`(?m)^(export |\./headgate (check|explain|test|token) |\./headgate check$|TOKEN=)`)
)

// TestReadmeWorks does what the README tells a newcomer to do: its files are written out
// as they stand there, and its commands are run by a shell.
func TestReadmeWorks(t *testing.T) {
	t.Parallel()
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no sh on the PATH to run the README's commands with")
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	text := section.FindSubmatch(readme)
	if text == nil {
		t.Fatal("README.md has no section `## Your own route`")
	}
	dir := t.TempDir()
	for _, block := range yamlBlock.FindAllSubmatch(text[1], -1) {
		write(t, filepath.Join(dir, string(block[1])), block[2])
	}
	for _, name := range []string{"headgate.yaml", "routes/orders.yaml", "routes/orders_test.yaml"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Fatalf("the section has no block of YAML that is introduced as `%s`", name)
		}
	}
	binary, err := exec.LookPath("headgate")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary, filepath.Join(dir, "headgate")); err != nil {
		t.Fatal(err)
	}

	script := commands(text[1])
	if !strings.Contains(script, "./headgate check") || !strings.Contains(script, "./headgate explain ") || !strings.Contains(script, "./headgate test ") {
		t.Fatalf("the section lacks check, explain or test:\n%s", script)
	}
	cmd := exec.CommandContext(t.Context(), shell, "-e", "-u", "-c", script+"\necho \"token: $TOKEN\"")
	cmd.Dir = dir
	cmd.Env = []string{"HOME=/no-home", "PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=20"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the README's commands fail: %v\n%s\n%s", err, script, out)
	}
	for _, want := range []string{
		"headgate.yaml: 1 route, 1 target: no problem found",
		"target crm", "PUT http://127.0.0.1:7070/crm/contacts/7", "Authorization: Bearer ***",
		`{"email":"ada@example.com","total":12.50}`, "token: eyJ",
		"ok    an order reaches the CRM although it has a bad moment\n1 passed, 0 failed\n",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the README's commands do not print %q:\n%s", want, out)
		}
	}
}

// commands gives those of the section's commands that are run, each with the lines that
// continue it.
func commands(section []byte) string {
	var out []string
	for _, block := range shBlock.FindAllSubmatch(section, -1) {
		joined := strings.ReplaceAll(string(block[1]), "\\\n", " ")
		for line := range strings.Lines(joined) {
			if offline.MatchString(line) {
				out = append(out, strings.TrimSpace(line))
			}
		}
	}
	return strings.Join(out, "\n")
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
