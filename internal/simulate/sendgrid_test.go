package simulate_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"
	"time"

	"headgate/internal/simulate"
)

const contacts, imports = "/v3/marketing/contacts", "/v3/marketing/contacts/imports"

// emails makes an upload body.
func emails(list ...string) string {
	items := make([]string, len(list))
	for i, e := range list {
		items[i] = fmt.Sprintf(`{"email":%q}`, e)
	}
	return `{"contacts":[` + strings.Join(items, ",") + `]}`
}

func TestSendGridOutcomes(t *testing.T) {
	c := serve(t, simulate.NewSendGrid(simulate.SendGridOptions{PollsUntilDone: 1}))
	for _, tt := range []struct {
		name, body, status                   string
		requested, created, updated, errored float64
	}{
		{"all new", emails("A@x.org", "b@x.org"), "completed", 2, 2, 0, 0},
		{"known in other case", emails("a@X.org", "c@x.org"), "completed", 2, 1, 1, 0},
		{"some invalid", emails("a@x.org", "Nonsense", "@x.org"), "errored", 3, 0, 1, 2},
		{"all invalid", emails("nonsense"), "failed", 1, 0, 0, 1},
		{"no address", `{"contacts":[{"first_name":"A"}]}`, "failed", 1, 0, 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := c.do(202, "PUT", contacts, tt.body, "Authorization", "Bearer t").json(t, "job_id")
			r := c.do(200, "GET", imports+"/"+id.(string), "", "Authorization", "Bearer t")
			equal(t, "status", r.json(t, "status"), tt.status)
			equal(t, "id", r.json(t, "id"), id)
			got := []any{}
			for _, name := range []string{"requested_count", "created_count", "updated_count", "errored_count"} {
				got = append(got, r.json(t, "results", name))
			}
			equal(t, "counts", got, []any{tt.requested, tt.created, tt.updated, tt.errored})
			url, _ := r.json(t, "results", "errors_url").(string)
			if tt.errored == 0 {
				equal(t, "errors_url", url, "")
				return
			}
			file := c.do(200, "GET", url, "").body
			if rows := strings.Count(file, "\n") - 1; rows != int(tt.errored) || file != strings.ToLower(file) {
				t.Errorf("errors file has %d rows:\n%s", rows, file)
			}
		})
	}
}

func TestSendGridPollCounts(t *testing.T) {
	c := serve(t, simulate.NewSendGrid(simulate.SendGridOptions{PollsUntilDone: 3}))
	id := c.do(202, "PUT", contacts, emails("a@x.org"), "Authorization", "Bearer t").json(t, "job_id")
	for i, want := range []string{"pending", "pending", "completed", "completed"} {
		r := c.do(200, "GET", imports+"/"+id.(string), "", "Authorization", "Bearer t")
		equal(t, fmt.Sprint("poll ", i+1), r.json(t, "status"), want)
		if (r.json(t, "finished_at") != nil) != (want == "completed") {
			t.Errorf("poll %d: finished_at %v", i+1, r.json(t, "finished_at"))
		}
	}
}

func TestSendGridJobTime(t *testing.T) {
	clock := newClock()
	c := serve(t, simulate.NewSendGrid(simulate.SendGridOptions{JobDuration: time.Minute, Now: clock.Now}))
	id := c.do(202, "PUT", contacts, emails("a@x.org"), "Authorization", "Bearer t").json(t, "job_id")
	for _, step := range []struct {
		after time.Duration
		want  string
	}{{0, "pending"}, {59 * time.Second, "pending"}, {time.Second, "completed"}} {
		clock.advance(step.after)
		equal(t, step.after.String(), c.do(200, "GET", imports+"/"+id.(string), "", "Authorization", "Bearer t").json(t, "status"), step.want)
	}
}

