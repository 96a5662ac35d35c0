package simulate

import (
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// uploadHeader must accompany an upload, as the storage behind the vendor wants it.
const uploadHeader, uploadHeaderValue = "X-Amz-Server-Side-Encryption", "aws:kms"

// sendGridFields are the fields of the account by their IDs; the one for addresses is sendGridEmail.
var sendGridFields = map[string]string{
	"_rf0_T": "first_name", "_rf1_T": "last_name", sendGridEmail: "email", "_rf14_T": "external_id", "e1_T": "plan", "e2_N": "score",
}

const sendGridEmail = "_rf2_T"

// getFields tells the IDs of the fields; those that begin with _rf are reserved.
func (s *sendGrid) getFields(w http.ResponseWriter, _ *http.Request) {
	lists := map[string][]map[string]string{"reserved_fields": {}, "custom_fields": {}}
	for _, id := range slices.Sorted(maps.Keys(sendGridFields)) {
		list := "custom_fields"
		if strings.HasPrefix(id, "_rf") {
			list = "reserved_fields"
		}
		lists[list] = append(lists[list], map[string]string{"id": id, "name": sendGridFields[id]})
	}
	writeJSON(w, http.StatusOK, lists)
}

// putImport announces a CSV file and hands out where to put it.
func (s *sendGrid) putImport(w http.ResponseWriter, r *http.Request) {
	var in struct {
		FileType      string    `json:"file_type"`
		FieldMappings []*string `json:"field_mappings"` // null skips a column
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		sendGridError(w, http.StatusBadRequest, "invalid JSON: "+err.Error(), "", "")
		return
	}
	switch {
	case in.FileType != "csv":
		sendGridError(w, http.StatusBadRequest, `file_type must be "csv"`, "file_type", "file_type")
		return
	case len(in.FieldMappings) == 0:
		sendGridError(w, http.StatusBadRequest, "field_mappings must not be empty", "field_mappings", "field_mappings")
		return
	}
	columns := make([]string, len(in.FieldMappings))
	for i, id := range in.FieldMappings {
		if id == nil {
			continue
		}
		if columns[i] = *id; sendGridFields[*id] == "" {
			sendGridError(w, http.StatusBadRequest, "unknown field "+*id, "field_mappings", "field_mappings")
			return
		}
	}
	s.mu.Lock()
	j := s.newJob("contacts_import")
	j.waiting, j.columns = true, columns
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{
		"job_id":         j.id,
		"upload_uri":     baseURL(r) + "/uploads/" + j.id,
		"upload_headers": []map[string]string{{"header": uploadHeader, "value": uploadHeaderValue}},
	})
}

// putUpload takes the file. Foreign credentials are refused, as signed storage URLs refuse them.
func (s *sendGrid) putUpload(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" || r.Header.Get(uploadHeader) != uploadHeaderValue {
		http.Error(w, "signature does not match", http.StatusForbidden)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j, ok := s.jobs.get(r.PathValue("id"))
	if !ok {
		http.Error(w, "no such upload", http.StatusForbidden)
		return
	}
	emails, err := readEmails(r, j.columns)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !j.waiting { // storage takes a file again under its URL; the job has begun with the first
		w.WriteHeader(http.StatusOK)
		return
	}
	j.waiting = false
	j.job = s.timing.start()
	s.upsert(j, emails)
	w.WriteHeader(http.StatusOK)
}

// readEmails reads a CSV file, plain or gzip, with these fields as columns, and gives its addresses.
// What the columns are headed does not count.
func readEmails(r *http.Request, columns []string) ([]string, error) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" || strings.Contains(r.Header.Get("Content-Type"), "gzip") {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return nil, fmt.Errorf("inflate upload: %w", err)
		}
		body = io.LimitReader(unzipped, maxBody)
	}
	rows, err := csv.NewReader(body).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read csv: %w", err)
	}
	if len(rows) == 0 || len(rows[0]) != len(columns) {
		return nil, fmt.Errorf("read csv: the header row does not have %d columns", len(columns))
	}
	column := slices.Index(columns, sendGridEmail)
	emails := make([]string, len(rows)-1)
	for i, row := range rows[1:] {
		if column >= 0 {
			emails[i] = row[column]
		}
	}
	return emails, nil
}

// getErrorFile answers with the refused addresses, lower-cased as the vendor gives them back.
func (s *sendGrid) getErrorFile(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j, ok := s.jobs.get(r.PathValue("id"))
	if !ok || !j.finished || len(j.errored) == 0 {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/csv")
	out := csv.NewWriter(w)
	_ = out.Write([]string{"email", "error"})
	for _, email := range j.errored {
		_ = out.Write([]string{email, "invalid email address"})
	}
	out.Flush()
}
