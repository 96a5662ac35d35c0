package trackingtest

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

var deadRules = map[string]func(*testing.T, tracking.Store){
	"only failed deliveries are dead letters":    deadOnlyFailed,
	"dead letters are filtered":                  deadFiltered,
	"dead letters are paged":                     deadPaged,
	"a listing ends where it began":              deadListingEnds,
	"dead letters refuse a foreign cursor":       deadBadCursor,
	"a dead letter is shown with its payload":    deadShown,
	"a dropped dead letter is gone":              deadDropped,
	"a revived delivery is open again":           deadRevived,
	"a revived delivery fails again":             deadAgain,
	"revive takes a corrected payload":           deadCorrected,
	"revive needs a payload":                     deadNoPayload,
	"a success keeps its payload when told to":   deadKeptPayload,
	"revive is fenced":                           deadFenced,
	"revive has one winner":                      deadOneWinner,
	"revive refuses what breaks the record":      deadInvalid,
	"revive resumes an unknown delivery":         deadUnknown,
	"young dead letters do not expire":           deadYoung,
	"the idempotency key outlives a revived end": deadIdem,
}

// die lets a new delivery to the target fail for good.
func die(t testing.TB, s tracking.Store, target string, reason fault.Reason) (tracking.Ref, tracking.Delivery) {
	t.Helper()
	d := accepted(t, s, target)
	end := step(t, s, ref(d, target), tracking.AttemptFailed{
		Fault: &fault.Fault{Reason: reason, Message: "it said no", Status: 500}, Final: true,
	})
	return ref(d, target), end
}

// letters reads a whole listing, page by page.
func letters(t testing.TB, s tracking.Store, q tracking.DeadQuery) (out []tracking.Letter) {
	t.Helper()
	for pages := 0; ; pages++ {
		page, err := s.DeadLetters(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Letters) > q.Size() || pages > 10000 {
			t.Fatalf("a page of %d, want at most %d; %d pages", len(page.Letters), q.Size(), pages)
		}
		out = append(out, page.Letters...)
		if page.Next == "" {
			return out
		}
		q.Cursor = page.Next
	}
}

func dead(t testing.TB, s tracking.Store, r tracking.Ref) bool {
	t.Helper()
	return slices.ContainsFunc(letters(t, s, tracking.DeadQuery{Target: r.Target, Limit: 1000}), func(l tracking.Letter) bool { return l.Ref == r })
}

