package simulate_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"headgate/internal/simulate"
)

func TestEloquaSyncStates(t *testing.T) {
	for polls, want := range map[int][]string{
		1: {"success", "success"},
		2: {"active", "success"},
		4: {"pending", "active", "active", "success", "success"},
	} {
		t.Run(fmt.Sprint(polls), func(t *testing.T) {
			c := serve(t, simulate.NewEloqua(simulate.EloquaOptions{PollsUntilDone: polls}))
			sync := c.sync(c.newImport(`[{"C_EmailAddress":"a@x.org","C_Company":"A"}]`))
			for i, status := range want {
				equal(t, fmt.Sprint("poll ", i+1), c.bulkDo(200, "GET", sync, "").json(t, "status"), status)
			}
		})
	}
}

func TestEloquaRefusesSyncs(t *testing.T) {
	c := serve(t, simulate.NewEloqua(simulate.EloquaOptions{PollsUntilDone: 2}))
	uri := c.newImport(`[{"C_EmailAddress":"a@x.org"}]`)
	for _, tt := range []struct{ body, field string }{
		{`{`, ""},
		{`{}`, "syncedInstanceUri"},
		{`{"syncedInstanceUri":"/contacts/imports/999"}`, "syncedInstanceUri"},
		{`{"syncedInstanceUri":"` + strings.TrimPrefix(uri, "/contacts") + `"}`, "syncedInstanceUri"},
		{`{"syncedInstanceUri":"` + uri + `","callbackUrl":"not a url"}`, "callbackUrl"},
	} {
		equal(t, tt.body, c.bulkDo(400, "POST", "/syncs", tt.body).json(t, "failures", 0, "field"), tt.field)
	}
	again := fmt.Sprintf(`{"syncedInstanceUri":%q}`, uri)
	sync := c.sync(uri)
	equal(t, "while active", c.bulkDo(409, "POST", "/syncs", again).json(t, "failures", 0, "field"), "syncedInstanceUri")
	c.bulkDo(200, "GET", sync, "")
	c.bulkDo(409, "POST", "/syncs", again)
	c.bulkDo(200, "GET", sync, "")
	c.bulkDo(201, "POST", "/syncs", again)
}

func TestEloquaRejects(t *testing.T) {
	c := serve(t, simulate.NewEloqua(simulate.EloquaOptions{PollsUntilDone: 2}))
	sync := c.sync(c.newImport(
		`[{"C_EmailAddress":"a@x.org","C_Company":"A"},{"C_EmailAddress":"nonsense","C_Company":"B"}]`,
		`[{"C_EmailAddress":"c@x.org","C_Company":"","C_Other":12345678901234567890},{"C_EmailAddress":"d@x.org"},{"C_Company":null}]`))
	early := c.bulkDo(200, "GET", sync+"/rejects", "")
	equal(t, "before the end", []any{early.json(t, "totalResults"), early.json(t, "items")}, []any{0, []any{}})
	c.bulkDo(200, "GET", sync, "")
	equal(t, "status", c.bulkDo(200, "GET", sync, "").json(t, "status"), "warning")

	r := c.bulkDo(200, "GET", sync+"/rejects", "")
	var got []string
	for i := range 5 {
		got = append(got, fmt.Sprint(r.json(t, "items", i, "recordIndex"), r.json(t, "items", i, "statusCode"),
			r.json(t, "items", i, "invalidFields")))
	}
	equal(t, "rejects", got, []string{"2ELQ-00002[C_EmailAddress]", "3ELQ-00040[C_Company]",
		"4ELQ-00040[C_Company]", "5ELQ-00002[C_EmailAddress]", "5ELQ-00040[C_Company]"})
	equal(t, "values", r.json(t, "items", 0, "fieldValues"), map[string]string{"C_EmailAddress": "nonsense", "C_Company": "B"})
	equal(t, "nulls", r.json(t, "items", 4, "fieldValues"), map[string]string{"C_Company": ""})

	logs := c.bulkDo(200, "GET", sync+"/logs", "")
	var lines []string
	for i := range int(logs.json(t, "totalResults").(float64)) {
		lines = append(lines, fmt.Sprint(logs.json(t, "items", i, "severity"), " ",
			logs.json(t, "items", i, "statusCode"), " ", logs.json(t, "items", i, "count")))
	}
	equal(t, "logs", lines, []string{"information ELQ-00001 5", "warning ELQ-00111 1", "warning ELQ-00002 2",
		"warning ELQ-00040 3", "information ELQ-00004 3"})
}

