//go:build unix

package yamlsrc_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"headgate/config/yamlsrc"
)

// TestReadFileRefusesWhatHasNoEnd: a pipe among the files must not hold up the load.
func TestReadFileRefusesWhatHasNoEnd(t *testing.T) {
	dir := t.TempDir()
	pipe, large := filepath.Join(dir, "pipe"), filepath.Join(dir, "large")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, yamlsrc.MaxFile+1); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{pipe: "a pipe", "/dev/zero": "a device", large: "more than"} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			var report yamlsrc.Report
			done := make(chan error, 1)
			go func() {
				_, err := report.ReadFile(path)
				done <- err
			}()
			select {
			case err := <-done:
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want one with %q", err, want)
				}
				if reads := report.Reads(); len(reads) != 1 || reads[0].Sum != "" {
					t.Errorf("reads %v, want one that came to nothing", reads)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("it is still being read")
			}
		})
	}
}
