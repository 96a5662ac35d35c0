package routes

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headgate/config/yamlsrc"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Each fixture is named for its fault; beside it stands the whole report, as a person
// would see it.
func TestBadFiles(t *testing.T) {
	found, err := filepath.Glob("testdata/bad-*.yaml")
	if err != nil || len(found) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, name := range found {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yaml"), func(t *testing.T) {
			var report yamlsrc.Report
			if Load([]string{name}, options(new([]string)), &report) != nil {
				t.Fatal("loads without a problem")
			}
			for _, p := range report.Problems() {
				if p.File != name || p.Line < 1 || p.Column < 1 || p.Hint == "" {
					t.Errorf("no place or no hint: %s", p)
				}
			}
			got := report.Err().Error() + "\n"
			if strings.Contains(got, "hunter2") {
				t.Error("the report shows a secret")
			}
			golden := strings.TrimSuffix(name, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestGoodFile(t *testing.T) {
	var report yamlsrc.Report
	table := Load([]string{"testdata/good.yaml"}, options(new([]string)), &report)
	if table == nil {
		t.Fatal(report.Err())
	}
	table.Close()
}
