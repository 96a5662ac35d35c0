// Package check holds what ships Headgate against the tools that would use it: the Dockerfile, the
// containers of deploy/compose and the configuration of releases. No engine is needed: where
// the kernel lets root make namespaces, the image is built and the containers are run in some.
package check

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// root is the repository's folder.
const root = "../.."

func TestMain(m *testing.M) {
	becomeContainer() // when this process was started to be one, it does not return
	os.Exit(m.Run())
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func absolute(t testing.TB, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// output runs a program in the repository's folder and gives what it prints.
func output(t testing.TB, env []string, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), env...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", program, strings.Join(args, " "), err, out, errs.String())
	}
	return strings.TrimSpace(string(out))
}
