package policies

import (
	"net/textproto"
	"testing"

	"pgregory.net/rapid"
)

func TestCanonicalHeader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[A-Za-z0-9!#$%&'*+.^_|~-]{1,12}`).Draw(t, "name")
		if got, want := CanonicalHeader(name), textproto.CanonicalMIMEHeaderKey(name); got != want {
			t.Fatalf("%s is %s, want %s", name, got, want)
		}
	})
	if n := testing.AllocsPerRun(100, func() { CanonicalHeader("Content-Type") }); n > 0 {
		t.Errorf("%v allocations for a name that needs none", n)
	}
}