func TestEloquaCompanyIsOnlyAskedForWhenMapped(t *testing.T) {
	c := serve(t, simulate.NewEloqua(simulate.EloquaOptions{PollsUntilDone: 1}))
	uri := c.bulkDo(201, "POST", "/contacts/imports", `{"name":"n","identifierFieldName":"C_EmailAddress",
		"fields":{"C_EmailAddress":"{{Contact.Field(C_EmailAddress)}}"}}`).json(t, "uri").(string)
	c.bulkDo(204, "POST", uri+"/data", `[{"C_EmailAddress":"a@x.org"}]`)
	equal(t, "status", c.bulkDo(200, "GET", c.sync(uri), "").json(t, "status"), "success")
}

func TestEloquaRejectsByOption(t *testing.T) {
	c := serve(t, simulate.NewEloqua(simulate.EloquaOptions{
		PollsUntilDone: 1,
		Rejects: func(record map[string]any, index int) []simulate.Reject {
			if record["C_Company"] == "bad" {
				return []simulate.Reject{{StatusCode: fmt.Sprint("ELQ-", index), Message: "no"}}
			}
			return nil
		},
		Fails: func(records []map[string]any) bool { return len(records) > 2 },
	}))
	sync := c.sync(c.newImport(`[{"C_EmailAddress":"x"},{"C_Company":"bad"}]`))
	equal(t, "status", c.bulkDo(200, "GET", sync, "").json(t, "status"), "warning")
	r := c.bulkDo(200, "GET", sync+"/rejects", "")
	equal(t, "reject", []any{r.json(t, "items", 0, "statusCode"), r.json(t, "items", 0, "message"),
		r.json(t, "items", 0, "invalidFields")}, []any{"ELQ-1", "no", []any{}})

	sync = c.sync(c.newImport(`[{},{},{"C_Company":"bad"}]`))
	equal(t, "status", c.bulkDo(200, "GET", sync, "").json(t, "status"), "error")
	equal(t, "rejects", c.bulkDo(200, "GET", sync+"/rejects", "").json(t, "totalResults"), 0)
}

func TestEloquaPagesRejects(t *testing.T) {
	c := serve(t, simulate.NewEloqua(simulate.EloquaOptions{PollsUntilDone: 1}))
	bad := make([]string, 2001)
	for i := range bad {
		bad[i] = fmt.Sprintf(`{"C_EmailAddress":"no-%d","C_Company":"A"}`, i)
	}
	sync := c.sync(c.newImport("[" + strings.Join(bad, ",") + "]"))
	c.bulkDo(200, "GET", sync, "")
	for _, tt := range []struct {
		query                       string
		limit, offset, count, first int
		more                        bool
	}{
		{"", 1000, 0, 1000, 1, true},
		{"?limit=1000&offset=1000", 1000, 1000, 1000, 1001, true},
		{"?limit=1000&offset=2000", 1000, 2000, 1, 2001, false},
		{"?limit=3&offset=1998", 3, 1998, 3, 1999, false},
		{"?offset=5000", 1000, 5000, 0, 0, false},
	} {
		r := c.bulkDo(200, "GET", sync+"/rejects"+tt.query, "")
		first := r.json(t, "items", 0, "recordIndex")
		if first == nil {
			first = 0
		}
		equal(t, tt.query, []any{r.json(t, "limit"), r.json(t, "offset"), r.json(t, "count"), first, r.json(t, "hasMore"),
			r.json(t, "totalResults"), len(r.json(t, "items").([]any))},
			[]any{tt.limit, tt.offset, tt.count, tt.first, tt.more, 2001, tt.count})
	}
	for _, bad := range []string{"?limit=0", "?limit=1001", "?limit=x", "?offset=-1"} {
		c.bulkDo(400, "GET", sync+"/rejects"+bad, "")
	}
	c.bulkDo(404, "GET", "/syncs/999/rejects", "")
}

