package simulate

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
)

const (
	hubspotMaxRows = 1_048_576
	hubspotMaxPage = 500
)

// hubspotProperties are those that contacts have.
var hubspotProperties = []string{"email", "firstname", "lastname", "phone"}

// hubspot simulates imports of contacts.
type hubspot struct {
	*vendor
	timing timing
	jobs   *history[*hubspotImport]
	count  int
}

// hubspotImport is one import; its errors are known from the start and told when it is done.
type hubspotImport struct {
	job
	id, name string
	rows     int
	errors   []hubspotError
}

type hubspotError struct {
	line          int
	kind, message string
	row           []string
}

type hubspotColumn struct{ ColumnObjectTypeID, ColumnName, PropertyName, ColumnType string }

// NewHubSpot makes a simulation of HubSpot's POST /crm/v3/imports, its state and its errors. A row
// without its identifier, or with an email that is none, is an error; the import is DONE all the same.
func NewHubSpot(o VendorOptions) *Backend {
	v := newVendor("hubspot", o, bearer, hubspotRefuse)
	s := &hubspot{vendor: v, timing: newTiming(v.PollsUntilDone, v.JobDuration, v.Now), jobs: newHistory[*hubspotImport]()}
	v.on("POST /crm/v3/imports", maxBody, s.create)
	v.on("GET /crm/v3/imports/{id}", 0, s.withImport(s.show))
	v.on("GET /crm/v3/imports/{id}/errors", 0, s.withImport(s.errors))
	return v.backend()
}

func hubspotRefuse(w http.ResponseWriter, status int, message string) {
	category := map[int]string{http.StatusUnauthorized: "INVALID_AUTHENTICATION", http.StatusNotFound: "OBJECT_NOT_FOUND"}[status]
	if category == "" {
		category = "VALIDATION_ERROR"
	}
	writeJSON(w, status, map[string]string{"status": "error", "message": message, "category": category, "correlationId": "aeb5f871-7f07-4993-9211-075dc63e7cbf"})
}

func (s *hubspot) create(w http.ResponseWriter, r *http.Request, body []byte) {
	r.Body = io.NopCloser(bytes.NewReader(body))
	file, _, err := r.FormFile("files")
	if err != nil {
		s.refuse(w, http.StatusBadRequest, "the part files is missing")
		return
	}
	var in struct {
		Name             string
		ImportOperations map[string]string
		Files            []struct {
			FileFormat     string
			FileImportPage struct {
				HasHeader      bool
				ColumnMappings []hubspotColumn
			}
		}
	}
	if !s.read(w, []byte(r.FormValue("importRequest")), &in) {
		return
	}
	rows, err := csv.NewReader(file).ReadAll()
	switch {
	case in.Name == "" || len(in.Files) != 1 || in.Files[0].FileFormat != "CSV" || !in.Files[0].FileImportPage.HasHeader:
		s.refuse(w, http.StatusBadRequest, "only one CSV with a header and a name is simulated")
		return
	case err != nil || len(rows) < 2 || len(rows) > hubspotMaxRows:
		s.refuse(w, http.StatusBadRequest, "the file is empty, too long or no CSV")
		return
	}
	columns := in.Files[0].FileImportPage.ColumnMappings
	identifier := slices.IndexFunc(columns, func(c hubspotColumn) bool { return c.ColumnType == "HUBSPOT_ALTERNATE_ID" })
	for i, c := range columns {
		if !slices.Contains(hubspotProperties, c.PropertyName) || in.ImportOperations[c.ColumnObjectTypeID] != "UPSERT" || i >= len(rows[0]) || rows[0][i] != c.ColumnName {
			s.refuse(w, http.StatusBadRequest, fmt.Sprintf("the column %q is not in the file, or its property %q or object does not exist", c.ColumnName, c.PropertyName))
			return
		}
	}
	if identifier < 0 || len(columns) != len(rows[0]) {
		s.refuse(w, http.StatusBadRequest, "a column has no mapping, or none is an identifier")
		return
	}
	s.count++
	i := &hubspotImport{job: s.timing.start(), id: strconv.Itoa(s.count), name: in.Name, rows: len(rows) - 1}
	for n, row := range rows[1:] {
		i.judge(n+2, row, columns, identifier)
	}
	s.jobs.add(i.id, i)
	writeJSON(w, http.StatusOK, i.view("STARTED"))
}

// judge settles what becomes of a row, which stands in a line of the file; the header is line 1.
func (i *hubspotImport) judge(line int, row []string, columns []hubspotColumn, identifier int) {
	email := slices.IndexFunc(columns, func(c hubspotColumn) bool { return c.PropertyName == "email" })
	switch {
	case row[identifier] == "":
		i.errors = append(i.errors, hubspotError{line, "MISSING_REQUIRED_PROPERTY", columns[identifier].PropertyName + " is missing", row})
	case email >= 0 && row[email] != "" && !validEmail(row[email]):
		i.errors = append(i.errors, hubspotError{line, "INVALID_EMAIL", row[email] + " is not a valid email address", row})
	}
}

func (s *hubspot) withImport(next func(http.ResponseWriter, *http.Request, *hubspotImport)) func(http.ResponseWriter, *http.Request, []byte) {
	return func(w http.ResponseWriter, r *http.Request, _ []byte) {
		i, ok := s.jobs.get(r.PathValue("id"))
		if !ok {
			s.refuse(w, http.StatusNotFound, "no import "+r.PathValue("id"))
			return
		}
		next(w, r, i)
	}
}

func (i *hubspotImport) view(state string) map[string]any {
	counters := map[string]int{}
	if state == "DONE" {
		counters["TOTAL_ROWS"] = i.rows
	}
	return map[string]any{"id": i.id, "state": state, "importName": i.name, "metadata": map[string]any{"counters": counters}}
}

func (s *hubspot) show(w http.ResponseWriter, _ *http.Request, i *hubspotImport) {
	state := map[phase]string{queued: "DEFERRED", running: "PROCESSING", finished: "DONE"}[s.timing.poll(&i.job)]
	writeJSON(w, http.StatusOK, i.view(state))
}

// errors gives a page of what is wrong; messages and rows only when they are asked for.
func (s *hubspot) errors(w http.ResponseWriter, r *http.Request, i *hubspotImport) {
	q := r.URL.Query()
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil || limit < 1 || limit > hubspotMaxPage {
		s.refuse(w, http.StatusBadRequest, fmt.Sprintf("limit must be 1 to %d", hubspotMaxPage))
		return
	}
	from, _ := strconv.Atoi(q.Get("after"))
	all := i.errors
	if !i.finished {
		all = nil
	}
	from = min(max(from, 0), len(all))
	to := min(from+limit, len(all))
	results := []map[string]any{}
	for n, e := range all[from:to] {
		source := map[string]any{"lineNumber": e.line, "fileId": 1, "containsEncryptedProperties": false}
		item := map[string]any{"id": strconv.Itoa(from + n + 1), "errorType": e.kind, "objectTypeId": "0-1", "createdAt": i.started.UnixMilli(), "sourceData": source}
		if q.Get("includeRowData") == "true" {
			source["rowData"] = e.row
		}
		if q.Get("includeErrorMessage") == "true" {
			item["errorMessage"] = e.message
		}
		results = append(results, item)
	}
	out := map[string]any{"results": results}
	if to < len(all) {
		out["paging"] = map[string]any{"next": map[string]string{"after": strconv.Itoa(to)}}
	}
	writeJSON(w, http.StatusOK, out)
}
