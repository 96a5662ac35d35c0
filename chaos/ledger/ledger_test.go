package ledger

import (
	"strings"
	"testing"
)

// good is the books of one request that went as it should.
func good() *Ledger {
	l := New()
	l.Acknowledged("order-1", "trk_1", "crm", "newsletter")
	for _, target := range []string{"crm", "newsletter"} {
		l.Executed("trk_1:"+target, "order-1")
		l.Tracked("trk_1", target, End{State: "succeeded", Final: true})
	}
	return l
}

// TestBooksThatAreWrong forges the books, once for everything that can go wrong: a judge
// that cannot find against anybody would be worth nothing.
func TestBooksThatAreWrong(t *testing.T) {
	for name, tt := range map[string]struct {
		forge func(l *Ledger)
		want  func(v Verdict) bool
		says  string
	}{
		"nothing": {
			func(*Ledger) {},
			func(v Verdict) bool {
				return v.Requests == 1 && v.Acknowledged == 2 && v.Delivered == 2 && v.Duplicates+v.Lost+v.NotFinal+v.Failed == 0
			}, "",
		},
		"said to be done and never was": {
			func(l *Ledger) {
				l.Acknowledged("order-2", "trk_2", "crm", "newsletter")
				l.Executed("trk_2:crm", "order-2")
				l.Tracked("trk_2", "crm", End{State: "succeeded", Final: true})
				l.Tracked("trk_2", "newsletter", End{State: "succeeded", Final: true})
			},
			func(v Verdict) bool { return v.Lost == 1 && v.Delivered == 3 && v.NotFinal == 0 }, "trk_2 newsletter is said to have succeeded",
		},
		"acknowledged and forgotten": {
			func(l *Ledger) { l.Acknowledged("order-2", "trk_2", "crm", "newsletter"); l.Gone("trk_2") },
			func(v Verdict) bool { return v.Lost == 2 && v.NotFinal == 2 }, "no longer known",
		},
		"acknowledged and never looked at": {
			func(l *Ledger) { l.Acknowledged("order-2", "trk_2", "crm", "newsletter") },
			func(v Verdict) bool { return v.Lost == 2 && v.NotFinal == 2 }, "never looked at",
		},
		"done and forgotten": {
			func(l *Ledger) { l.Gone("trk_1") },
			func(v Verdict) bool { return v.Lost == 0 && v.NotFinal == 2 }, "no longer known",
		},
		"stuck": {
			func(l *Ledger) { l.Tracked("trk_1", "crm", End{State: "waiting"}) },
			func(v Verdict) bool { return v.NotFinal == 1 && v.Lost == 0 }, "still waiting",
		},
		"done twice": {
			func(l *Ledger) { l.Executed("trk_1:crm", "order-1") },
			func(v Verdict) bool { return v.Duplicates == 1 && v.Delivered == 2 }, "",
		},
		"a record in one batch that was sent twice": {
			func(l *Ledger) {
				l.Acknowledged("order-2", "trk_2", "mailing")
				l.ExecutedInBatch("bat_1:mailing", "mailing", "order-2")
				l.ExecutedInBatch("bat_1:mailing", "mailing", "order-2")
				l.Tracked("trk_2", "mailing", End{State: "succeeded", Final: true})
			},
			func(v Verdict) bool { return v.Duplicates == 1 && v.Rekeyed == 0 && v.Lost == 0 && v.Delivered == 3 }, "",
		},
		"a record in two batches": {
			func(l *Ledger) {
				l.ExecutedInBatch("bat_1:mailing", "mailing", "order-1")
				l.ExecutedInBatch("bat_2:mailing", "mailing", "order-1")
			},
			func(v Verdict) bool { return v.Duplicates == 1 && v.Rekeyed == 1 }, "in several batches: bat_1:mailing bat_2:mailing",
		},
		"failed without a word": {
			func(l *Ledger) {
				l.Acknowledged("order-2", "trk_2", "crm", "newsletter")
				l.Tracked("trk_2", "crm", End{State: "failed", Final: true})
				l.Tracked("trk_2", "newsletter", End{State: "failed", Reason: "timeout", Final: true})
			},
			func(v Verdict) bool { return v.Failed == 2 && v.Lost == 1 }, "ended failed (timeout)",
		},
		"two dispatches that the client saw": {
			func(l *Ledger) { l.Acknowledged("order-1", "trk_9", "crm") },
			func(v Verdict) bool { return v.Doubled == 1 }, "several dispatches: trk_1 trk_9",
		},
		"two dispatches that only the backend saw": {
			func(l *Ledger) { l.Executed("trk_9:crm", "order-1") },
			func(v Verdict) bool { return v.Doubled == 1 }, "several dispatches: trk_1 trk_9",
		},
		"never accepted": {
			func(l *Ledger) { l.Refused("order-2"); l.Cut("order-2"); l.Unknown("order-2") },
			func(v Verdict) bool { return v.NeverAccepted == 1 && v.Requests == 1 }, "never accepted",
		},
		"answered wrongly": {
			func(l *Ledger) { l.Wrong("order-1", "422") },
			func(v Verdict) bool { return v.Wrong == 1 }, "answered 422",
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := good()
			tt.forge(l)
			v := l.Judge()
			if !tt.want(v) {
				t.Errorf("judged %+v", v)
			}
			if !strings.Contains(strings.Join(v.Details, "\n"), tt.says) {
				t.Errorf("the details do not say %q: %q", tt.says, v.Details)
			}
		})
	}
}

// TestOtherTargetsDoNotCount: what was done for a target whose name begins the same does
// not stand for another.
func TestOtherTargetsDoNotCount(t *testing.T) {
	l := New()
	l.Acknowledged("order-1", "trk_1", "crm")
	l.Executed("trk_1:crm2", "order-1")
	l.Executed("trk_11:crm", "")
	l.Tracked("trk_1", "crm", End{State: "succeeded", Final: true})
	if v := l.Judge(); v.Lost != 1 || v.Delivered != 0 {
		t.Errorf("judged %+v", v)
	}
}

// TestSteps: a delivery of several steps is delivered when one of them was done, and
// each step counts its own duplicates.
func TestSteps(t *testing.T) {
	l := New()
	l.Acknowledged("order-1", "trk_1", "crm")
	l.Executed("trk_1:crm:define", "order-1")
	l.Executed("trk_1:crm:upload", "order-1")
	l.Executed("trk_1:crm:upload", "order-1")
	l.Tracked("trk_1", "crm", End{State: "succeeded", Final: true})
	if v := l.Judge(); v.Lost != 0 || v.Delivered != 1 || v.Duplicates != 1 {
		t.Errorf("judged %+v", v)
	}
	if got := l.IDs(); len(got) != 1 || l.Accepted() != 1 {
		t.Errorf("acknowledged are %v", got)
	}
	l.Cut("order-1")
	if got := l.Uncertain(); len(got) != 1 {
		t.Errorf("uncertain are %v", got)
	}
}
