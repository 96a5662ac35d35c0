package simulate_test

import (
	"net/http"
	"strings"
	"testing"

	"headgate/internal/simulate"
)

const (
	ingest        = "/services/data/v62.0/jobs/ingest"
	salesforceJob = `{"object":"Contact","operation":"upsert","externalIdFieldName":"Number__c","contentType":"CSV","lineEnding":"LF"}`
)

// salesforceToken asks for a token and gives the header that shows it.
func salesforceToken(c *client) []string {
	c.t.Helper()
	r := c.do(200, "POST", "/services/oauth2/token", "grant_type=client_credentials", "Basic", "me:s", "Content-Type", "application/x-www-form-urlencoded")
	equal(c.t, "instance_url", r.json(c.t, "instance_url"), c.base)
	return []string{"Authorization", "Bearer " + r.json(c.t, "access_token").(string)}
}

func TestSalesforceTokens(t *testing.T) {
	clock := newClock()
	c := serve(t, simulate.NewSalesforce(simulate.VendorOptions{Secret: "s", TokenCalls: 2, Now: clock.Now}))
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	c.do(400, "POST", "/services/oauth2/token", "grant_type=client_credentials", append(form, "Basic", "me:other")...)
	c.do(400, "POST", "/services/oauth2/token", "grant_type=password", append(form, "Basic", "me:s")...)
	for _, late := range []bool{false, true} {
		header := salesforceToken(c)
		c.do(404, "GET", ingest+"/x", "", header...)
		if late {
			clock.advance(simulate.SalesforceTokenLife)
		} else {
			c.do(404, "GET", ingest+"/x", "", header...)
		}
		equal(t, "code", c.do(401, "GET", ingest+"/x", "", header...).json(t, 0, "errorCode"), "INVALID_SESSION_ID")
	}
	c.do(401, "GET", ingest+"/x", "", "Authorization", "Bearer made-up")
	c.do(401, "GET", ingest+"/x", "")
}

func TestSalesforceRefusals(t *testing.T) {
	c := serve(t, simulate.NewSalesforce(simulate.VendorOptions{}))
	header := salesforceToken(c)
	refuse := func(status int, method, path, body, code string, more ...string) {
		t.Helper()
		equal(t, path, c.do(status, method, ingest+path, body, append(more, header...)...).json(t, 0, "errorCode"), code)
	}
	refuse(400, "POST", "", `{`, "malformed JSON")
	refuse(400, "POST", "", strings.Replace(salesforceJob, "Contact", "", 1), "INVALIDENTITY")
	refuse(400, "POST", "", strings.Replace(salesforceJob, "upsert", "insert", 1), "INVALIDJOB")
	refuse(400, "POST", "", strings.Replace(salesforceJob, "LF", "CRLF", 1), "INVALIDJOB")
	refuse(404, "PUT", "/x/batches", "", "NOT_FOUND", "Content-Type", "text/csv")
	id := "/" + c.do(200, "POST", ingest, salesforceJob, header...).json(t, "id").(string)
	refuse(415, "PUT", id+"/batches", "Number__c\n1\n", "UNSUPPORTED_MEDIA_TYPE", "Content-Type", "application/json")
	c.do(201, "PUT", ingest+id+"/batches", "Number__c\n1\n", append(header, "Content-Type", "text/csv")...)
	refuse(400, "PUT", id+"/batches", "Number__c\n1\n", "CLIENTINPUTERROR", "Content-Type", "text/csv")
	refuse(400, "PATCH", id, `{"state":"JobComplete"}`, "INVALIDJOBSTATE")
	c.do(200, "PATCH", ingest+id, `{"state":"UploadComplete"}`, header...)
	refuse(400, "PATCH", id, `{"state":"UploadComplete"}`, "INVALIDJOBSTATE")
	refuse(400, "PUT", id+"/batches", "", "INVALIDJOBSTATE", "Content-Type", "text/csv")
}

// The files of an ingest job, and what is told of their rows.
func TestSalesforceJobs(t *testing.T) {
	c := serve(t, simulate.NewSalesforce(simulate.VendorOptions{PollsUntilDone: 3}))
	header := salesforceToken(c)
	for name, tt := range map[string]struct{ file, state, message, failed, succeeded, unprocessed string }{
		"rows": {"Number__c,Email,Ok\n1,a@x.org,true\n2,nobody,\n,,\n3,#N/A,false\n", "JobComplete", "",
			"sf__Id,sf__Error,Number__c,Email,Ok\n,MISSING_ARGUMENT:Number__c not specified:--,,,\n,INVALID_EMAIL_ADDRESS:Email: invalid email address: nobody:Email --,2,nobody,\n",
			"sf__Id,sf__Created,Number__c,Email,Ok\n003R000000001,true,3,#N/A,0\n003R000000002,true,1,a@x.org,1\n", "Number__c,Email,Ok\n"},
		"twice": {"Number__c\n7\n7\n", "JobComplete", "", "sf__Id,sf__Error,Number__c\n,DUPLICATE_VALUE:Duplicate external id specified: 7:Number__c --,7\n" +
			",DUPLICATE_VALUE:Duplicate external id specified: 7:Number__c --,7\n", "sf__Id,sf__Created,Number__c\n", "Number__c\n"},
		"field":  {"Number__c,No field\n1,2\n", "Failed", "InvalidBatch : Field name not found : No field", "sf__Id,sf__Error,Number__c,No field\n", "sf__Id,sf__Created,Number__c,No field\n", "Number__c,No field\n1,2\n"},
		"no ID":  {"Email\na@x.org\n", "Failed", "InvalidBatch : Field name not found : Number__c", "sf__Id,sf__Error,Email\n", "sf__Id,sf__Created,Email\n", "Email\na@x.org\n"},
		"crlf":   {"Number__c\r\n1\r\n", "Failed", "ClientInputError : LineEnding is invalid on user data", "sf__Id,sf__Error\n", "sf__Id,sf__Created\n", "\n"},
		"ragged": {"Number__c\n1,2\n", "Failed", "InvalidBatch : Unable to read the CSV", "sf__Id,sf__Error\n", "sf__Id,sf__Created\n", "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := ingest + "/" + c.do(200, "POST", ingest, salesforceJob, header...).json(t, "id").(string)
			c.do(201, "PUT", path+"/batches", tt.file, append(header, "Content-Type", "text/csv")...)
			c.do(200, "PATCH", path, `{"state":"UploadComplete"}`, header...)
			for _, want := range []string{"UploadComplete", "InProgress", tt.state, tt.state} {
				equal(t, "state", c.do(200, "GET", path, "", header...).json(t, "state"), want)
			}
			if message, _ := c.do(200, "GET", path, "", header...).json(t, "errorMessage").(string); message != tt.message {
				t.Errorf("message %q, want %q", message, tt.message)
			}
			for list, want := range map[string]string{"failedResults": tt.failed, "successfulResults": tt.succeeded, "unprocessedrecords": tt.unprocessed} {
				equal(t, list, c.do(http.StatusOK, "GET", path+"/"+list, "", header...).body, want)
			}
		})
	}
}