// receiver notes callbacks, and what else it was told to note, in order.
func receiver(t *testing.T, hold <-chan struct{}) (url string, calls chan string) {
	calls = make(chan string, 10)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		calls <- r.Method + " " + string(body)
		if hold != nil {
			select {
			case <-hold:
			case <-r.Context().Done():
			}
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, calls
}

// next waits for one callback.
func next(t *testing.T, calls <-chan string) string {
	t.Helper()
	select {
	case call := <-calls:
		return call
	case <-time.After(10 * time.Second):
		t.Fatal("no callback")
		return ""
	}
}

func TestEloquaCallbackAfterTheEnd(t *testing.T) {
	const data = `[{"C_EmailAddress":"a@x.org","C_Company":"A"}]`
	clock := newClock()
	for name, opts := range map[string]simulate.EloquaOptions{
		"by polls": {PollsUntilDone: 2},
		"by time":  {JobDuration: time.Minute, Now: clock.Now},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, simulate.NewEloqua(opts))
			url, calls := receiver(t, nil)
			sync := c.bulkDo(201, "POST", "/syncs",
				fmt.Sprintf(`{"syncedInstanceUri":%q,"callbackUrl":%q}`, c.newImport(data), url)).json(t, "uri").(string)
			c.bulkDo(200, "GET", sync, "")
			if len(calls) > 0 {
				t.Error("called back before the end")
			}
			clock.advance(time.Minute)
			if opts.PollsUntilDone > 0 {
				c.bulkDo(200, "GET", sync, "")
			}
			call := next(t, calls)
			if !strings.HasPrefix(call, "POST ") || !strings.Contains(call, `"status":"success"`) || !strings.Contains(call, sync) {
				t.Errorf("callback %s", call)
			}
			c.bulkDo(200, "GET", sync, "")
			// Once only: the next call to come is that of another sync.
			other := c.bulkDo(201, "POST", "/syncs",
				fmt.Sprintf(`{"syncedInstanceUri":%q,"callbackUrl":%q}`, c.newImport(data), url)).json(t, "uri").(string)
			clock.advance(time.Minute)
			c.bulkDo(200, "GET", other, "")
			c.bulkDo(200, "GET", other, "")
			if call := next(t, calls); !strings.Contains(call, other) {
				t.Errorf("called back twice: %s", call)
			}
		})
	}
}

func TestEloquaEarlyCallback(t *testing.T) {
	c := serve(t, simulate.NewEloqua(simulate.EloquaOptions{PollsUntilDone: 100, EarlyCallback: true}))
	hold := make(chan struct{})
	url, calls := receiver(t, hold)
	body := fmt.Sprintf(`{"syncedInstanceUri":%q,"callbackUrl":%q}`, c.newImport(`[{"C_EmailAddress":"nonsense"}]`), url)
	answered := make(chan reply, 1)
	go func() { answered <- c.try("POST", bulk+"/syncs", body, "Basic", login) }()
	call := next(t, calls)
	select {
	case r := <-answered:
		t.Fatalf("answered %d before the callback was over", r.status)
	default:
	}
	// What the callback says is true already, and the API can be asked while the POST still runs.
	if !strings.Contains(call, `"status":"warning"`) {
		t.Errorf("callback %s", call)
	}
	close(hold)
	r := <-answered
	equal(t, "answer", []any{r.status, r.json(t, "status")}, []any{201, "pending"})
	equal(t, "poll", c.bulkDo(200, "GET", r.json(t, "uri").(string), "").json(t, "status"), "warning")
}

func TestEloquaCloseStopsCallbacks(t *testing.T) {
	b := simulate.NewEloqua(simulate.EloquaOptions{PollsUntilDone: 1})
	s, err := simulate.Start("127.0.0.1:0", b, simulate.NewEloqua(simulate.EloquaOptions{Name: "slow", JobDuration: time.Hour}))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	hold := make(chan struct{})
	url, calls := receiver(t, hold)
	for _, name := range []string{"marketing", "slow"} {
		c := &client{t: t, http: &http.Client{Transport: transport}, base: s.URL(name)}
		body := fmt.Sprintf(`{"syncedInstanceUri":%q,"callbackUrl":%q}`, c.newImport(`[{}]`), url)
		c.bulkDo(200, "GET", c.bulkDo(201, "POST", "/syncs", body).json(t, "uri").(string), "")
	}
	next(t, calls) // one hangs at the receiver, the other waits for its hour
	transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second) // below the callback's own limit
	defer cancel()
	if err := s.Close(ctx); err != nil || ctx.Err() != nil {
		t.Errorf("close: %v, %v", err, ctx.Err())
	}
}

func TestEloquaListsSyncs(t *testing.T) {
	c := serve(t, simulate.NewEloqua(simulate.EloquaOptions{PollsUntilDone: 1}))
	var syncs, imports []string
	for range 3 {
		imports = append(imports, c.newImport(`[{"C_EmailAddress":"a@x.org","C_Company":"A"}]`))
		syncs = append(syncs, c.sync(imports[len(imports)-1]))
	}
	r := c.bulkDo(200, "GET", "/syncs?orderBy=createdAt%20DESC&limit=2", "")
	equal(t, "newest", []any{r.json(t, "items", 0, "uri"), r.json(t, "items", 0, "syncedInstanceUri"), r.json(t, "items", 1, "uri"), r.json(t, "hasMore")},
		[]any{syncs[2], imports[2], syncs[1], true})
	equal(t, "oldest", c.bulkDo(200, "GET", "/syncs", "").json(t, "items", 0, "uri"), syncs[0])
	equal(t, "a list is no poll", c.bulkDo(200, "GET", syncs[0], "").json(t, "status"), "success")
	c.bulkDo(400, "GET", "/syncs?limit=0", "")
}
