package transform

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"headgate/config/yamlsrc"
)

func text(t testing.TB, source string) *Text {
	t.Helper()
	var report yamlsrc.Report
	out := CompileText(quotedNode(source), allRoots, &report)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestText(t *testing.T) {
	tests := []struct{ source, want string }{
		{"plain", "plain"},
		{"", ""},
		{" spaces stay ", " spaces stay "},
		{"$${{ x }}", "${{ x }}"},
		{"${{ .body.first }}", "Ada"},
		{" ${{ .body.first }}\n", "Ada"},
		{"${{ .body.amount }}", "12345678901234567890"},
		{"${{ .body.price + 1 }}", "2.1"},
		{"${{ .body.consent }}", "true"},
		{"a ${{ .body.first }}${{ .body.last }} b", "a AdaLovelace b"},
		{"${{ .body.first }} ${{ .body.last }}", "Ada Lovelace"},
		{"/a/${{ .params.id }}", "/a/42/../7 ä?&=+#"},
	}
	for _, tt := range tests {
		x := text(t, tt.source)
		got, err := x.Eval(testScope(t))
		if err != nil || got != tt.want {
			t.Errorf("%s: got %q, %v; want %q", tt.source, got, err, tt.want)
		}
		if x.Source() != tt.source || x.IsLiteral() != !strings.Contains(strings.ReplaceAll(tt.source, "$${{", ""), "${{") {
			t.Errorf("%s: source %q, literal %v", tt.source, x.Source(), x.IsLiteral())
		}
	}
}

func TestTextErrors(t *testing.T) {
	for _, source := range []string{"${{ .body.none }}", "${{ .body.tags }}", "a${{ .body }}", "a${{ empty }}", "${{ nan }}"} {
		var fault *Error
		if got, err := text(t, source).Eval(testScope(t)); !errors.As(err, &fault) {
			t.Errorf("%s: %q, %v", source, got, err)
		}
	}
	if _, err := text(t, "${{ empty }}").Eval(testScope(t)); !errors.Is(err, ErrEmpty) {
		t.Errorf("a whole expression without a value: %v", err)
	}
}

func TestURL(t *testing.T) {
	tests := []struct{ source, want, err string }{
		{"https://a.example/b?c=d#e", "https://a.example/b?c=d#e", ""},
		{"/contacts/${{ .params.id }}", "/contacts/42%2F..%2F7%20%C3%A4%3F%26%3D%2B%23", ""},
		{"/q?x=${{ .params.id }}&y=1", "/q?x=42%2F..%2F7%20%C3%A4%3F%26%3D%2B%23&y=1", ""},
		{"/a/${{ .body.price }}/${{ .body.consent }}", "/a/1.10/true", ""},
		{"/a/x${{ .body.empty }}/y", "/a/x/y", ""},
		{"/q?x=${{ .body.empty }}", "/q?x=", ""},
		{"/q?x=${{ .body.dots }}/", "/q?x=../", ""},
		{"/q#${{ .body.dots }}", "/q#..", ""},
		{"/a/v${{ .body.dots }}", "/a/v..", ""},
		{"${{ .params.id }}", "42/../7 ä?&=+#", ""},
		{"/../x", "/../x", ""},
		{"/a/${{ .body.empty }}", "", "is empty, which would change the path"},
		{"/a/${{ .body.empty }}/b", "", "is empty, which would change the path"},
		{"/a/${{ .body.empty }}?q", "", "is empty, which would change the path"},
		{"/a/${{ .body.empty }}${{ .body.empty }}", "", "is empty"},
		{"/a/${{ .body.dots }}/b", "", `makes ".." of a segment`},
		{"/a/${{ .body.dots }}", "", `makes ".." of a segment`},
		{"/a/${{ \".\" }}/b", "", `makes "." of a segment`},
		{"/a/.${{ \".\" }}/b", "", `makes ".." of a segment`},
		{"/a/%2e${{ \".\" }}/b", "", `of a segment`},
		{"/a/${{ .body.dots }}?x", "", `makes ".." of a segment`},
		{"/a/${{ .body.none }}", "", "expected a string"},
		{"/a/${{ empty }}", "", "gave no value"},
	}
	for _, tt := range tests {
		got, err := text(t, tt.source).URL(testScope(t))
		switch {
		case tt.err == "" && (err != nil || got != tt.want):
			t.Errorf("%s: got %q, %v; want %q", tt.source, got, err, tt.want)
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%s: got %q, %v; want the error %q", tt.source, got, err, tt.err)
		}
	}
}

func TestBool(t *testing.T) {
	tests := []struct {
		source string
		want   bool
		err    string
	}{
		{"${{ .body.consent }}", true, ""},
		{"${{ .body.consent == true and .body.small > 9 }}", false, ""},
		{" ${{ true }} ", true, ""},
		{"${{ .body.none }}", false, "expected true or false, got null"},
		{"${{ .body.first }}", false, `expected true or false, got the string "Ada"`},
		{"${{ empty }}", false, "expected true or false, got no value"},
		{"${{ true, true }}", false, "more than one value"},
		{"${{ error(\"x\") }}", false, "x"},
	}
	for _, tt := range tests {
		var report yamlsrc.Report
		b := CompileBool(quotedNode(tt.source), allRoots, &report)
		if err := report.Err(); err != nil {
			t.Fatal(err)
		}
		got, err := b.Eval(testScope(t))
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: got %v, %v", tt.source, got, err)
		}
	}
	for _, source := range []string{"true", "${{ true }} ${{ true }}", "x ${{ true }}", ""} {
		var report yamlsrc.Report
		CompileBool(quotedNode(source), allRoots, &report)
		if report.Len() != 1 || !strings.Contains(report.Problems()[0].Hint, "one expression that gives true or false") {
			t.Errorf("%s: %v", source, report.Err())
		}
	}
	var report yamlsrc.Report
	b := CompileBool(quotedNode("${{ .saved.job == 1 }}"), allRoots, &report)
	if fields, all := b.Fields("saved"); all || len(fields) != 1 || fields[0] != "job" {
		t.Errorf("fields %v, %v", fields, all)
	}
}

// TestGoNumbers: a scope from elsewhere than a JSON decoder, such as a status code.
func TestGoNumbers(t *testing.T) {
	scope := Scope{"body": map[string]any{"i": 202, "f": 2.50, "b": false}}
	got, err := text(t, "${{ .body.i }} ${{ .body.f }} ${{ .body.b }}").Eval(scope)
	if err != nil || got != "202 2.5 false" {
		t.Errorf("got %q, %v", got, err)
	}
	out, err := compiled(t, quotedNode("${{ [.body.i, .body.i + 1] }}")).JSON(scope)
	if err != nil || string(out) != "[202,203]" {
		t.Errorf("got %s, %v", out, err)
	}
}

func TestWhatJSONCannotHold(t *testing.T) {
	scope := Scope{"body": map[string]any{"n": json.Number("1 2")}}
	var fault *Error
	if out, err := compiled(t, quotedNode("${{ .body.n }}")).JSON(scope); !errors.As(err, &fault) {
		t.Errorf("got %s, %v", out, err)
	}
}
