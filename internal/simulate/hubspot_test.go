package simulate_test

import (
	"fmt"
	"strings"
	"testing"

	"headgate/internal/simulate"
)

const importRequest = `{"name":"n","importOperations":{"0-1":"UPSERT"},"files":[{"fileName":"f.csv","fileFormat":"CSV","fileImportPage":{"hasHeader":true,` +
	`"columnMappings":[{"columnObjectTypeId":"0-1","columnName":"email","propertyName":"email","columnType":"HUBSPOT_ALTERNATE_ID"}]}}]}`

var hubspotHeader = []string{"Authorization", "Bearer s", "Content-Type", "multipart/form-data; boundary=b"}

func hubspotParts(request, file string) string {
	return "--b\r\nContent-Disposition: form-data; name=\"importRequest\"\r\n\r\n" + request +
		"\r\n--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"f.csv\"\r\n\r\n" + file + "\r\n--b--\r\n"
}

func TestHubSpotImports(t *testing.T) {
	c := serve(t, simulate.NewHubSpot(simulate.VendorOptions{Secret: "s", PollsUntilDone: 3}))
	r := c.do(200, "POST", "/crm/v3/imports", hubspotParts(importRequest, "email\na@x.org\nnobody\n\"\"\n"), hubspotHeader...)
	equal(t, "state", r.json(t, "state"), "STARTED")
	path := "/crm/v3/imports/" + r.json(t, "id").(string)
	equal(t, "before the end", c.do(200, "GET", path+"/errors?limit=1", "", hubspotHeader...).json(t, "results"), []any{})
	for _, want := range []string{"DEFERRED", "PROCESSING", "DONE", "DONE"} {
		equal(t, "state", c.do(200, "GET", path, "", hubspotHeader...).json(t, "state"), want)
	}
	first := c.do(200, "GET", path+"/errors?limit=1&includeRowData=true&includeErrorMessage=true", "", hubspotHeader...)
	equal(t, "line", first.json(t, "results", 0, "sourceData", "lineNumber"), 3)
	equal(t, "row", first.json(t, "results", 0, "sourceData", "rowData"), []string{"nobody"})
	equal(t, "message", first.json(t, "results", 0, "errorMessage"), "nobody is not a valid email address")
	last := c.do(200, "GET", fmt.Sprint(path, "/errors?limit=1&after=", first.json(t, "paging", "next", "after")), "", hubspotHeader...)
	equal(t, "kind", last.json(t, "results", 0, "errorType"), "MISSING_REQUIRED_PROPERTY")
	equal(t, "not asked for", []any{last.json(t, "results", 0, "sourceData", "rowData"), last.json(t, "results", 0, "errorMessage"), last.json(t, "paging")}, []any{nil, nil, nil})
}

func TestHubSpotRefusals(t *testing.T) {
	c := serve(t, simulate.NewHubSpot(simulate.VendorOptions{Secret: "s"}))
	const file = "email\na@x.org\n"
	for name, body := range map[string]string{
		"no file":       "--b--\r\n",
		"no request":    hubspotParts("", file),
		"no name":       hubspotParts(strings.Replace(importRequest, `"n"`, `""`, 1), file),
		"no header":     hubspotParts(strings.Replace(importRequest, "true", "false", 1), file),
		"no identifier": hubspotParts(strings.Replace(importRequest, "HUBSPOT_ALTERNATE_ID", "", 1), file),
		"no property":   hubspotParts(strings.Replace(importRequest, `"propertyName":"email"`, `"propertyName":"x"`, 1), file),
		"other object":  hubspotParts(strings.Replace(importRequest, `"0-1":`, `"0-2":`, 1), file),
		"other column":  hubspotParts(importRequest, "mail\na@x.org\n"),
		"more columns":  hubspotParts(importRequest, "email,x\na@x.org,1\n"),
		"no rows":       hubspotParts(importRequest, "email\n"),
	} {
		t.Run(name, func(t *testing.T) {
			equal(t, "category", c.do(400, "POST", "/crm/v3/imports", body, hubspotHeader...).json(t, "category"), "VALIDATION_ERROR")
		})
	}
	c.do(200, "POST", "/crm/v3/imports", hubspotParts(importRequest, file), hubspotHeader...)
	c.do(400, "GET", "/crm/v3/imports/1/errors?limit=501", "", hubspotHeader...)
	c.do(404, "GET", "/crm/v3/imports/9", "", hubspotHeader...)
	equal(t, "token", c.do(401, "GET", "/crm/v3/imports/1", "").json(t, "category"), "INVALID_AUTHENTICATION")
}
