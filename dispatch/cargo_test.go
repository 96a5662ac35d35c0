package dispatch_test

import (
	"fmt"
	"strings"
	"testing"

	"headgate/dispatch"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

// records reads an upload whose records are not held: how large the largest page was, too.
func records(t *testing.T, u *target.Upload) (out []string, largest int) {
	t.Helper()
	if u.Page == nil || u.Records != nil {
		t.Fatalf("%d records are held", len(u.Records))
	}
	for len(out) < len(u.Keys) {
		page, err := u.Page(t.Context(), len(out))
		if err != nil || len(page) == 0 {
			t.Fatalf("%d records, %v", len(page), err)
		}
		bytes := 0
		for _, record := range page {
			out = append(out, string(record))
			bytes += len(record)
		}
		largest = max(largest, bytes)
	}
	return out, largest
}

// Of a batch that is too large to be held, what a run is given is read again, page by page:
// the same records each time, those of the window alone, and later those that were sent. A call that
// is under way waits for a store that is away for a moment.
func TestLargeBatchIsReadInPages(t *testing.T) {
	const n, size = 150, 60_000
	w := newBatchWorld(t, fmt.Sprintf(`{max_records: %d, max_bytes: 50MB}`, n),
		tracking.Advanced{Answer: tracking.Answer{JobID: "j1"}, Next: "poll"}, succeeded())
	away := new(flicker)
	w.runner.Store = flickering{w.store, away}
	var refs []tracking.Ref
	var queued []dispatch.Task
	for i := range n {
		ref, more := w.member(t, fmt.Sprintf(`"%d %s"`, i, strings.Repeat("x", size)))
		refs, queued = append(refs, ref), append(queued, more...)
	}
	check := func(u *target.Upload, err error, left int) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			away.from = away.calls + 1
			got, largest := records(t, u)
			if len(got) != n || largest > 1<<20 {
				t.Fatalf("%d records, in pages of up to %d bytes", len(got), largest)
			}
			for i, record := range got {
				if want := fmt.Sprintf(`"%d x`, i); i != left && !strings.HasPrefix(record, want) || i == left && record != "" {
					t.Errorf("record %d is %.20s", i, record)
				}
				if !strings.HasPrefix(u.Keys[i], refs[i].Tracking) {
					t.Errorf("record %d has the key %s", i, u.Keys[i])
				}
			}
		}
	}
	seen := 0
	w.steps.during = func() {
		in := w.steps.ran[len(w.steps.ran)-1]
		switch seen++; seen {
		case 1:
			check(in.Upload, nil, -1)
			sent, err := in.Records(t.Context())
			check(sent, err, -1)
		case 2:
			sent, err := in.Records(t.Context())
			check(sent, err, 3)
		}
	}
	w.run(t, queued[len(queued)-1])
	left := w.track(t, refs[3])
	if err := w.store.Apply(t.Context(), refs[3], left.Fence, tracking.TakeOver(left)); err != nil {
		t.Fatal(err)
	}
	w.finish(t, w.queue.take()...)
	if seen != 2 || w.track(t, refs[0]).State != tracking.Succeeded {
		t.Errorf("%d runs, %+v", seen, w.track(t, refs[0]))
	}
}

// A batch is held when it is small, and when its body cannot be written otherwise.
func TestBatchIsHeld(t *testing.T) {
	for name, tt := range map[string]struct {
		call string
		size int
	}{
		"small":   {`post: /x`, 1000},
		"a whole": {`post: /x, json: {n: "${{ .records | length }}", all: "${{ .records }}"}`, 600_000},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, succeeded())
			plan := compile(t, "crm", `{url: "https://crm.example", batch: {max_records: 10, max_bytes: 50MB}, `+tt.call+`}`)
			w.live["crm"], w.fanout.Bindings[0].Plan = plan, plan
			var queued []dispatch.Task
			for range 10 {
				_, more := w.member(t, `"`+strings.Repeat("x", tt.size)+`"`)
				queued = append(queued, more...)
			}
			w.steps.during = func() {
				u := w.steps.ran[0].Upload
				if u.Page != nil || len(u.Records) != 10 {
					t.Errorf("%d records are held", len(u.Records))
				}
			}
			w.run(t, queued[len(queued)-1])
			if len(w.steps.ran) != 1 {
				t.Errorf("%d runs", len(w.steps.ran))
			}
		})
	}
}
