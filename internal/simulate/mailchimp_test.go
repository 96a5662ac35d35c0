package simulate_test

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"headgate/internal/simulate"
)

// answers reads the archive with the results of a batch: the status of each operation.
func answers(t *testing.T, archive string) map[string]int {
	t.Helper()
	zip, err := gzip.NewReader(strings.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	out, files := map[string]int{}, tar.NewReader(zip)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeDir {
			continue
		}
		var list []struct {
			Status   int    `json:"status_code"`
			ID       string `json:"operation_id"`
			Response string `json:"response"`
		}
		if err := json.NewDecoder(files).Decode(&list); err != nil {
			t.Fatal(err)
		}
		for _, one := range list {
			if out[one.ID] = one.Status; !json.Valid([]byte(one.Response)) {
				t.Errorf("%s: %s", one.ID, one.Response)
			}
		}
	}
}

func TestMailchimpResults(t *testing.T) {
	clock := newClock()
	c := serve(t, simulate.NewMailchimp(simulate.VendorOptions{Secret: "s", PollsUntilDone: 1, Now: clock.Now}))
	r := c.do(200, "POST", "/3.0/batches", `{"operations":[
		{"method":"PUT","path":"/lists/l/members/a%40x.org","operation_id":"1","body":"{\"email_address\":\"A@x.org\",\"status_if_new\":\"subscribed\"}"},
		{"method":"PUT","path":"/lists/l/members/a%40x.org","operation_id":"2","body":"{\"email_address\":\"a@x.org\"}"},
		{"method":"PUT","path":"/lists/l/members/b%40x.org","operation_id":"3","body":"{\"email_address\":\"b@x.org\"}"},
		{"method":"PUT","path":"/lists/l/members/","operation_id":"4","body":"{}"},
		{"method":"PUT","path":"/lists/l/members/nobody","operation_id":"5","body":"{\"email_address\":\"nobody\"}"},
		{"method":"PUT","path":"/lists/l/members/c%40x.org","operation_id":"6","body":"["},
		{"method":"GET","path":"/campaigns","operation_id":"7"}]}`, "Basic", "any:s")
	equal(t, "status", r.json(t, "status"), "pending")
	r = c.do(200, "GET", "/3.0/batches/batch000001", "", "Basic", "any:s")
	equal(t, "counts", []any{r.json(t, "total_operations"), r.json(t, "errored_operations")}, []any{7, 5})
	results := r.json(t, "response_body_url").(string)
	if !strings.HasPrefix(results, "http://localhost:") {
		t.Errorf("results are at %s, the host of the API", results)
	}
	equal(t, "results", answers(t, c.do(200, "GET", results, "").body), map[string]int{"1": 200, "2": 200, "3": 400, "4": 405, "5": 400, "6": 400, "7": 404})
	c.do(400, "GET", results, "", "Basic", "any:s") // credentials of the API
	c.do(403, "GET", results+"0", "")
	clock.advance(11 * time.Minute)
	c.do(403, "GET", results, "")
	c.do(404, "GET", "/3.0/batches/other", "", "Basic", "any:s")
	c.do(401, "GET", "/3.0/batches/batch000001", "", "Basic", "any:other")
	equal(t, "title", c.do(400, "POST", "/3.0/batches", `{}`, "Basic", "any:s").json(t, "title"), "Invalid Resource")
}

func TestMailchimpTakesSoManyBatches(t *testing.T) {
	c := serve(t, simulate.NewMailchimp(simulate.VendorOptions{PollsUntilDone: 1}))
	for range 500 {
		c.do(200, "POST", "/3.0/batches", `{"operations":[{}]}`, "Basic", "any:s")
	}
	c.do(429, "POST", "/3.0/batches", `{"operations":[{}]}`, "Basic", "any:s")
	c.do(200, "GET", "/3.0/batches/batch000001", "", "Basic", "any:s")
	c.do(200, "POST", "/3.0/batches", `{"operations":[{}]}`, "Basic", "any:s")
}
