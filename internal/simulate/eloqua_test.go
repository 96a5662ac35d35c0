package simulate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"headgate/internal/simulate"
)

const (
	bulk       = "/api/bulk/2.0"
	login      = `Acme\api:secret`
	definition = `{"name":"n","fields":{"C_EmailAddress":"{{Contact.Field(C_EmailAddress)}}",
		"C_Company":"{{Contact.Field(C_Company)}}"},"identifierFieldName":"C_EmailAddress",
		"isSyncTriggeredOnImport":false,"dataRetentionDuration":"P7D"}`
)

// bulkDo is do under the bulk API with good credentials.
func (c *client) bulkDo(want int, method, path, body string, header ...string) reply {
	c.t.Helper()
	return c.do(want, method, bulk+path, body, append(header, "Basic", login)...)
}

// newImport makes a definition and uploads the bodies as JSON.
func (c *client) newImport(bodies ...string) string {
	c.t.Helper()
	uri := c.bulkDo(201, "POST", "/contacts/imports", definition).json(c.t, "uri").(string)
	for _, body := range bodies {
		c.bulkDo(204, "POST", uri+"/data", body, "Content-Type", "application/json")
	}
	return uri
}

// sync starts a sync and gives its URI.
func (c *client) sync(imported string) string {
	c.t.Helper()
	r := c.bulkDo(201, "POST", "/syncs", fmt.Sprintf(`{"syncedInstanceUri":%q}`, imported))
	equal(c.t, "first status", r.json(c.t, "status"), "pending")
	return r.json(c.t, "uri").(string)
}

func TestEloquaCredentials(t *testing.T) {
	c := serve(t, simulate.NewEloqua(simulate.EloquaOptions{Company: "Acme", User: "api", Password: "secret"}))
	for login, good := range map[string]bool{
		`Acme\api:secret`: true, `Acme\api:wrong`: false, `Other\api:secret`: false, `api:secret`: false,
		`Acme\other:secret`: false, `Acme\api:`: false,
	} {
		r := c.do(200, "GET", "/id", "", "Basic", login)
		if !good {
			equal(t, login, strings.TrimSpace(r.body), `"Not authenticated."`)
			c.do(401, "GET", bulk+"/syncs/1", "", "Basic", login)
			continue
		}
		equal(t, login, r.json(t, "urls", "base"), c.base)
		c.do(404, "GET", bulk+"/syncs/1", "", "Basic", login)
	}
	equal(t, "none", strings.TrimSpace(c.do(200, "GET", "/id", "").body), `"Not authenticated."`)
}

func TestEloquaChecksDefinitions(t *testing.T) {
	c := serve(t, simulate.NewEloqua(simulate.EloquaOptions{}))
	fields := func(n int) string {
		out := make([]string, n)
		for i := range out {
			out[i] = fmt.Sprintf(`"F%d":"{{Contact.Field(F%d)}}"`, i, i)
		}
		return "{" + strings.Join(out, ",") + "}"
	}
	for _, tt := range []struct{ name, body, field string }{
		{"no JSON", `{`, ""},
		{"no name", `{"fields":{"A":"{{x}}"},"identifierFieldName":"A"}`, "name"},
		{"no fields", `{"name":"n","identifierFieldName":"A"}`, "fields"},
		{"too many fields", `{"name":"n","fields":` + fields(101) + `,"identifierFieldName":"F1"}`, "fields"},
		{"no statement", `{"name":"n","fields":{"A":"x"},"identifierFieldName":"A"}`, "fields.A"},
		{"identifier not a field", `{"name":"n","fields":{"A":"{{x}}"},"identifierFieldName":"B"}`, "identifierFieldName"},
		{"triggered", `{"name":"n","fields":{"A":"{{x}}"},"identifierFieldName":"A","isSyncTriggeredOnImport":true}`, "isSyncTriggeredOnImport"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := c.bulkDo(400, "POST", "/contacts/imports", tt.body)
			equal(t, "field", r.json(t, "failures", 0, "field"), tt.field)
			if r.json(t, "failures", 0, "constraint") == nil {
				t.Error("no constraint")
			}
		})
	}
	c.bulkDo(201, "POST", "/contacts/imports", `{"name":"n","fields":`+fields(100)+`,"identifierFieldName":"F1"}`)
	uri := c.newImport()
	r := c.bulkDo(200, "GET", uri, "")
	equal(t, "definition", []any{r.json(t, "uri"), r.json(t, "dataRetentionDuration"), r.json(t, "identifierFieldName")},
		[]any{uri, "P7D", "C_EmailAddress"})
}

