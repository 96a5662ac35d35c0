package redisstore

import (
	"strings"
	"testing"

	"headgate/internal/testenv"
)

func TestGuard(t *testing.T) {
	for name, c := range map[string]struct {
		options []testenv.Option
		want    []string
	}{
		"as it should be": {[]testenv.Option{testenv.WithAOF()}, nil},
		"no file":         {nil, []string{"append-only file"}},
		"evicts":          {[]testenv.Option{testenv.WithAOF(), testenv.WithConf("maxmemory-policy", "allkeys-lru")}, []string{"allkeys-lru"}},
		"both":            {[]testenv.Option{testenv.WithConf("maxmemory-policy", "volatile-ttl")}, []string{"append-only file", "volatile-ttl"}},
	} {
		t.Run(name, func(t *testing.T) {
			rdb := testenv.Redis(t, c.options...).Client(t)
			s := New(rdb, rdb)
			t.Cleanup(func() { _ = s.Close() })
			found, err := s.Guard(t.Context())
			if err != nil || len(found) != len(c.want) {
				t.Fatalf("found %q, %v; want %q", found, err, c.want)
			}
			for i, word := range c.want {
				if !strings.Contains(found[i], word) {
					t.Errorf("%q does not speak of %q", found[i], word)
				}
			}
		})
	}
}

func TestOldVersions(t *testing.T) {
	for version, old := range map[string]bool{"6.0.16": true, "5.0.7": true, "6.2.0": false, "7.0.15": false, "8.2.1": false, "unknown": false} {
		if tooOld(version) != old {
			t.Errorf("%s: too old %v", version, !old)
		}
	}
}
