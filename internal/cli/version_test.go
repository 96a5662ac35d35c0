package cli

import (
	"runtime/debug"
	"testing"
)

func TestBuildOf(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	noted := &debug.BuildInfo{
		Main:     debug.Module{Version: "v1.4.1-0.20260301120000-0123456789ab"},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: commit}},
	}
	for _, test := range []struct {
		name, version, commit  string
		info                   *debug.BuildInfo
		wantVersion, wantShown string
	}{
		{"a release", "v1.4.0", commit, &debug.BuildInfo{}, "v1.4.0", "headgate v1.4.0 0123456789ab ("},
		{"a release wins over what Go noted", "v1.4.0", commit, noted, "v1.4.0", "headgate v1.4.0 0123456789ab ("},
		{"plain go build in a clone", unset, "", noted, "v1.4.1-0.20260301120000-0123456789ab", "headgate v1.4.1-0.20260301120000-0123456789ab 0123456789ab ("},
		{"plain go build without version control", unset, "", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, unset, "headgate dev ("},
		{"nothing is known", unset, "", &debug.BuildInfo{}, unset, "headgate dev ("},
		{"a short revision", "v1", "abc", &debug.BuildInfo{}, "v1", "headgate v1 abc ("},
	} {
		b := buildOf(test.version, test.commit, test.info)
		if b.Version != test.wantVersion {
			t.Errorf("%s: version %q, want %q", test.name, b.Version, test.wantVersion)
		}
		if got := b.String(); len(got) < len(test.wantShown) || got[:len(test.wantShown)] != test.wantShown {
			t.Errorf("%s: %q, want it to begin with %q", test.name, got, test.wantShown)
		}
	}
}
