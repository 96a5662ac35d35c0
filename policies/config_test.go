package policies

import (
	"slices"
	"testing"

	"headgate/config/yamlsrc"
)

func TestStrings(t *testing.T) {
	for text, want := range map[string][]string{"a": {"a"}, "[a, b]": {"a", "b"}, "{a: b}": nil} {
		var report yamlsrc.Report
		var got Strings
		got.DecodeYAML(yamlsrc.Parse("f.yaml", []byte(text), &report), &report)
		if !slices.Equal(got, want) || (want == nil) != (report.Len() > 0) {
			t.Errorf("%s: %v, %v", text, got, report.Err())
		}
	}
}

func TestIsHeaderName(t *testing.T) {
	for name, want := range map[string]bool{"X-API-Key": true, "a_b": true, "": false, "X Key": false, "X:": false, "Ä": false, "a\r\nb": false} {
		if IsHeaderName(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}

func TestChallenge(t *testing.T) {
	if got, want := Challenge("Bearer", "mo\"b\\ile\r\nX: y"), `Bearer realm="mobileX: y"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
