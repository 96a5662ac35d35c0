package config

import (
	"os"
	"reflect"
	"slices"
	"testing"

	"headgate/config/yamlsrc"
)

// everything is full with the keys that it leaves out, so that no key has its default.
const everything = full + `
callbacks: {rate_limit: [{limit: 7, per: 1m}]}
watch: false
`

func loadEverything(t *testing.T, text string) *Config {
	t.Helper()
	t.Setenv("EXTRA", "ESP_TOKEN")
	path := write(t, text, "a/x.yaml", "b/one.yaml")
	var report yamlsrc.Report
	c := Load(path, &report)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestEveryKeyIsCompared changes one key after the other, whatever keys there are: each is
// told by its name, and nothing else is.
func TestEveryKeyIsCompared(t *testing.T) {
	other := loadEverything(t, everything)
	// What no file that passes the checks can have together with the rest.
	other.Redis.Username = "headgate"
	seen := 0
	walk(reflect.ValueOf(Default()).Elem(), reflect.ValueOf(other).Elem(), "", false, func(key string, live bool, _, is reflect.Value) {
		seen++
		changed := Default()
		walk(reflect.ValueOf(changed).Elem(), reflect.ValueOf(changed).Elem(), "", false, func(at string, _ bool, v, _ reflect.Value) {
			if at == key {
				v.Set(is)
			}
		})
		gotLive, gotRestart := Changed(Default(), changed)
		want, got, not := []string{key}, gotRestart, gotLive
		if live {
			got, not = gotLive, gotRestart
		}
		if !slices.Equal(got, want) || len(not) > 0 {
			t.Errorf("%s changed: live %v, restart %v (if nothing is told, the test's file has the default of the key)", key, gotLive, gotRestart)
		}
	})
	if seen < 30 {
		t.Errorf("only %d keys were seen", seen)
	}
}

// TestPlacesAreNoChanges: the same values elsewhere in the file, and in other notations.
func TestPlacesAreNoChanges(t *testing.T) {
	c := loadEverything(t, everything)
	text, err := os.ReadFile(c.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.File, append([]byte("# one line more\n\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	var report yamlsrc.Report
	again := Load(c.File, &report)
	if live, restart := Changed(c, again); report.Err() != nil || len(live)+len(restart) > 0 {
		t.Errorf("live %v, restart %v, %v", live, restart, report.Err())
	}
}

// TestReloadedTakesWhatNeedsNoRestart and nothing else.
func TestReloadedTakesWhatNeedsNoRestart(t *testing.T) {
	running, read := Default(), loadEverything(t, everything)
	got := Reloaded(running, read)
	if live, _ := Changed(got, read); len(live) > 0 {
		t.Errorf("not taken over: %v", live)
	}
	if _, restart := Changed(running, got); len(restart) > 0 {
		t.Errorf("taken over although they need a restart: %v", restart)
	}
	if running.Telemetry.Log.Level != "info" || len(got.RouteFiles) != 2 {
		t.Errorf("the running one has level %s, the new one %v", running.Telemetry.Log.Level, got.RouteFiles)
	}
}
