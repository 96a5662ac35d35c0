package yamlsrc

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func FuzzParseDecode(f *testing.F) {
	for _, seed := range []string{
		"", "a: 1\n", "level: [1\n", "inner: {name: ${{ .b }}}\n", "x: &x {a: 1}\ny:\n  <<: [*x, *x]\n", "a: |\n b\n",
		"\ufeffa: 1\r\nb: 2\r\n", "- - - a\n", "? a\n: b\n", "a: *a", "%YAML\n---\n", "{\"a\":[1,{\"b\":\"\\u0000\"}]}",
		"a: !!map {}\n", "words: [~, 1, {}]\nflag:\n", "a:\n\tb", "'", "a: \"\\x\"", "---\n---\na", "counts: {a: 1, a: 2}", "a: ${A}${", "\r\r\r",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var report Report
		n := Parse("f", text, &report)
		n.Expand(func(string) (string, error) { return "", errors.New("is not set") }, &report)
		var into outer
		n.Decode(&into, &report)
		_ = n.Value()
		normal := strings.ReplaceAll(string(bytes.TrimPrefix(text, []byte("\ufeff"))), "\r\n", "\n")
		lines := strings.Split(strings.ReplaceAll(normal, "\r", "\n"), "\n")
		for _, p := range report.Problems() {
			if p.File != "f" || p.Line < 1 || p.Line > len(lines) || p.Column < 1 {
				t.Fatalf("problem outside the file of %d lines: %s", len(lines), p)
			}
			if width := len([]rune(lines[p.Line-1])); p.Column > width+1 {
				t.Fatalf("column %d in a line of %d: %s", p.Column, width, p)
			}
			if p.Message == "" || p.Hint == "" && !strings.Contains(p.Message, "unknown") {
				t.Fatalf("says too little: %s", p)
			}
			_ = p.String()
		}
	})
}
