package redisstore

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

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
				recordKey(shard, id), payloadKey(shard, id), dueKey(shard), openKey(shard), deadKey(shard), tenantsKey(shard), figuresKey(shard), jobsKey(shard, target), bulkKey(shard, target), resumeKey(shard, target),
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
		doneChannel(shardPrefix[7], id): {changeSource, "'done:'"},
	} {
		name := strings.Trim(script[1], "'")
		if !strings.HasPrefix(key, shardPrefix[7]+name) || !strings.Contains(script[0], script[1]) {
			t.Errorf("key %s and the script disagree about %s", key, name)
		}
	}
	for _, suffix := range []string{bulkSuffix, resumeSuffix} {
		if !strings.Contains(countSource, "queued .. '"+suffix+"'") {
			t.Errorf("count.lua has another name for the rows of the lane %s", suffix)
		}
	}
	for key, name := range map[string]string{figuresKey("{07}:"): "':figures'", jobsKey("{07}:", "x"): "':jobs:", recordKey("{07}:", ""): "':rec:'"} {
		if !strings.Contains(jobsSource, name) || !strings.HasPrefix(key, "{07}"+strings.Trim(name, "'")) {
			t.Errorf("jobs.lua has another name than %s for %s", name, key)
		}
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
	for _, value := range []string{"", "1", "1 q", "1 q -", "1 q - -", "1 q - - ", "1 qq - - p", "x q - - p", "1 q - - p{", `1 q - - p"s"`, "1  - - p", "1 q - - x"} {
		if d, err := decodeDelivery(value); err == nil {
			t.Errorf("%q was read as %+v", value, d)
		}
	}
}

// TestDeliveriesComeBack encodes a delivery with every field, and one with as few as there
// are: that one stays short enough to be cheap in Redis, also while and after it was run.
func TestDeliveriesComeBack(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(1763815473+s, int64(7*time.Millisecond)).UTC() }
	all := tracking.Delivery{
		Fence: tracking.Fence{Seq: 12, Token: "bat_x"}, Phase: tracking.Gathered, Batch: "bat_x", Verdict: tracking.Warned, Plan: "p", State: tracking.Collecting,
		Step: "upload", Saved: map[string]json.RawMessage{"a": json.RawMessage(`{"b":1}`)}, Attempts: 1, StepAttempts: 2, Polls: 3, PollFaults: 4, Doubts: ". upload", Replays: 5, Rounds: 8,
		PastAttempts: 6, NextAt: at(1), StepSince: at(2), EndedAt: at(3), ReplayedAt: at(4), KeySuffix: ".r5", KeepPayload: true, Reason: "timeout",
		Message: "it took\n{too} long ü", HTTPStatus: 504, JobID: "j 1", JobState: "running", JobDone: 7, JobTotal: 9, Place: 3, Window: 4, WindowMax: 5, Sent: 6, Line: "07x", Blocks: true, SupersededBy: "trk_x", Result: map[string]json.RawMessage{"c": json.RawMessage(`"d"`)},
		PolledAt: at(5),
	}
	for field, value := range reflect.ValueOf(all).Fields() {
		if value.IsZero() && field.Name != "Lane" {
			t.Errorf("%s is not tried", field.Name)
		}
	}
	few := request(t, "", "crm").Dispatch.Deliveries["crm"]
	few.Plan = "5f2b6a7c0d9e4f1a"
	running := few
	running.Phase, running.Token = tracking.Running, tracking.NewToken(tracking.NewOwner())
	ended := tracking.Apply(running, tracking.Concluded{State: tracking.Succeeded, Answer: tracking.Answer{HTTPStatus: 200}}, at(9))
	for _, want := range []tracking.Delivery{all, few, running, ended} {
		value, err := encodeDelivery(want)
		if got, decodeErr := decodeDelivery(value); err != nil || decodeErr != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s (%v, %v) comes back as\n%+v, want\n%+v", value, err, decodeErr, got, want)
		}
		if want.JobID == "" && len(value) > shortValue {
			t.Errorf("%s has %d bytes", value, len(value))
		}
	}
}

// TestTargetsComeBack: however many there are, and without a value that is dear.
func TestTargetsComeBack(t *testing.T) {
	var want []tracking.TargetRef
	for i := range 40 {
		want = append(want, tracking.TargetRef{Name: strings.Repeat("x", i%30) + strconv.Itoa(i), Optional: i%3 == 0})
	}
	fields := map[string]string{}
	for i, list := 0, targetFields(want); i < len(list); i += 2 {
		fields[list[i]] = list[i+1]
		if len(list[i+1]) > shortValue {
			t.Errorf("%q has %d bytes", list[i+1], len(list[i+1]))
		}
	}
	if got := targetsOf(fields); !slices.Equal(got, want) {
		t.Errorf("%v came back as %v", want, got)
	}
}

// TestKeysAreBuiltHere keeps names of keys out of the other files.
func TestKeysAreBuiltHere(t *testing.T) {
	named := regexp.MustCompile(`"[^"\n]*(hg:|rec:|pay:|queued:|idem:|plan:|tokenlock:)[^"\n]*"|"token:"`)
	for _, file := range []string{"accept.go", "store.go", "index.go", "waiters.go", "codec.go", "connect.go", "flow.go", "fixed.go", "intervene.go", "deadletters.go", "backlog.go", "audit.go", "tokens.go", "running.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if found := named.FindString(string(source)); found != "" {
			t.Errorf("%s builds a key: %s", file, found)
		}
	}
}
