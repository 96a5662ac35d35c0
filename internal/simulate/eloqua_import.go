package simulate

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// eloquaImport is an import definition with the data staged for its next sync.
type eloquaImport struct {
	uri     string
	fields  map[string]string
	answer  map[string]any
	staged  []map[string]any
	ignored map[string]int // records per field that the definition does not have
	uploads int
	active  *eloquaSync // the last sync; it may be finished
}

// createImport checks and keeps a definition.
func (e *eloqua) createImport(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Name       string            `json:"name"`
		Fields     map[string]string `json:"fields"`
		Identifier string            `json:"identifierFieldName"`
		Triggered  bool              `json:"isSyncTriggeredOnImport"`
		Retention  string            `json:"dataRetentionDuration"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		writeFailures(w, http.StatusBadRequest, failure{"", nil, "must be a JSON object: " + err.Error()})
		return
	}
	var failures []failure
	refuse := func(bad bool, field string, value any, constraint string) {
		if bad {
			failures = append(failures, failure{field, value, constraint})
		}
	}
	refuse(strings.TrimSpace(in.Name) == "", "name", in.Name, "must not be empty")
	refuse(len(in.Fields) < 1 || len(in.Fields) > eloquaMaxFields, "fields", len(in.Fields),
		fmt.Sprintf("must have 1 to %d items", eloquaMaxFields))
	for _, name := range slices.Sorted(maps.Keys(in.Fields)) {
		statement := in.Fields[name]
		refuse(!strings.HasPrefix(statement, "{{") || !strings.HasSuffix(statement, "}}"), "fields."+name, statement,
			"must be a statement such as {{Contact.Field(C_EmailAddress)}}")
	}
	_, known := in.Fields[in.Identifier]
	refuse(!known, "identifierFieldName", in.Identifier, "must be one of the fields")
	refuse(in.Triggered, "isSyncTriggeredOnImport", true, "is not simulated: post to /syncs")
	if failures != nil {
		writeFailures(w, http.StatusBadRequest, failures...)
		return
	}

	e.mu.Lock()
	defer e.mu.Unlock()
	id := e.newID()
	d := &eloquaImport{uri: "/contacts/imports/" + id, fields: in.Fields, ignored: map[string]int{}}
	d.answer = map[string]any{
		"name": in.Name, "fields": in.Fields, "identifierFieldName": in.Identifier,
		"isSyncTriggeredOnImport": false, "uri": d.uri,
		"createdAt": e.timing.now().UTC().Format(time.RFC3339Nano), "createdBy": "simulator",
	}
	if in.Retention != "" {
		d.answer["dataRetentionDuration"] = in.Retention
	}
	e.imports.add(id, d)
	writeJSON(w, http.StatusCreated, d.answer)
}

// newID numbers imports and syncs; the lock is held.
func (e *eloqua) newID() string {
	e.count++
	return fmt.Sprint(e.count)
}

// definition finds the request's import, or answers 404; the lock is held.
func (e *eloqua) definition(w http.ResponseWriter, r *http.Request) *eloquaImport {
	d, ok := e.imports.get(r.PathValue("id"))
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return nil
	}
	return d
}

func (e *eloqua) getImport(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d := e.definition(w, r); d != nil {
		writeJSON(w, http.StatusOK, d.answer)
	}
}

// deleteImport forgets a definition with its data; its syncs can still be read.
func (e *eloqua) deleteImport(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d := e.definition(w, r)
	switch {
	case d == nil:
	case e.syncing(d):
		writeFailures(w, http.StatusConflict, failure{"uri", d.uri, "a sync of it is active"})
	default:
		e.imports.remove(r.PathValue("id"))
		w.WriteHeader(http.StatusNoContent)
	}
}

// deleteData forgets staged data.
func (e *eloqua) deleteData(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d := e.definition(w, r); d != nil {
		d.unstage()
		w.WriteHeader(http.StatusNoContent)
	}
}

func (d *eloquaImport) unstage() {
	d.staged, d.uploads, d.ignored = nil, 0, map[string]int{}
}

// upload stages records for the next sync. Too much at once is answered 404, as the vendor does.
func (e *eloqua) upload(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || len(body) > e.opts.MaxUploadBytes {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	records, err := readRecords(r.Header.Get("Content-Type"), body)
	if err != nil {
		writeFailures(w, http.StatusBadRequest, failure{"data", nil, err.Error()})
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	d := e.definition(w, r)
	switch {
	case d == nil:
	case d.uploads >= eloquaMaxUploads:
		writeFailures(w, http.StatusBadRequest, failure{"data", nil,
			fmt.Sprintf("at most %d uploads a sync", eloquaMaxUploads)})
	default:
		d.stage(records)
		w.WriteHeader(http.StatusNoContent)
	}
}

// stage adds records, leaving out fields that the definition does not have.
func (d *eloquaImport) stage(records []map[string]any) {
	d.uploads++
	for _, record := range records {
		for name := range record {
			if _, known := d.fields[name]; !known {
				delete(record, name)
				d.ignored[name]++
			}
		}
	}
	d.staged = append(d.staged, records...)
}

// readRecords reads a JSON array of objects or a CSV file with a header row.
func readRecords(contentType string, body []byte) ([]map[string]any, error) {
	if !utf8.Valid(body) {
		return nil, fmt.Errorf("must be UTF-8")
	}
	if !strings.HasPrefix(contentType, "text/csv") {
		var records []map[string]any
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.UseNumber() // large numbers come back as they were sent
		if err := dec.Decode(&records); err != nil {
			return nil, fmt.Errorf("must be a JSON array of objects: %w", err)
		}
		return records, nil
	}
	rows, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(body, []byte("\ufeff")))).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("must be CSV: %w", err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("must have a header row")
	}
	records := make([]map[string]any, 0, len(rows)-1)
	for _, row := range rows[1:] {
		record := make(map[string]any, len(row))
		for i, cell := range row {
			record[rows[0][i]] = cell
		}
		records = append(records, record)
	}
	return records, nil
}
