package tracking_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	. "headgate/dispatch/tracking" //nolint:revive // as the other tests of the package
)

func TestNewIDIsUniqueAndSpread(t *testing.T) {
	const n = 100_000
	seen := make(map[string]struct{}, n)
	var shards [Shards]int
	last := map[int]string{}
	for range n {
		id, err := NewID("")
		if err != nil {
			t.Fatal(err)
		}
		if len(id) != len("trk_")+24 {
			t.Fatalf("%s has %d characters", id, len(id))
		}
		if _, twice := seen[id]; twice {
			t.Fatalf("%s came twice", id)
		}
		seen[id] = struct{}{}
		shard, ok := Shard(id)
		if !ok {
			t.Fatalf("%s is not known as one of ours", id)
		}
		shards[shard]++
		if id <= last[shard] {
			t.Fatalf("%s comes after %s and sorts before it", id, last[shard])
		}
		last[shard] = id
	}
	// Mean 1562, deviation 39: ten deviations never happen by chance.
	if lo, hi := slices.Min(shards[:]), slices.Max(shards[:]); lo < 1170 || hi > 1960 {
		t.Errorf("shards have %d to %d of %d", lo, hi, n)
	}
}

func TestShardOfIdempotencyKeyIsStable(t *testing.T) {
	// Written down: these records exist, and the numbers may never change.
	for hash, want := range map[string]int{"a": 44, "4e07408562bedb8b60ce05c1decfe3ad": 7, "ключ": 33} {
		if got := IdemShard(hash); got != want {
			t.Errorf("shard of %q is %d, was %d", hash, got, want)
		}
		for range 20 {
			id, err := NewID(hash)
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := Shard(id); !ok || got != want {
				t.Errorf("%s is in shard %d, its key in %d", id, got, want)
			}
		}
	}
	var shards [Shards]int
	for i := range 64_000 {
		shards[IdemShard(fmt.Sprintf("%064x", i*7919))]++
	}
	if lo := slices.Min(shards[:]); lo < 500 {
		t.Errorf("keys are spread unevenly: %v", shards)
	}
}

func TestShardRefuses(t *testing.T) {
	good, err := NewID("")
	if err != nil {
		t.Fatal(err)
	}
	rest := good[6:]
	for _, id := range []string{
		"", "trk_", rest, good[:len(good)-1], good + "0", " " + good[1:], "TRK_" + good[4:], "trk-" + good[4:],
		"trk_64" + rest, "trk_99" + rest, "trk_-1" + rest, "trk_+1" + rest, "trk_0x" + rest, "trk_ 1" + rest, "trk_a0" + rest,
		"trk_07" + rest[:20] + "..", "trk_07" + rest[:21] + "}", "trk_07" + rest[:21] + ":", "trk_07" + rest[:20] + "ü",
		"trk_07" + rest[:21] + "\x00", "trk_07" + strings.Repeat("/", 22),
	} {
		if shard, ok := Shard(id); ok {
			t.Errorf("%q passes, shard %d", id, shard)
		}
	}
	for shard := range Shards {
		if got, ok := Shard(fmt.Sprintf("trk_%02d%s", shard, rest)); !ok || got != shard {
			t.Errorf("shard %d reads as %d, %v", shard, got, ok)
		}
	}
}

func TestMadeAt(t *testing.T) {
	before := time.Now().Truncate(time.Millisecond)
	for range 1000 {
		id, err := NewID("")
		if err != nil {
			t.Fatal(err)
		}
		if at := MadeAt(id); at.Before(before) || at.After(time.Now()) {
			t.Fatalf("%s was made at %s, not after %s", id, at, before)
		}
	}
	for _, id := range []string{"", "trk_", "x"} {
		if at := MadeAt(id); !at.IsZero() {
			t.Errorf("%q was made at %s", id, at)
		}
	}
}
