package redisstore

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// TestPresentFindsAllInFewCommands: none that exists is missing, they keep their order, and
// with little to do little is asked.
func TestPresentFindsAllInFewCommands(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	keys := make([]string, 0, tracking.Shards)
	for _, shard := range shardPrefix {
		keys = append(keys, openKey(shard))
	}
	for _, c := range []struct{ exist, most int }{{0, 1}, {1, 6}, {4, 16}, {32, 64}, {len(keys), 1}} {
		if err := rdb.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		exist := map[string]bool{}
		for _, i := range rand.Perm(len(keys))[:c.exist] {
			exist[keys[i]] = true
			rdb.HSet(t.Context(), keys[i], "f", 1)
		}
		rdb.ConfigResetStat(t.Context())
		got, err := presentScript.Run(t.Context(), rdb, keys).StringSlice()
		if err != nil {
			t.Fatal(err)
		}
		stats := rdb.Info(t.Context(), "commandstats").Val()
		_, after, _ := strings.Cut(stats, "cmdstat_exists:calls=")
		text, _, _ := strings.Cut(after, ",")
		asked, _ := strconv.Atoi(text)
		if asked > c.most {
			t.Errorf("%d of %d exist: asked %d times, want %d at most", c.exist, len(keys), asked, c.most)
		}
		at := -1
		for _, key := range got {
			i := slices.Index(keys, key)
			if i <= at {
				t.Fatalf("%v is not in order", got)
			}
			at = i
			delete(exist, key)
		}
		if len(exist) > 0 {
			t.Errorf("%v are missing", exist)
		}
		if c.exist < 2 && len(got) > 4*c.exist {
			t.Errorf("%d exist and %d are looked at", c.exist, len(got))
		}
	}
}