func TestEloquaUploads(t *testing.T) {
	c := serve(t, simulate.NewEloqua(simulate.EloquaOptions{PollsUntilDone: 1, MaxUploadBytes: 1000}))
	for _, tt := range []struct {
		name, contentType, body string
		want                    int
		records                 float64
	}{
		{"json", "application/json", `[{"C_EmailAddress":"a@x.org","C_Company":"A"}]`, 204, 1},
		{"empty array", "application/json", `[]`, 204, 0},
		{"csv", "text/csv; charset=utf-8", "\ufeffC_EmailAddress,C_Company\na@x.org,A\n\"b@x.org\",\"B, Inc\"\n", 204, 2},
		{"object", "application/json", `{"C_EmailAddress":"a@x.org"}`, 400, 0},
		{"no json", "application/json", `[`, 400, 0},
		{"uneven csv", "text/csv", "C_EmailAddress,C_Company\na@x.org\n", 400, 0},
		{"empty csv", "text/csv", "", 400, 0},
		{"no utf-8", "text/csv", "C_EmailAddress\n\xff@x.org\n", 400, 0},
		{"too large", "application/json", `[{"C_EmailAddress":"` + strings.Repeat("a", 1000) + `"}]`, 404, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			uri := c.newImport()
			r := c.bulkDo(tt.want, "POST", uri+"/data", tt.body, "Content-Type", tt.contentType)
			if tt.want == 400 && r.json(t, "failures", 0, "constraint") == nil {
				t.Error("no constraint")
			}
			sync := c.sync(uri)
			want := "success"
			if tt.records == 0 {
				want = "error" // nothing was staged
			}
			equal(t, "status", c.bulkDo(200, "GET", sync, "").json(t, "status"), want)
			equal(t, "processed", c.bulkDo(200, "GET", sync+"/logs", "").json(t, "items", 0, "count"), tt.records)
		})
	}
	c.bulkDo(404, "POST", "/contacts/imports/999/data", `[]`)
}

func TestEloquaDefaultUploadLimit(t *testing.T) {
	c := serve(t, simulate.NewEloqua(simulate.EloquaOptions{}).KeepRequests(0))
	uri := c.newImport()
	large := `[{"C_EmailAddress":"` + strings.Repeat("a", 32<<20) + `"}]`
	c.bulkDo(404, "POST", uri+"/data", large)
	c.bulkDo(204, "POST", uri+"/data", large[:30<<20]+`"}]`)
}

func TestEloquaUploadsPerSync(t *testing.T) {
	c := serve(t, simulate.NewEloqua(simulate.EloquaOptions{PollsUntilDone: 1}).KeepRequests(0))
	uri := c.newImport()
	for range 500 {
		c.bulkDo(204, "POST", uri+"/data", `[]`)
	}
	c.bulkDo(400, "POST", uri+"/data", `[]`)
	c.sync(uri)
	c.bulkDo(204, "POST", uri+"/data", `[]`) // counted anew for the next sync
}

func TestEloquaDelete(t *testing.T) {
	c := serve(t, simulate.NewEloqua(simulate.EloquaOptions{PollsUntilDone: 2}))
	uri := c.newImport(`[{"C_EmailAddress":"nonsense"}]`)
	sync := c.sync(uri)
	c.bulkDo(409, "DELETE", uri, "") // its sync is active
	c.bulkDo(200, "GET", sync, "")
	c.bulkDo(200, "GET", sync, "")
	c.bulkDo(204, "DELETE", uri, "")
	c.bulkDo(404, "DELETE", uri, "")
	c.bulkDo(404, "GET", uri, "")
	c.bulkDo(400, "POST", "/syncs", fmt.Sprintf(`{"syncedInstanceUri":%q}`, uri))
	equal(t, "rejects outlive it", c.bulkDo(200, "GET", sync+"/rejects", "").json(t, "totalResults"), 2)

	uri = c.newImport(`[{"C_EmailAddress":"a@x.org","C_Company":"A"}]`)
	c.bulkDo(204, "DELETE", uri+"/data", "")
	sync = c.sync(uri)
	c.bulkDo(200, "GET", sync, "")
	equal(t, "without its data", c.bulkDo(200, "GET", sync, "").json(t, "status"), "error")
}

func TestEloquaSyncTime(t *testing.T) {
	clock := newClock()
	c := serve(t, simulate.NewEloqua(simulate.EloquaOptions{JobDuration: time.Minute, Now: clock.Now}))
	uri := c.newImport(`[{"C_EmailAddress":"a@x.org","C_Company":"A"}]`)
	sync := c.sync(uri)
	for _, step := range []struct {
		after time.Duration
		want  string
	}{{0, "pending"}, {19 * time.Second, "pending"}, {time.Second, "active"}, {39 * time.Second, "active"}, {time.Second, "success"}} {
		clock.advance(step.after)
		r := c.bulkDo(200, "GET", sync, "")
		equal(t, "status", r.json(t, "status"), step.want)
		equal(t, "imported", r.json(t, "syncedInstanceUri"), uri)
		if (r.json(t, "syncEndedAt") != nil) != (step.want == "success") {
			t.Errorf("%s: syncEndedAt %v", step.want, r.json(t, "syncEndedAt"))
		}
	}
}