func TestSendGridRefusals(t *testing.T) {
	c := serve(t, simulate.NewSendGrid(simulate.SendGridOptions{Token: "secret", MaxContacts: 2, MaxBytes: 200}))
	for _, tt := range []struct {
		name, auth, method, path, body string
		want                           int
		field                          string
	}{
		{"no token", "", "PUT", contacts, emails("a@x.org"), 401, ""},
		{"empty token", "Bearer ", "PUT", contacts, emails("a@x.org"), 401, ""},
		{"wrong token", "Bearer other", "PUT", contacts, emails("a@x.org"), 401, ""},
		{"wrong token on a poll", "Bearer other", "GET", imports + "/job-000001", "", 401, ""},
		{"no JSON", "Bearer secret", "PUT", contacts, "{", 400, ""},
		{"no contacts", "Bearer secret", "PUT", contacts, `{"contacts":[]}`, 400, "contacts"},
		{"too many", "Bearer secret", "PUT", contacts, emails("a@x", "b@x", "c@x"), 400, "contacts"},
		{"too large", "Bearer secret", "PUT", contacts, emails(strings.Repeat("a", 200)), 413, ""},
		{"unknown job", "Bearer secret", "GET", imports + "/nothing", "", 404, "id"},
		{"no csv", "Bearer secret", "PUT", imports, `{"file_type":"json"}`, 400, "file_type"},
		{"unknown field", "Bearer secret", "PUT", imports, `{"file_type":"csv","field_mappings":["email"]}`, 400, "field_mappings"},
		{"no token for fields", "", "GET", "/v3/marketing/field_definitions", "", 401, ""},
		{"no mappings", "Bearer secret", "PUT", imports, `{"file_type":"csv"}`, 400, "field_mappings"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := c.do(tt.want, tt.method, tt.path, tt.body, "Authorization", tt.auth)
			equal(t, "field", r.json(t, "errors", 0, "field"), tt.field)
			if m, _ := r.json(t, "errors", 0, "message").(string); m == "" {
				t.Error("no message")
			}
			if r.json(t, "errors", 0, "error_id") == nil || r.json(t, "errors", 0, "parameter") == nil {
				t.Error("error_id or parameter missing")
			}
		})
	}
	c.do(202, "PUT", contacts, emails("a@x.org"), "Authorization", "Bearer secret")
}

func TestSendGridDefaultLimits(t *testing.T) {
	c := serve(t, simulate.NewSendGrid(simulate.SendGridOptions{}).KeepRequests(0))
	list := make([]string, 30001)
	for i := range list {
		list[i] = fmt.Sprintf("%d@x.org", i)
	}
	c.do(400, "PUT", contacts, emails(list...), "Authorization", "Bearer t")
	c.do(202, "PUT", contacts, emails(list[:30000]...), "Authorization", "Bearer t")
	c.do(413, "PUT", contacts, emails(strings.Repeat("a", 6<<20)), "Authorization", "Bearer t")
}

func TestSendGridCSVImport(t *testing.T) {
	c := serve(t, simulate.NewSendGrid(simulate.SendGridOptions{PollsUntilDone: 1}))
	const file = "name,Email\nAda,ada@x.org\nBob,nonsense\n"
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	if _, err := zip.Write([]byte(file)); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	for name, upload := range map[string]string{"plain": file, "gzip": zipped.String()} {
		t.Run(name, func(t *testing.T) {
			r := c.do(200, "PUT", imports, `{"file_type":"csv","field_mappings":[null,"_rf2_T"]}`, "Authorization", "Bearer t")
			uri, job := r.json(t, "upload_uri").(string), r.json(t, "job_id").(string)
			header := []string{
				r.json(t, "upload_headers", 0, "header").(string), r.json(t, "upload_headers", 0, "value").(string),
			}
			if name == "gzip" {
				header = append(header, "Content-Encoding", "gzip")
			}
			c.do(403, "PUT", uri, upload, append(header, "Authorization", "Bearer t")...)
			c.do(403, "PUT", uri, upload)
			c.do(400, "PUT", uri, "a,b\nc\n", header[:2]...)
			c.do(400, "PUT", uri, "Email\nada@x.org\n", header[:2]...) // not the columns that were announced
			poll := func() any {
				return c.do(200, "GET", imports+"/"+job, "", "Authorization", "Bearer t").json(t, "status")
			}
			equal(t, "before the upload", poll(), "pending")
			c.do(200, "PUT", uri, upload, header...)
			c.do(200, "PUT", uri, upload, header...) // again: nothing begins anew
			equal(t, "after the upload", poll(), "errored")
		})
	}
}

// The columns are found by the IDs of fields, which the account tells.
func TestSendGridFields(t *testing.T) {
	c := serve(t, simulate.NewSendGrid(simulate.SendGridOptions{PollsUntilDone: 1}))
	r := c.do(200, "GET", "/v3/marketing/field_definitions", "", "Authorization", "Bearer t")
	equal(t, "reserved", []any{r.json(t, "reserved_fields", 0, "id"), r.json(t, "reserved_fields", 0, "name")}, []string{"_rf0_T", "first_name"})
	equal(t, "custom", []any{r.json(t, "custom_fields", 0, "id"), r.json(t, "custom_fields", 0, "name")}, []string{"e1_T", "plan"})
	for mappings, want := range map[string]string{`["_rf2_T",null]`: "completed", `["_rf0_T",null]`: "failed"} {
		r := c.do(200, "PUT", imports, `{"file_type":"csv","field_mappings":`+mappings+`}`, "Authorization", "Bearer t")
		c.do(200, "PUT", r.json(t, "upload_uri").(string), "first,email\na@x.org,nobody\n",
			r.json(t, "upload_headers", 0, "header").(string), r.json(t, "upload_headers", 0, "value").(string))
		equal(t, mappings, c.do(200, "GET", imports+"/"+r.json(t, "job_id").(string), "", "Authorization", "Bearer t").json(t, "status"), want)
	}
}
