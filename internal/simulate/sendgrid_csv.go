package simulate

import (
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// uploadHeader must accompany an upload, as the storage behind the vendor wants it.
const uploadHeader, uploadHeaderValue = "X-Amz-Server-Side-Encryption", "aws:kms"

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
	s.mu.Lock()
	j := s.newJob("contacts_import")
	j.waiting = true
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
	emails, err := readEmailColumn(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j, ok := s.jobs.get(r.PathValue("id"))
	if !ok || !j.waiting {
		http.Error(w, "no such upload", http.StatusForbidden)
		return
	}
	j.waiting = false
	j.job = s.timing.start()
	s.upsert(j, emails)
	w.WriteHeader(http.StatusOK)
}

// readEmailColumn reads a CSV file, plain or gzip, and gives the column headed email, else the first.
func readEmailColumn(r *http.Request) ([]string, error) {
	body := r.Body.(io.Reader)
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
	if len(rows) == 0 {
		return nil, fmt.Errorf("read csv: no header row")
	}
	column := 0
	for i, name := range rows[0] {
		if strings.EqualFold(strings.TrimPrefix(name, "\ufeff"), "email") {
			column = i
		}
	}
	emails := make([]string, 0, len(rows)-1)
	for _, row := range rows[1:] {
		emails = append(emails, row[column])
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
