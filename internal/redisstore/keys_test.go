package redisstore

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"headgate/dispatch/tracking"
)

// slot computes the slot of a Redis Cluster that a key belongs to: CRC-16 (XMODEM) of
// what stands between the first { and the next }, modulo 16384, as the cluster
// specification has it.
func slot(key string) int {
	if _, rest, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
			key = tag
		}
	}
	crc := 0
	for _, b := range []byte(key) {
		crc ^= int(b) << 8
		for range 8 {
			if crc <<= 1; crc&0x10000 != 0 {
				crc ^= 0x11021
			}
		}
	}
	return crc % 16384
}

func TestSlot(t *testing.T) {
	// Values of CLUSTER KEYSLOT.
	for key, want := range map[string]int{"123456789": 12739, "foo": 12182, "{foo}bar": 12182, "": 0, "foo{}{bar}": 8363} {
		if got := slot(key); got != want {
			t.Errorf("slot of %q: %d, want %d", key, got, want)
		}
	}
}

// TestKeysOfAScriptShareOneSlot goes through every key that a script uses: those it is
// given and those it builds itself.
func TestKeysOfAScriptShareOneSlot(t *testing.T) {
	slots := map[int]bool{}
	for _, target := range []string{"crm", "we{ird}", "}{", "{00}"} {
		for n, shard := range shardPrefix {
			id := "trk_" + shard[4:6] + strings.Repeat("z", 22)
			if got, err := keysOf(id); err != nil || got != shard {
				t.Fatalf("keysOf(%s) = %q, %v; want %q", id, got, err, shard)
			}
			want := slot(shard)
			slots[want] = true
			for _, key := range []string{
				recordKey(shard, id), payloadKey(shard, id), dueKey(shard), openKey(shard), deadKey(shard), tenantsKey(shard), bulkKey(shard, target),
				queuedKey(shard, target), idemKey(shard, target), doneChannel(shard, id),
			} {
				if got := slot(key); got != want {
					t.Errorf("shard %d: %s is in slot %d, want %d", n, key, got, want)
				}
			}
		}
	}
	if len(slots) != tracking.Shards {
		t.Errorf("%d shards lie in %d slots", tracking.Shards, len(slots))
	}
	// The scripts build some keys and a channel from their first key; the names there are
	// those of keys.go.
	id := "trk_07" + strings.Repeat("a", 22)
	for key, script := range map[string][2]string{
		recordKey(shardPrefix[7], id):   {overdueSource, "'rec:'"},
		idemKey(shardPrefix[7], "h"):    {finishSource, "'idem:'"},
		payloadKey(shardPrefix[7], id):  {expireSource, "'pay:'"},
		doneChannel(shardPrefix[7], id): {applySource, "'done:'"},
		tenantsKey(shardPrefix[7]):      {countSource, "'tenants'"},
	} {
		name := strings.Trim(script[1], "'")
		if !strings.HasPrefix(key, shardPrefix[7]+name) || !strings.Contains(script[0], script[1]) {
			t.Errorf("key %s and the script disagree about %s", key, name)
		}
	}
	if !strings.Contains(countSource, "queued .. '"+bulkSuffix+"'") {
		t.Error("count.lua has another name for the rows of the bulk lane")
	}
	if dueKey(shardPrefix[7])[:8] != shardPrefix[7] {
		t.Error("the prefix has another length")
	}
}

func TestMembersAndFields(t *testing.T) {
	id := newID(t, "")
	for _, target := range []string{"crm", "a:b", "", "ü {x}", ":"} {
		want := tracking.Ref{Tracking: id, Target: target}
		if got, ok := splitMember(member(want)); !ok || got != want {
			t.Errorf("member of %q comes back as %+v, %v", target, got, ok)
		}
		for _, hash := range []string{"0f3a", ""} {
			want := tracking.PlanRef{Target: target, Hash: hash}
			if got, ok := splitOpenField(openField(target, hash)); !ok || got != want {
				t.Errorf("field of %+v comes back as %+v, %v", want, got, ok)
			}
		}
	}
	for _, foreign := range []string{"", "abc"} {
		if _, ok := splitMember(foreign); ok {
			t.Errorf("%q passes as a member", foreign)
		}
		if _, ok := splitOpenField(foreign); ok {
			t.Errorf("%q passes as a field", foreign)
		}
	}
}

func TestDecodeRefusesForeignValues(t *testing.T) {
	for _, value := range []string{"", "1", "1 q", "1 q -", "1 qq - {}", "x q - {}", "1 q - {", `1 q - "s"`, "1  - {}"} {
		if d, err := decode(value); err == nil {
			t.Errorf("%q was read as %+v", value, d)
		}
	}
}

// TestKeysAreBuiltHere keeps names of keys out of the other files.
func TestKeysAreBuiltHere(t *testing.T) {
	named := regexp.MustCompile(`"[^"\n]*(hg:|rec:|pay:|queued:|idem:|plan:)[^"\n]*"`)
	for _, file := range []string{"store.go", "index.go", "waiters.go", "codec.go", "connect.go", "flow.go", "intervene.go", "deadletters.go", "backlog.go", "audit.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if found := named.FindString(string(source)); found != "" {
			t.Errorf("%s builds a key: %s", file, found)
		}
	}
}
