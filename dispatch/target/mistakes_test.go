package target

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// jobs is a backend with jobs: uploads are POSTs, polls GETs of /jobs, and lists of refused
// records GETs of /refused. Each answer is used once, the last one again and again.
type jobs struct {
	uploads, polls, lists []string // "status body"
	calls                 []string
}

func (b *jobs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	script := &b.polls
	switch {
	case r.Method == http.MethodPost:
		script = &b.uploads
	case strings.HasPrefix(r.URL.Path, "/refused"):
		script = &b.lists
	}
	b.calls = append(b.calls, r.Method+" "+r.URL.RequestURI())
	next := (*script)[0]
	if len(*script) > 1 {
		*script = (*script)[1:]
	}
	var status int
	_, _ = fmt.Sscan(next, &status)
	says(status, next[4:])(w, r)
}

func (b *jobs) count(start string) (n int) {
	for _, call := range b.calls {
		if strings.HasPrefix(call, start) {
			n++
		}
	}
	return n
}

const bulkYAML = `
url: ${URL}
batch: {max_records: 100}
retry: {attempts: 3, within: 100h}
steps:
- name: upload
  post: /upload
  save: {job: "${{ .response.body.job }}"}
  on_error: [{when: "${{ .response.body.code == 1016 }}", then: wait, every: 5m}]
- name: finish
  get: /jobs/${{ .saved.job }}
  until:
    state: ${{ .response.body.state }}
    running: [active]
    succeeded: [done]
    partial: [warning]
    failed: [cancelled]
    attempts: 5
    deadline: 12h
  rejects:
    get: /refused/${{ .saved.job }}
    items: ${{ .response.body.items }}
    key: {item: "${{ .item.email }}", record: "${{ .record.email }}"}
    reason: ${{ .item.why }}
    total: ${{ .response.body.total }}
    page: {limit: 10}
`

