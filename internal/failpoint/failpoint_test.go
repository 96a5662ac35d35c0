package failpoint_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// traces are what a binary with fail-points holds: the variable and the names of places.
var traces = []string{"HEADGATE_FAILPOINT", "gateway.accepted", "worker.claimed", "worker.stepped", "worker.applied"}

// TestProductHasNone builds the product the way it is delivered and looks for any trace
// of fail-points in it, and builds it with them to show that the search finds some.
func TestProductHasNone(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the product twice")
	}
	for _, tt := range []struct {
		name  string
		flags []string
		want  bool
	}{
		{"product", nil, false},
		{"with fail-points", []string{"-tags", "failpoint"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			binary := filepath.Join(t.TempDir(), "headgate")
			cmd := exec.Command("go", append(append([]string{"build", "-ldflags", "-s -w", "-o", binary}, tt.flags...), "headgate")...)
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			data, err := os.ReadFile(binary)
			if err != nil {
				t.Fatal(err)
			}
			for _, trace := range traces {
				if got := bytes.Contains(data, []byte(trace)); got != tt.want {
					t.Errorf("the binary holds %q: %t, want %t", trace, got, tt.want)
				}
			}
		})
	}
}
