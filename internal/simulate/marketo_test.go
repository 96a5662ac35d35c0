package simulate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"headgate/internal/simulate"
)

const leads = "/bulk/v1/leads.json?format=csv"

// marketoToken asks for a token and gives the header that shows it.
func marketoToken(c *client) []string {
	c.t.Helper()
	r := c.do(200, "GET", "/identity/oauth/token?grant_type=client_credentials&client_id=me&client_secret=s", "")
	equal(c.t, "expires_in", r.json(c.t, "expires_in"), simulate.MarketoTokenLife.Seconds())
	return []string{"Authorization", "Bearer " + r.json(c.t, "access_token").(string)}
}

// leadsFile is a call with a file, and the header for it.
func leadsFile(file string, header []string) (body string, with []string) {
	return "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"leads.csv\"\r\nContent-Type: text/csv\r\n\r\n" + file + "\r\n--b--\r\n",
		append([]string{"Content-Type", "multipart/form-data; boundary=b"}, header...)
}

// code gives the code of an error, which has the status 200.
func (r reply) code(t *testing.T) any {
	equal(t, "success", r.json(t, "success"), false)
	return r.json(t, "errors", 0, "code")
}

func TestMarketoTokens(t *testing.T) {
	clock := newClock()
	c := serve(t, simulate.NewMarketo(simulate.VendorOptions{Secret: "s", TokenCalls: 2, Now: clock.Now}))
	c.do(401, "GET", "/identity/oauth/token?grant_type=client_credentials&client_id=me&client_secret=other", "")
	c.do(401, "GET", "/identity/oauth/token?client_id=me&client_secret=s", "")
	const path = "/bulk/v1/leads/batch/1.json"
	for _, late := range []bool{false, true} {
		header := marketoToken(c)
		equal(t, "known", c.do(200, "GET", path, "", header...).code(t), "1013")
		if late {
			clock.advance(simulate.MarketoTokenLife)
		} else {
			c.do(200, "GET", path, "", header...)
		}
		equal(t, "over", c.do(200, "GET", path, "", header...).code(t), "602")
	}
	equal(t, "made up", c.do(200, "GET", path, "", "Authorization", "Bearer x").code(t), "601")
	equal(t, "none", c.do(200, "GET", path, "").code(t), "600")
}

func TestMarketoLimits(t *testing.T) {
	clock := newClock()
	c := serve(t, simulate.NewMarketo(simulate.VendorOptions{JobDuration: time.Hour, Now: clock.Now}).KeepRequests(0))
	header := marketoToken(c)
	body, with := leadsFile("email\na@x.org\n", header)
	for range 10 {
		equal(t, "queued", c.do(200, "POST", leads, body, with...).json(t, "result", 0, "status"), "Queued")
	}
	equal(t, "11th", c.do(200, "POST", leads, body, with...).code(t), "1016")
	large, _ := leadsFile("email\n"+strings.Repeat("a", 10<<20), header)
	c.do(413, "POST", leads, large, with...)
	equal(t, "format", c.do(200, "POST", "/bulk/v1/leads.json?format=tsv", body, with...).code(t), "1003")
	equal(t, "file", c.do(200, "POST", leads, "--b--\r\n", with...).code(t), "1003")
	empty, _ := leadsFile("email\n", header)
	clock.advance(20 * time.Second)
	for range 100 {
		equal(t, "calls", c.do(200, "GET", "/bulk/v1/leads/batch/1001.json", "", header...).json(t, "success"), true)
	}
	equal(t, "101st call", c.do(200, "GET", "/bulk/v1/leads/batch/1001.json", "", header...).code(t), "606")
	clock.advance(time.Hour) // which ends the imports and the token
	_, with = leadsFile("", marketoToken(c))
	equal(t, "empty", c.do(200, "POST", leads, empty, with...).code(t), "1003")
	equal(t, "room", c.do(200, "POST", leads, body, with...).json(t, "success"), true)
}

func TestMarketoImports(t *testing.T) {
	c := serve(t, simulate.NewMarketo(simulate.VendorOptions{PollsUntilDone: 3}))
	header := marketoToken(c)
	for name, tt := range map[string]struct{ lookup, file, status, message, failures, warnings string }{
		"rows": {"", "email,leadScore\na@x.org,1\nnobody,\n,2\nb@x.org,x\n", "Complete", "Import completed: 2 records imported (2 members), 1 warning.",
			"email,leadScore,Import Failure Reason\nnobody,,Invalid email address: nobody\n,2,Value for lookup field 'email' not found\n",
			"email,leadScore,Import Warning Reason\nb@x.org,x,Value is not valid for the field 'leadScore'\n"},
		"lookup": {"&lookupField=externalId", "externalId,email\n7,\n,a@x.org\n", "Complete", "Import completed: 1 records imported (1 members), 0 warning.",
			"externalId,email,Import Failure Reason\n,a@x.org,Value for lookup field 'externalId' not found\n", "externalId,email,Import Warning Reason\n"},
		"column":    {"", "email,nothing\na@x.org,1\n", "Failed", "Invalid column header: nothing", "email,nothing,Import Failure Reason\n", "email,nothing,Import Warning Reason\n"},
		"no lookup": {"", "phone\n1\n", "Failed", "The lookup field email is no column", "phone,Import Failure Reason\n", "phone,Import Warning Reason\n"},
	} {
		t.Run(name, func(t *testing.T) {
			body, with := leadsFile(tt.file, header)
			path := fmt.Sprint("/bulk/v1/leads/batch/", c.do(200, "POST", leads+tt.lookup, body, with...).json(t, "result", 0, "batchId"))
			for _, want := range []string{"Queued", "Importing", tt.status, tt.status} {
				equal(t, "status", c.do(200, "GET", path+".json", "", header...).json(t, "result", 0, "status"), want)
			}
			equal(t, "message", c.do(200, "GET", path+".json", "", header...).json(t, "result", 0, "message"), tt.message)
			equal(t, "failures", c.do(200, "GET", path+"/failures.json", "", header...).body, tt.failures)
			equal(t, "warnings", c.do(200, "GET", path+"/warnings.json", "", header...).body, tt.warnings)
		})
	}
}
