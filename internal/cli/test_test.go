package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testExample runs `headgate test` on a file in the folder of the example's routes.
func testExample(t *testing.T, file string) (string, error) {
	t.Helper()
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetArgs([]string{"test", "-c", "../../examples/quickstart/headgate.yaml", file})
	err := root.Execute()
	return out.String(), err
}

// TestExamplesTests: those that people copy from pass, and see a difference.
func TestExamplesTests(t *testing.T) {
	const file = "../../examples/quickstart/routes/profiles_test.yaml"
	if out, err := testExample(t, file); err != nil || !strings.HasSuffix(out, "\n5 passed, 0 failed\n") {
		t.Errorf("%v:\n%s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(t.TempDir(), "changed_test.yaml")
	text = bytes.Replace(text, []byte("email: ada@example.com"), []byte("email: Ada@example.com"), 1)
	if err := os.WriteFile(changed, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := testExample(t, changed)
	if err == nil || !strings.Contains(out, `crm call 1: json.email: want "Ada@example.com", got "ada@example.com"`) {
		t.Errorf("%v:\n%s", err, out)
	}
}

// TestEnvironmentsAreApart: files of tests that declare other values see other routes,
// and a problem that all of them have is told once.
func TestEnvironmentsAreApart(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"headgate.yaml": "admin: {token: {env: T}}\nroutes_may_read: {env: [CRM_URL]}\n",
		"routes/a.yaml": "targets: {crm: {url: \"${CRM_URL}\", post: /a}}\nroutes: [{name: a, match: POST /a, auth: none, targets: {crm: }}]\n",
		"one.yaml":      "env: {CRM_URL: https://one.example}\ntests:\n" + callOf("https://one.example/a"),
		"two.yaml":      "env: {CRM_URL: https://two.example}\ntests:\n" + callOf("https://two.example/a"),
		"none.yaml":     "tests:\n" + callOf("https://one.example/a"),
		"wrong.yaml":    "lissten: :8080\nadmin: {token: {env: T}}\nroutes_may_read: {env: [CRM_URL]}\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	suites, err := runTests(t.Context(), in("headgate.yaml"), []string{in("one.yaml"), in("two.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range suites {
		if len(s.Results) != 1 || len(s.Results[0].Failures) > 0 {
			t.Errorf("%s: %+v", s.File, s.Results)
		}
	}
	_, err = runTests(t.Context(), in("wrong.yaml"), []string{in("one.yaml"), in("two.yaml"), in("none.yaml")})
	if err == nil {
		t.Fatal("no problem was found")
	}
	for _, want := range []string{`unknown key "lissten"`, "${CRM_URL}: the environment variable is not set"} {
		if n := strings.Count(err.Error(), want); n != 1 {
			t.Errorf("%q is told %d times, want once:\n%v", want, n, err)
		}
	}
}

func callOf(url string) string {
	return "- name: a\n  request: {method: POST, path: /a, body: {}}\n  targets: {crm: {calls: [{expect: {url: \"" + url + "\"}, answer: {status: 200}}]}}\n"
}
