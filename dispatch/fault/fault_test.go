package fault

import "testing"

func TestMeaning(t *testing.T) {
	seen := map[string]Reason{}
	for _, r := range All() {
		meaning := r.Meaning()
		if other, dup := seen[meaning]; meaning == "" || dup {
			t.Errorf("%s means %q, as does %q", r, meaning, other)
		}
		seen[meaning] = r
	}
	if got := Reason("bad luck").Meaning(); got != "" {
		t.Errorf("a word that is no reason means %q", got)
	}
}
