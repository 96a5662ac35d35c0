package tracking

import (
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestBase62: the digits are those of math/big, but for the case of the letters, which
// it counts in the order that does not sort.
func TestBase62(t *testing.T) {
	swap := func(r rune) rune {
		if r > '9' {
			return r ^ 0x20
		}
		return r
	}
	rapid.Check(t, func(t *rapid.T) {
		var n [16]byte
		copy(n[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "number"))
		want := strings.Map(swap, new(big.Int).SetBytes(n[:]).Text(62))
		want = strings.Repeat("0", idDigits-len(want)) + want
		if got := string(appendBase62(nil, n)); got != want {
			t.Fatalf("%x is %s, want %s", n, got, want)
		}
	})
}
