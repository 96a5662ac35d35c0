package simulate_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"headgate/internal/simulate"
)

func TestCustomerIOImports(t *testing.T) {
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := map[string]string{
			"/good": "id,plan\n1,a\n2,a\n", "/twice": "id,plan\n1,a\n1,a\n", "/some": "plan,id\na,1\na,\n", "/none": "email\na@x.org\n", "/uneven": "id\n1,2\n",
		}[r.URL.Path]
		if text == "" || r.Header.Get("Authorization") != "" {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(files.Close)
	c := serve(t, simulate.NewCustomerIOImports(simulate.VendorOptions{Secret: "s", PollsUntilDone: 1, Now: everyMinute()}))
	auth := []string{"Authorization", "Bearer s"}
	start := func(status int, body string) reply { return c.do(status, "POST", "/v1/imports", body, auth...) }
	for path, want := range map[string][]any{ // state, rows, of them imported, report of errors, of warnings
		"/good": {"imported", 2, 2, false, false}, "/twice": {"imported", 2, 2, false, true}, "/some": {"imported", 2, 1, true, false},
		"/none": {"failed", 0, 0, false, false}, "/uneven": {"failed", 0, 0, false, false}, "/nothing": {"failed", 0, 0, false, false},
	} {
		r := start(200, fmt.Sprintf(`{"import":{"name":"n","data_file_url":%q,"type":"people","identifier":"id"}}`, files.URL+path))
		equal(t, path, r.json(t, "import", "state"), "preprocessing")
		id := r.json(t, "import", "id")
		for deadline := time.Now().Add(10 * time.Second); r.json(t, "import", "state") == "preprocessing"; {
			if time.Now().After(deadline) {
				t.Fatalf("%s is not fetched", path)
			}
			r = c.do(200, "GET", fmt.Sprintf("/v1/imports/%v", id), "", auth...)
		}
		equal(t, path, []any{
			r.json(t, "import", "state"), r.json(t, "import", "rows_to_import"), r.json(t, "import", "rows_imported"),
			r.json(t, "import", "error_download_url") != nil, r.json(t, "import", "warning_export_id") != nil,
		}, want)
		if (r.json(t, "import", "error") != nil) != (want[0] == "failed") {
			t.Errorf("%s: %s", path, r.body)
		}
	}
	for body, want := range map[string]string{
		`{`:             "malformed JSON: unexpected end of JSON input",
		`{"import":{}}`: "name is required",
		`{"import":{"name":"n","data_file_url":"x"}}`:                                                                           "data_file_url must be a URL",
		`{"import":{"name":"n","data_file_url":"http://h/x"}}`:                                                                  "type is not one of people, event, object, relationship",
		`{"import":{"name":"n","data_file_url":"http://h/x","type":"people","identifier":"x"}}`:                                 "identifier must be id or email",
		`{"import":{"name":"n","data_file_url":"http://h/x","type":"people","identifier":"id","data_to_process":"everything"}}`: "data_to_process is not one of all, only_new, only_existing",
	} {
		equal(t, body, start(400, body).json(t, "errors", 0, "detail"), want)
	}
	c.do(404, "GET", "/v1/imports/99", "", auth...)
	c.do(401, "GET", "/v1/imports/1", "", "Authorization", "Bearer other")
}

func TestCustomerIOImportsThrottles(t *testing.T) {
	clock := newClock()
	c := serve(t, simulate.NewCustomerIOImports(simulate.VendorOptions{Now: clock.Now}))
	for range 10 {
		c.do(404, "GET", "/v1/imports/1", "", "Authorization", "Bearer s")
	}
	c.do(429, "GET", "/v1/imports/1", "", "Authorization", "Bearer s")
	clock.advance(time.Second)
	c.do(404, "GET", "/v1/imports/1", "", "Authorization", "Bearer s")
}
