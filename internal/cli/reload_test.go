package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"headgate/gateway/admin"
)

// TestReloadOfThousands prints what a person can read.
func TestReloadOfThousands(t *testing.T) {
	var names []string
	state := &admin.ReloadState{Last: &admin.Reload{OK: true}}
	for i := range 1254 {
		names = append(names, fmt.Sprintf("t%04d", i))
		state.Draining = append(state.Draining, admin.Drained{Target: names[i], Deliveries: 7})
		state.Flows = append(state.Flows, admin.FormerFlow{Target: names[i], Deliveries: 7})
	}
	state.Last.Changed = &admin.Changed{Targets: admin.Names{Added: names, Changed: names[:21]}}
	var out bytes.Buffer
	printReload(&out, state)
	for _, line := range []string{
		"  targets added: " + strings.Join(names[:20], ", ") + ", and 1234 more\n", "  targets changed: " + strings.Join(names[:21], ", ") + "\n",
		"draining: t0019 has left the files and has 7 under way\ndraining: and 1234 more\n", "\nformer flow: and 1234 more\n",
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("%q is not printed", line)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 46 || len(state.Draining) != len(names) {
		t.Errorf("%d lines are printed:\n%s", n, out.String())
	}
}