// Mistakes that engines of this kind are known to make, each a subtest with its number. Those
// that need more than an engine are tests of their own: go test ./... -run Mistake runs all.
func TestMistakes(t *testing.T) {
	const uploaded = `202 {"job":"j1"}`
	records := make([]string, 30)
	for i := range records {
		records[i] = fmt.Sprintf(`{"email":"%d@example.com"}`, i)
	}
	page := func(from, to int) string {
		var items []string
		for i := from; i < to; i++ {
			items = append(items, fmt.Sprintf(`{"email":"%d@example.com","why":"no"}`, i))
		}
		return fmt.Sprintf(`200 {"items":[%s],"total":21}`, strings.Join(items, ","))
	}
	play := func(t *testing.T, b *jobs, records []string) (tracking.Delivery, string) {
		t.Helper()
		server := newBackend(t, b.ServeHTTP)
		p := mustCompile(t, server.URL, bulkYAML)
		in := batchOf(records...)
		in.Delivery, in.Payload = tracking.Delivery{}, []byte("["+strings.Join(records, ",")+"]")
		var last tracking.Event
		e := newEngine(t)
		for range 1000 {
			last = e.Run(t.Context(), p, in)
			in.Delivery = tracking.Apply(in.Delivery, last, in.Now)
			if in.Delivery.NextAt.After(in.Now) {
				in.Now = in.Delivery.NextAt
			}
			if in.Delivery.State.Final() {
				break
			}
		}
		end, _ := last.(tracking.Concluded)
		return in.Delivery, ends(tracking.Concluded{State: in.Delivery.State, Records: end.Records}, len(records))
	}
	t.Run("Mistake01 a failed poll call uploads again", func(t *testing.T) {
		b := &jobs{uploads: []string{uploaded}, polls: []string{"500 {}", "401 {}", "404 {}", `200 {"state":"done"}`}}
		if d, _ := play(t, b, records); d.State != tracking.Succeeded || b.count("POST") != 1 {
			t.Errorf("%s after %d uploads", d.State, b.count("POST"))
		}
	})
	t.Run("Mistake03 only the first page of refusals is read", func(t *testing.T) {
		b := &jobs{uploads: []string{uploaded}, polls: []string{`200 {"state":"warning"}`}, lists: []string{page(0, 10), page(10, 20), page(20, 21)}}
		if _, ends := play(t, b, records); ends != strings.Repeat("r", 21)+strings.Repeat("s", 9) || b.count("GET /refused") != 3 {
			t.Errorf("%s after %d pages", ends, b.count("GET /refused"))
		}
	})
	t.Run("Mistake03 a cursor that repeats ends the list", func(t *testing.T) {
		b := resultsOf(t, `{"state":"partial"}`, map[string]http.HandlerFunc{"/list": says(200, `{"items":[{"i":0}],"next":"c"}`)})
		p := resultsPlan(t, b.URL, "get: /list\nitems: ${{ .response.body.items }}\nindex: ${{ .item.i }}\npage: {cursor: '${{ .response.body.next }}'}")
		if got := finished(t, p, `{}`, `{}`); ends(got, 2) != "ru" || len(b.seen()) != 3 {
			t.Errorf("ended %s after %d calls", ends(got, 2), len(b.seen()))
		}
	})
	t.Run("Mistake04 an unmapped running state is a success", func(t *testing.T) {
		b := &jobs{uploads: []string{uploaded}, polls: []string{`200 {"state":"somehow"}`, `200 {"state":"active"}`, `200 {"state":"done"}`}}
		if d, _ := play(t, b, records); d.State != tracking.Succeeded || d.Polls != 3 {
			t.Errorf("%s after %d polls", d.State, d.Polls)
		}
	})
	t.Run("Mistake04 a final state is polled for ever", func(t *testing.T) {
		b := &jobs{uploads: []string{uploaded}, polls: []string{`200 {"state":"cancelled"}`}, lists: []string{`200 {"items":[]}`}}
		if d, _ := play(t, b, records); d.State != tracking.Failed || d.Polls != 1 {
			t.Errorf("%s after %d polls", d.State, d.Polls)
		}
	})
	t.Run("Mistake05 polls count as retries", func(t *testing.T) {
		polls := make([]string, 50)
		for i := range polls {
			polls[i] = `200 {"state":"active"}`
		}
		b := &jobs{uploads: []string{uploaded}, polls: append(polls, `200 {"state":"done"}`)}
		if d, _ := play(t, b, records); d.State != tracking.Succeeded || d.Attempts != 1 || d.Polls != 51 {
			t.Errorf("%s after %d attempts and %d polls", d.State, d.Attempts, d.Polls)
		}
	})
	t.Run("Mistake06 a crash after the answer makes the job twice", func(t *testing.T) {
		b := &imports{posts: []string{"made"}}
		p := mustCompile(t, newBackend(t, b.ServeHTTP).URL, reconcileYAML)
		in, e := input(), newEngine(t)
		in.Delivery = tracking.Delivery{Fence: tracking.Fence{Seq: 1, Token: "run"}, Phase: tracking.Running, State: tracking.Pending}
		eventOf[tracking.Advanced](t, e.Run(t.Context(), p, in)) // its worker dies before it writes that down
		in.Delivery = tracking.TakeOver(in.Delivery)
		if got := eventOf[tracking.Advanced](t, e.Run(t.Context(), p, in)); got.JobID != "i-trk_1" || len(b.made) != 1 {
			t.Errorf("%+v, made %v", got, b.made)
		}
	})
	t.Run("Mistake08 identical records share one outcome in a map", func(t *testing.T) {
		b := &jobs{uploads: []string{uploaded}, polls: []string{`200 {"state":"warning"}`}, lists: []string{`200 {"items":[{"email":"a","why":"no"}]}`}}
		if _, ends := play(t, b, []string{`{"email":"a"}`, `{"email":"b"}`, `{"email":"a"}`}); ends != "rsr" {
			t.Errorf("ended %s", ends)
		}
	})
	t.Run("Mistake08 identical records take the same line of two lists", func(t *testing.T) {
		b := resultsOf(t, `{"state":"done"}`, map[string]http.HandlerFunc{
			"/failed": says(200, "email,sf__Error\na,no\n"), "/unprocessed": says(200, "email\n"), "/successful": says(200, "email\na\nb\n"),
		})
		p := resultsPlan(t, b.URL, strings.Replace(bulkLists, "when: ${{ .response.body.failed > 0 }}", "when: ${{ true }}", 1))
		if got := finished(t, p, `{"email":"a"}`, `{"email":"b"}`, `{"email":"a"}`); ends(got, 3) != "rss" {
			t.Errorf("ended %s", ends(got, 3))
		}
	})
	t.Run("Mistake09 a full queue fails the batch", func(t *testing.T) {
		full := `400 {"code":1016}`
		b := &jobs{uploads: []string{full, full, full, full, full, uploaded}, polls: []string{`200 {"state":"done"}`}}
		if d, _ := play(t, b, records); d.State != tracking.Succeeded || d.Attempts != 1 {
			t.Errorf("%s after %d attempts: %s", d.State, d.Attempts, d.Message)
		}
	})
	t.Run("Mistake10 a time-out of ours is a failure", func(t *testing.T) {
		b := &jobs{uploads: []string{uploaded}, polls: []string{`200 {"state":"active"}`}}
		if d, _ := play(t, b, records); d.State != tracking.Unknown || d.Reason != fault.JobDeadline || d.JobID != "j1" {
			t.Errorf("%s (%s), job %s", d.State, d.Reason, d.JobID)
		}
	})
	t.Run("Mistake11 one bad record fails its batch", func(t *testing.T) {
		b := &jobs{uploads: []string{uploaded}, polls: []string{`200 {"state":"warning"}`}, lists: []string{`200 {"items":[{"email":"1@example.com","why":"no"}]}`}}
		if _, ends := play(t, b, records[:3]); ends != "srs" {
			t.Errorf("ended %s", ends)
		}
	})
	t.Run("Mistake11 one locked record has its batch sent again", func(t *testing.T) {
		b := resultsOf(t, `{"state":"partial","errors":[{"i":1,"why":"locked"}]}`, nil)
		got := finished(t, resultsPlan(t, b.URL, "items: ${{ .response.body.errors }}\nindex: ${{ .item.i }}\nmeans: retry"), `{}`, `{}`, `{}`)
		if got.State != tracking.Succeeded || len(got.Records) != 1 || got.Records[1].State != tracking.Retrying {
			t.Errorf("%+v", got)
		}
	})
	t.Run("Mistake13 an empty job ID is polled", func(t *testing.T) {
		b := &jobs{uploads: []string{`202 {"job":""}`}, polls: []string{`200 {"state":"done"}`}}
		if d, _ := play(t, b, records); d.State != tracking.Failed || d.Reason != fault.BadResponse || b.count("GET") != 0 || b.count("POST") != 1 {
			t.Errorf("%s (%s) after %v", d.State, d.Reason, b.calls)
		}
	})
}
