package target

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// pagedList is a list of items from 0 to below its length, two a page, whose answers say in
// every way how it goes on: page n leads to the page that follow gives for it.
func pagedList(length int, follow func(page int) int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var page int
		_, _ = fmt.Sscan(strings.TrimPrefix(r.URL.Query().Get("after"), "c/+"), &page)
		var items []string
		for i := 2 * page; i < min(2*page+2, length); i++ {
			items = append(items, fmt.Sprintf(`{"i":%d}`, i))
		}
		cursor, link := `null`, `null`
		if next := follow(page); next >= 0 {
			cursor = fmt.Sprintf(`"c/+%d"`, next)
			link = fmt.Sprintf(`"?after=c%%2F%%2B%d"`, next)
			w.Header().Add("Link", `<http://other.example/x,y>; rel="last"; title="a, b"`)
			w.Header().Add("Link", fmt.Sprintf(`</prev>; rel=prev, </list?after=c%%2F%%2B%d>; rel="first next"`, next))
		}
		_, _ = fmt.Fprintf(w, `{"items":[%s],"cursor":%s,"link":%s}`, strings.Join(items, ","), cursor, link)
	}
}

var waysToPage = map[string]string{
	"cursor": `page: {cursor: "${{ .response.body.cursor }}", param: after}`,
	"next":   `page: {next: "${{ .response.body.link }}"}`,
	"link":   `page: {link: true}`,
}

// A list is read to its end however its pages follow each other; one that has none is no list
// that is complete.
func TestPages(t *testing.T) {
	const records = 6
	for way, page := range waysToPage {
		for name, tt := range map[string]struct {
			length int
			follow func(int) int
			want   string
			pages  int
		}{
			"one page":     {1, func(int) int { return -1 }, "rsssss", 1},
			"to its end":   {5, func(n int) int { return map[int]int{0: 1, 1: 2, 2: -1}[n] }, "rrrrrs", 3},
			"empty page":   {2, func(n int) int { return map[int]int{0: 1, 1: 2, 2: -1}[n] }, "rrssss", 3},
			"to itself":    {4, func(int) int { return 1 }, "rrrruu", 2},
			"round":        {6, func(n int) int { return map[int]int{0: 1, 1: 2, 2: 1}[n] }, "rrrrrr", 3},
			"never ending": {2, func(n int) int { return n + 1 }, "rruuuu", 4},
		} {
			t.Run(way+" "+name, func(t *testing.T) {
				b := resultsOf(t, `{"state":"partial"}`, map[string]http.HandlerFunc{"/list": pagedList(tt.length, tt.follow)})
				p := resultsPlan(t, b.URL, "get: /list\nitems: ${{ .response.body.items }}\nindex: ${{ .item.i }}\nmax_pages: 4\n"+page)
				members := make([]string, records)
				for i := range members {
					members[i] = `{}`
				}
				got := finished(t, p, members...)
				if have := statesOf(got, records); fmt.Sprint(have) != fmt.Sprint(ended(tt.want)) {
					t.Errorf("ended %v, want %s: %+v", have, tt.want, got)
				}
				if pages := len(b.seen()) - 1; pages != tt.pages {
					t.Errorf("%d pages, want %d", pages, tt.pages)
				}
			})
		}
	}
}

// A list, and the page after it, may be at another host if the target allows it, and nothing of
// the target goes there.
func TestListsElsewhere(t *testing.T) {
	var asked []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RequestURI()+" "+r.Header.Get("Authorization"))
		next := "null"
		if !r.URL.Query().Has("p") {
			next = `"/errors?p=2"`
		}
		_, _ = io.WriteString(w, `{"items":[{"i":1}],"next":`+next+`}`)
	}))
	t.Cleanup(other.Close)
	host := strings.TrimPrefix(other.URL, "http://")
	t.Setenv("CRM_TOKEN", "the token")
	for name, tt := range map[string]struct {
		allow string
		get   string
		asked int
	}{
		"allowed":     {host, `"${{ .response.body.results.errors_url }}"`, 2},
		"not allowed": {"files.example", `"${{ .response.body.results.errors_url }}"`, 0},
		"next leads":  {"files.example", `/list`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			asked = nil
			b := resultsOf(t, `{"state":"partial","results":{"errors_url":"`+other.URL+`/errors"}}`, map[string]http.HandlerFunc{
				"/list": says(200, `{"items":[{"i":1}],"next":"`+other.URL+`/errors"}`),
			})
			p := pollPlanUnder(t, b.URL, "batch: {max_records: 3}\nauth: {bearer: {env: CRM_TOKEN}}\nallow_hosts: [\""+tt.allow+"\"]\n", `rejects:
  get: `+tt.get+`
  items: ${{ .response.body.items }}
  index: ${{ .item.i }}
  page: {next: "${{ .response.body.next }}"}
`)
			e := NewEngine(Outgoing{Transport: http.DefaultTransport}, nil)
			e.guarded = http.DefaultTransport
			event := e.Run(t.Context(), p, batchOf(`{}`, `{}`))
			if len(asked) != tt.asked {
				t.Fatalf("asked %q", asked)
			}
			if tt.asked == 0 {
				got := eventOf[tracking.PollFailed](t, event)
				if !got.Final || got.Fault.Reason != fault.BadResponse || !strings.Contains(got.Fault.Message, "not in allow_hosts") {
					t.Errorf("%+v %+v", got, got.Fault)
				}
				return
			}
			if got := eventOf[tracking.Concluded](t, event); fmt.Sprint(statesOf(got, 2)) != fmt.Sprint(ended("sr")) {
				t.Errorf("%+v", got)
			}
			if asked[0] != "/errors " || asked[1] != "/errors?p=2 " {
				t.Errorf("asked %q", asked)
			}
		})
	}
}

func TestNextLink(t *testing.T) {
	for header, want := range map[string]string{
		``:                                 "",
		`<a>; rel=next`:                    "a",
		`<a>; REL="Next"`:                  "a",
		`<a>; rel="prev next"`:             "a",
		`<a>; rel=prev, <b,c>; rel="next"`: "b,c",
		`<a>; rel=nextish`:                 "",
		`<a>; title="rel=next"`:            "",
		`<a`:                               "",
		`<a>`:                              "",
		`<>; rel=next`:                     "",
	} {
		if got := nextLink([]string{header}); got != want {
			t.Errorf("%s gives %q, want %q", header, got, want)
		}
	}
}