func revive(t testing.TB, s tracking.Store, r tracking.Ref, how tracking.Revival, payload json.RawMessage) tracking.Delivery {
	t.Helper()
	l, err := s.Letter(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	next := tracking.Revive(l.Delivery, how, l.Now)
	if err := s.Revive(t.Context(), r, l.Delivery.Fence, next, payload); err != nil {
		t.Fatalf("Revive %s: %v", r.Target, err)
	}
	return next
}

func deadOnlyFailed(t *testing.T, s tracking.Store) {
	for state, want := range map[tracking.State]bool{
		tracking.Succeeded: false, tracking.Warned: false, tracking.Rejected: false, tracking.Failed: true,
		tracking.Unknown: false, tracking.Superseded: false, tracking.Canceled: false,
	} {
		target := unique("target")
		d := accepted(t, s, target)
		step(t, s, ref(d, target), tracking.NotYet{})
		if dead(t, s, ref(d, target)) {
			t.Error("one that is under way is listed")
		}
		step(t, s, ref(d, target), tracking.Concluded{State: state})
		if got := dead(t, s, ref(d, target)); got != want {
			t.Errorf("%s is listed: %v", state, got)
		}
	}
}

func deadFiltered(t *testing.T, s tracking.Store) {
	target := unique("target")
	one, end := die(t, s, target, fault.Timeout)
	die(t, s, target, fault.ServerError)
	die(t, s, unique("target"), fault.Timeout)
	at := end.EndedAt
	for name, c := range map[string]struct {
		q    tracking.DeadQuery
		want int
	}{
		"target":         {tracking.DeadQuery{}, 2},
		"reason":         {tracking.DeadQuery{Reason: fault.Timeout}, 1},
		"no reason":      {tracking.DeadQuery{Reason: fault.Auth}, 0},
		"route":          {tracking.DeadQuery{Route: "profile-changed"}, 2},
		"another route":  {tracking.DeadQuery{Route: "other"}, 0},
		"tenant":         {tracking.DeadQuery{Tenant: owner}, 2},
		"another tenant": {tracking.DeadQuery{Tenant: "acme"}, 0},
		"since":          {tracking.DeadQuery{Since: at.Add(-time.Minute)}, 2},
		"since later":    {tracking.DeadQuery{Since: at.Add(time.Hour)}, 0},
		"until later":    {tracking.DeadQuery{Until: at.Add(time.Hour)}, 2},
		"until":          {tracking.DeadQuery{Until: at.Add(-time.Minute)}, 0},
	} {
		c.q.Target = target
		if got := letters(t, s, c.q); len(got) != c.want {
			t.Errorf("by %s: %d letters, want %d", name, len(got), c.want)
		}
	}
	got := letters(t, s, tracking.DeadQuery{Target: target, Reason: fault.Timeout})
	if len(got) != 1 || got[0].Ref != one || got[0].Route != "profile-changed" || got[0].Tenant != owner || !got[0].Dead ||
		got[0].Delivery.Message != "it said no" || got[0].Delivery.HTTPStatus != 500 || got[0].Delivery.Attempts != 1 {
		t.Errorf("listed %+v", got)
	}
}

func deadPaged(t *testing.T, s tracking.Store) {
	target := unique("target")
	want := map[tracking.Ref]bool{}
	for range 37 {
		r, _ := die(t, s, target, fault.Timeout)
		want[r] = true
	}
	for _, size := range []int{1, 5, 36, 37, 38, 1000} {
		got := letters(t, s, tracking.DeadQuery{Target: target, Limit: size})
		seen := map[tracking.Ref]bool{}
		for _, l := range got {
			seen[l.Ref] = true
		}
		if len(got) != len(want) || !reflect.DeepEqual(seen, want) {
			t.Errorf("pages of %d: %d letters, %d different, want %d", size, len(got), len(seen), len(want))
		}
		if !slices.IsSortedFunc(got, func(a, b tracking.Letter) int {
			return a.Delivery.EndedAt.Truncate(time.Second).Compare(b.Delivery.EndedAt.Truncate(time.Second))
		}) {
			t.Errorf("pages of %d: not oldest first", size)
		}
	}
	// What is removed while a listing goes on does not make it miss any.
	q := tracking.DeadQuery{Target: target, Limit: 5}
	left := 0
	for {
		page, err := s.DeadLetters(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range page.Letters {
			left++
			if err := s.DropDeadLetter(t.Context(), l.Ref); err != nil {
				t.Error(err)
			}
		}
		if page.Next == "" {
			break
		}
		q.Cursor = page.Next
	}
	if left != len(want) || len(letters(t, s, tracking.DeadQuery{Target: target})) != 0 {
		t.Errorf("%d of %d were dropped", left, len(want))
	}
}

// deadListingEnds: what dies after the first page is in a later listing, so that work on
// all of them comes to an end also when each fails again.
func deadListingEnds(t *testing.T, s tracking.Store) {
	target := unique("target")
	for range 3 {
		die(t, s, target, fault.Timeout)
	}
	q := tracking.DeadQuery{Target: target, Limit: 1}
	page, err := s.DeadLetters(t.Context(), q)
	if err != nil || len(page.Letters) != 1 || page.Next == "" || page.Letters[0].Cursor != page.Next {
		t.Fatalf("%+v, %v", page, err)
	}
	// The listing holds what died in the millisecond it began in; the next one is later.
	begun := page.Letters[0].Now
	eventually(t, "a later millisecond", func() bool {
		_, end := die(t, s, unique("target"), fault.Timeout)
		return end.EndedAt.After(begun.Add(time.Millisecond))
	})
	late, _ := die(t, s, target, fault.Timeout)
	q.Cursor = page.Next
	if got := letters(t, s, q); len(got) != 2 || slices.ContainsFunc(got, func(l tracking.Letter) bool { return l.Ref == late }) {
		t.Errorf("the rest is %d letters", len(got))
	}
	if got := letters(t, s, tracking.DeadQuery{Target: target}); len(got) != 4 {
		t.Errorf("a new listing has %d letters", len(got))
	}
}

func deadBadCursor(t *testing.T, s tracking.Store) {
	for _, cursor := range []string{"x", "!", "MSAy", strings.Repeat("A", 100)} {
		_, err := s.DeadLetters(t.Context(), tracking.DeadQuery{Cursor: cursor})
		wantErr(t, "a cursor of "+cursor, err, tracking.ErrInvalid)
	}
}

func deadShown(t *testing.T, s tracking.Store) {
	r, end := die(t, s, "crm", fault.Timeout)
	l, err := s.Letter(t.Context(), r)
	if err != nil || l.Ref != r || !l.Dead || string(l.Payload) != `{"for":"crm"}` || !reflect.DeepEqual(l.Delivery, end) {
		t.Fatalf("%+v, %v", l, err)
	}
	if kept := l.Expires.Sub(l.Now); kept <= tracking.DeadLetterRetention-patience || kept > tracking.DeadLetterRetention {
		t.Errorf("kept for %v", kept)
	}
	open := accepted(t, s, "crm")
	if l, err := s.Letter(t.Context(), ref(open, "crm")); err != nil || l.Dead || !l.Expires.IsZero() {
		t.Errorf("one under way: %+v, %v", l, err)
	}
	for _, other := range []tracking.Ref{{Tracking: r.Tracking, Target: "mail"}, {Tracking: "trk_1", Target: "crm"}} {
		_, err := s.Letter(t.Context(), other)
		wantErr(t, "Letter", err, tracking.ErrNotFound)
	}
}

func deadDropped(t *testing.T, s tracking.Store) {
	r, end := die(t, s, unique("target"), fault.Timeout)
	if err := s.DropDeadLetter(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	l, err := s.Letter(t.Context(), r)
	if err != nil || l.Dead || l.Payload != nil || !reflect.DeepEqual(l.Delivery, end) || dead(t, s, r) {
		t.Errorf("%+v, %v", l, err)
	}
	wantErr(t, "a second drop", s.DropDeadLetter(t.Context(), r), tracking.ErrNotFound)
	wantErr(t, "a drop of nothing", s.DropDeadLetter(t.Context(), tracking.Ref{Tracking: "trk_1"}), tracking.ErrNotFound)
	rejected := accepted(t, s, "crm")
	step(t, s, ref(rejected, "crm"), tracking.Concluded{State: tracking.Rejected})
	wantErr(t, "a drop of a rejected one", s.DropDeadLetter(t.Context(), ref(rejected, "crm")), tracking.ErrNotFound)
}

func deadRevived(t *testing.T, s tracking.Store) {
	r, end := die(t, s, unique("target"), fault.Timeout)
	next := revive(t, s, r, tracking.Revival{}, nil)
	if next.Seq != end.Seq+1 || next.State != tracking.Pending || next.Attempts != 0 || next.PastAttempts != 1 || next.Replays != 1 || next.Plan != end.Plan {
		t.Errorf("revived to %+v", next)
	}
	if got := load(t, s, r.Tracking); !reflect.DeepEqual(got.Deliveries[r.Target], next) || got.Status() != tracking.InProgress {
		t.Errorf("recorded %+v, status %s", got.Deliveries[r.Target], got.Status())
	}
	if dead(t, s, r) || where(t, s, r) != "queued" {
		t.Errorf("dead: %v, in %q", dead(t, s, r), where(t, s, r))
	}
	open, err := s.OpenPlans(t.Context())
	if n := open[tracking.PlanRef{Target: r.Target, Hash: end.Plan}]; err != nil || n != 1 {
		t.Errorf("counted as open %d times (%v)", n, err)
	}
	_, err = s.Claim(t.Context(), r, end.Seq, "run", long)
	wantErr(t, "Claim by a task of before", err, tracking.ErrStale)
	c := claim(t, s, r, next.Seq, "run", long)
	if want := `{"for":` + quote(r.Target) + `}`; string(c.Payload) != want {
		t.Errorf("payload %s, want %s", c.Payload, want)
	}
	apply(t, s, r, c.Delivery, succeeded(), c.Now)
	if got := load(t, s, r.Tracking); got.Status() != tracking.DispatchSucceeded || where(t, s, r) != "" {
		t.Errorf("status %s, in %q", got.Status(), where(t, s, r))
	}
	if open, err = s.OpenPlans(t.Context()); err != nil || open[tracking.PlanRef{Target: r.Target, Hash: end.Plan}] != 0 {
		t.Errorf("still counted as open: %v (%v)", open, err)
	}
}

func deadAgain(t *testing.T, s tracking.Store) {
	r, _ := die(t, s, unique("target"), fault.Timeout)
	for i := range 3 {
		revive(t, s, r, tracking.Revival{NewKey: i == 1}, nil)
		end := step(t, s, r, failedFor(0, true))
		if !dead(t, s, r) || end.Replays != i+1 || end.PastAttempts != i+1 || end.Attempts != 1 {
			t.Fatalf("after %d replays: dead %v, %+v", i+1, dead(t, s, r), end)
		}
		if want := []string{"", ".r2", ".r2"}[i]; end.KeySuffix != want {
			t.Errorf("after %d replays the keys end in %q, want %q", i+1, end.KeySuffix, want)
		}
	}
}

func deadCorrected(t *testing.T, s tracking.Store) {
	r, _ := die(t, s, "crm", fault.Timeout)
	next := revive(t, s, r, tracking.Revival{NewKey: true}, json.RawMessage(`{"better":1}`))
	c := claim(t, s, r, next.Seq, "run", long)
	if string(c.Payload) != `{"better":1}` || c.Delivery.KeySuffix != ".r1" {
		t.Errorf("claimed %s with keys that end in %q", c.Payload, c.Delivery.KeySuffix)
	}
}

func deadNoPayload(t *testing.T, s tracking.Store) {
	r, end := die(t, s, "crm", fault.Timeout)
	if err := s.DropDeadLetter(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	next := tracking.Revive(end, tracking.Revival{}, time.Now())
	wantErr(t, "Revive", s.Revive(t.Context(), r, end.Fence, next, nil), tracking.ErrNoPayload)
	if got := load(t, s, r.Tracking); got.Status() != tracking.DispatchFailed {
		t.Errorf("status %s", got.Status())
	}
	if err := s.Revive(t.Context(), r, end.Fence, next, json.RawMessage(`1`)); err != nil {
		t.Errorf("with a payload: %v", err)
	}
}

func deadKeptPayload(t *testing.T, s tracking.Store) {
	for _, keep := range []bool{false, true} {
		a := acceptance(t, "", "crm")
		d := a.Dispatch.Deliveries["crm"]
		d.KeepPayload = keep
		a.Dispatch.Deliveries["crm"] = d
		accept(t, s, a)
		r := ref(a.Dispatch, "crm")
		c := claim(t, s, r, 1, "run", long)
		end := apply(t, s, r, c.Delivery, succeeded(), c.Now)
		l, err := s.Letter(t.Context(), r)
		if err != nil || (l.Payload != nil) != keep || (keep && string(l.Payload) != `{"for":"crm"}`) {
			t.Fatalf("keep %v: %+v, %v", keep, l, err)
		}
		next := tracking.Revive(end, tracking.Revival{}, time.Now())
		if err := s.Revive(t.Context(), r, end.Fence, next, nil); (err == nil) != keep {
			t.Errorf("keep %v: sent again: %v", keep, err)
		}
		if keep && !next.KeepPayload {
			t.Error("the second success would drop it")
		}
	}
}

func deadFenced(t *testing.T, s tracking.Store) {
	r, end := die(t, s, "crm", fault.Timeout)
	next := tracking.Revive(end, tracking.Revival{}, time.Now())
	wantErr(t, "behind", s.Revive(t.Context(), r, tracking.Fence{Seq: end.Seq - 1}, next, nil), tracking.ErrFenced)
	for range 2 { // an answer that was lost is asked for again
		if err := s.Revive(t.Context(), r, end.Fence, next, nil); err != nil {
			t.Fatal(err)
		}
	}
	open := load(t, s, r.Tracking).Deliveries["crm"]
	again := open
	again.Seq++
	wantErr(t, "of an open one", s.Revive(t.Context(), r, open.Fence, again, nil), tracking.ErrFenced)
	never, err := tracking.NewID("")
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, "of nothing", s.Revive(t.Context(), tracking.Ref{Tracking: never, Target: "crm"}, end.Fence, next, nil), tracking.ErrNotFound)
	step(t, s, r, succeeded())
	if got := load(t, s, r.Tracking).Status(); got != tracking.DispatchSucceeded {
		t.Errorf("status %s", got)
	}
}

func deadOneWinner(t *testing.T, s tracking.Store) {
	r, end := die(t, s, unique("target"), fault.Timeout)
	var all sync.WaitGroup
	var won atomic.Int32
	for i := range 8 {
		all.Go(func() {
			next := tracking.Revive(end, tracking.Revival{}, time.UnixMilli(int64(1000+i)))
			if s.Revive(t.Context(), r, end.Fence, next, nil) == nil {
				won.Add(1)
			}
		})
	}
	all.Wait()
	open, err := s.OpenPlans(t.Context())
	if n := open[tracking.PlanRef{Target: r.Target, Hash: end.Plan}]; won.Load() != 1 || n != 1 || err != nil {
		t.Errorf("%d replays went through, counted %d times (%v)", won.Load(), n, err)
	}
}

func deadInvalid(t *testing.T, s tracking.Store) {
	r, end := die(t, s, "crm", fault.Timeout)
	for name, spoil := range map[string]func(*tracking.Delivery){
		"final":     func(d *tracking.Delivery) { d.State, d.Phase = tracking.Failed, tracking.Ended },
		"scheduled": func(d *tracking.Delivery) { d.Phase = tracking.Scheduled },
		"running":   func(d *tracking.Delivery) { d.Phase = tracking.Running },
		"claimed":   func(d *tracking.Delivery) { d.Token = "run" },
		"same seq":  func(d *tracking.Delivery) { d.Seq = end.Seq },
	} {
		next := tracking.Revive(end, tracking.Revival{}, time.Now())
		spoil(&next)
		wantErr(t, name, s.Revive(t.Context(), r, end.Fence, next, nil), tracking.ErrInvalid)
	}
}

func deadUnknown(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm", "mail")
	r := ref(d, "crm")
	saved := map[string]json.RawMessage{"job": json.RawMessage(`"j-1"`)}
	step(t, s, r, tracking.Advanced{Answer: tracking.Answer{JobID: "j-1"}, Next: "finish", Saved: saved})
	step(t, s, r, tracking.Concluded{State: tracking.Unknown, Reason: fault.JobDeadline, Poll: true})
	next := revive(t, s, r, tracking.Revival{Resume: true}, nil)
	if next.State != tracking.Waiting || next.Step != "finish" || next.JobID != "j-1" || !reflect.DeepEqual(next.Saved, saved) || next.StepSince.IsZero() {
		t.Errorf("resumed as %+v", next)
	}
	step(t, s, r, succeeded())
	step(t, s, ref(d, "mail"), succeeded())
	if got := load(t, s, d.ID).Status(); got != tracking.DispatchSucceeded {
		t.Errorf("status %s", got)
	}
}

func deadYoung(t *testing.T, s tracking.Store) {
	r, _ := die(t, s, unique("target"), fault.Timeout)
	if n, err := s.ExpireDeadLetters(t.Context(), 1000); n != 0 || err != nil {
		t.Errorf("%d expired, %v", n, err)
	}
	if !dead(t, s, r) {
		t.Error("it is gone")
	}
}

func deadIdem(t *testing.T, s tracking.Store) {
	hash := unique("idem")
	a := acceptance(t, hash, "crm")
	d := accept(t, s, a)
	step(t, s, ref(d, "crm"), failedFor(0, true))
	revive(t, s, ref(d, "crm"), tracking.Revival{}, nil)
	for range 2 {
		if row, err := s.Idem(t.Context(), hash); err != nil || row == nil || row.ID != d.ID {
			t.Errorf("Idem = %+v, %v", row, err)
		}
		if load(t, s, d.ID).Status() == tracking.InProgress {
			step(t, s, ref(d, "crm"), succeeded())
		}
	}
}
