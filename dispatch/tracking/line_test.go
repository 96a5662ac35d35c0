package tracking_test

import (
	"strings"
	"testing"
	"time"

	. "headgate/dispatch/tracking" //nolint:revive // it reads like the rules it checks
)

func TestLineOf(t *testing.T) {
	seen := map[string][3]string{}
	for _, parts := range [][3]string{
		{"crm", "acme", "k"}, {"crm", "acme", "K"}, {"crm", "acmek", ""}, {"crma", "cme", "k"}, {"crm", "", "acmek"},
		{"crm", "acme", "1:k"}, {"crm", "acme1:", "k"}, {"mail", "acme", "k"}, {"crm", "other", "k"},
	} {
		line := LineOf(parts[0], parts[1], parts[2])
		if other, ok := seen[line]; ok {
			t.Errorf("%q and %q share a line", parts, other)
		}
		if seen[line] = parts; line != LineOf(parts[0], parts[1], parts[2]) {
			t.Errorf("%q has two lines", parts)
		}
		if shard, ok := LineShard(line); !ok || shard < 0 || shard >= Shards {
			t.Errorf("the line %s lies in shard %d, %v", line, shard, ok)
		}
	}
	if line := LineOf("crm", "acme", "ada@example.com"); strings.Contains(line, "ada") || strings.ContainsAny(line, ":{} ") {
		t.Errorf("the line is called %s", line)
	}
}

// What each end of a delivery means for those behind it.
func TestWhoLeavesTheLine(t *testing.T) {
	for _, state := range allStates {
		for _, blocks := range []bool{false, true} {
			d := Delivery{State: state, Line: "07x", Blocks: blocks}
			holds := blocks && (state == Failed || state == Unknown)
			if d.Holds() != holds || d.Leaves() != (state.Final() && !holds) {
				t.Errorf("%s, blocks %v: holds %v, leaves %v", state, blocks, d.Holds(), d.Leaves())
			}
			if d.Line = ""; d.Holds() || d.Leaves() {
				t.Errorf("%s without a line holds or leaves one", state)
			}
		}
	}
}

// What waits, is moot or too late keeps what it is, with its fence raised and nobody holding it.
func TestChangesInLine(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	running := Delivery{Fence: Fence{Seq: 4, Token: "run"}, Phase: Running, State: Pending, Plan: "p", Line: "07x", Blocks: true, Replays: 2}
	for name, next := range map[string]Delivery{
		"parked":     Park(running, now),
		"superseded": Supersede(running, "trk_newer", false, now),
		"expired":    Expire(running, now),
	} {
		if err := CheckNext(running.Fence, next); err != nil || next.Seq != 5 || next.Plan != "p" || next.Line != "07x" || !next.Blocks || next.Replays != 2 {
			t.Errorf("%s: %+v, %v", name, next, err)
		}
		if next.Parked() != (name == "parked") || next.State.Final() == (name == "parked") {
			t.Errorf("%s: %s in phase %c", name, next.State, next.Phase)
		}
	}
	if next := Supersede(running, "trk_newer", true, now); next.SupersededBy != "trk_newer" || !strings.Contains(next.Message, "may have had effect") {
		t.Errorf("what was tried: %+v", next)
	}
	waits := Park(running, now)
	woken := TakeOver(waits)
	if woken.Phase != Queued || woken.State != Pending || woken.Lane != LaneResume || !woken.NextAt.IsZero() || woken.Seq != 6 || woken.Parked() {
		t.Errorf("woken: %+v", woken)
	}
	if again := Revive(Expire(running, now), Revival{}, now); again.Line != "07x" || !again.Blocks || again.SupersededBy != "" {
		t.Errorf("taken up again: %+v", again)
	}
}
