package simulate

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

const (
	customerIOImportMaxBytes = 1 << 20 // of a call; the file is fetched
	customerIORate           = 10      // calls a second
)

// customerIOImports simulates imports of files that the vendor fetches.
type customerIOImports struct {
	*vendor
	timing  timing
	backend *Backend
	client  *http.Client
	imports *history[*customerIOImport]
	count   int
	second  int64 // the one in which calls were counted last
	calls   int
}

type customerIOImport struct {
	job
	id             int
	identifier     string
	kind           string
	rows, imported int
	warned         bool
	fetched        bool
	failure        string
}

// NewCustomerIOImports makes a simulation of Customer.io's POST /v1/imports and GET
// /v1/imports/{id}, for people. It fetches the file without credentials. A row without the
// identifier is refused, which only the number of rows and an ID of a report tell; a row that says
// the same as one before is a warning.
func NewCustomerIOImports(opts VendorOptions) *Backend {
	v := newVendor("customerio-import", opts, bearer, func(w http.ResponseWriter, status int, message string) {
		writeJSON(w, status, map[string]any{"errors": []map[string]string{{"detail": message, "status": strconv.Itoa(status)}}})
	})
	s := &customerIOImports{
		vendor: v, timing: newTiming(v.PollsUntilDone, v.JobDuration, v.Now), client: newCallbackClient(), imports: newHistory[*customerIOImport](),
	}
	v.on("POST /v1/imports", customerIOImportMaxBytes, s.create)
	v.on("GET /v1/imports/{id}", 0, s.show)
	s.backend = v.backend()
	return s.backend
}

// throttled counts a call, and refuses it when there are too many.
func (s *customerIOImports) throttled(w http.ResponseWriter) bool {
	if now := s.Now().Unix(); now != s.second {
		s.second, s.calls = now, 0
	}
	if s.calls++; s.calls > customerIORate {
		s.refuse(w, http.StatusTooManyRequests, "over the limit of 10 requests a second")
		return true
	}
	return false
}

func (s *customerIOImports) create(w http.ResponseWriter, _ *http.Request, body []byte) {
	var in struct {
		Import struct {
			Name       string `json:"name"`
			URL        string `json:"data_file_url"`
			Type       string `json:"type"`
			Identifier string `json:"identifier"`
			Process    string `json:"data_to_process"`
		} `json:"import"`
	}
	if s.throttled(w) || !s.read(w, body, &in) {
		return
	}
	at, err := url.Parse(in.Import.URL)
	switch {
	case in.Import.Name == "":
		s.refuse(w, http.StatusBadRequest, "name is required")
	case err != nil || at.Host == "":
		s.refuse(w, http.StatusBadRequest, "data_file_url must be a URL")
	case !slices.Contains([]string{"people", "event", "object", "relationship"}, in.Import.Type):
		s.refuse(w, http.StatusBadRequest, "type is not one of people, event, object, relationship")
	case in.Import.Identifier != "id" && in.Import.Identifier != "email":
		s.refuse(w, http.StatusBadRequest, "identifier must be id or email")
	case !slices.Contains([]string{"all", "only_new", "only_existing"}, cmp.Or(in.Import.Process, "all")):
		s.refuse(w, http.StatusBadRequest, "data_to_process is not one of all, only_new, only_existing")
	default:
		s.count++
		j := &customerIOImport{job: s.timing.start(), id: s.count, identifier: in.Import.Identifier, kind: in.Import.Type}
		s.imports.add(strconv.Itoa(j.id), j)
		s.backend.spawn(func(ctx context.Context) { s.fetch(ctx, j, at.String()) })
		writeJSON(w, http.StatusOK, map[string]any{"import": s.view(j, queued)})
	}
}

// fetch reads the file of an import.
func (s *customerIOImports) fetch(ctx context.Context, j *customerIOImport, from string) {
	rows, err := s.download(ctx, from)
	s.mu.Lock()
	defer s.mu.Unlock()
	j.fetched = true
	column := -1
	if err == nil && len(rows) > 0 {
		column = slices.Index(rows[0], j.identifier)
	}
	switch {
	case err != nil:
		j.failure = "The file could not be downloaded: " + err.Error()
	case column < 0:
		j.failure = "The file has no column " + j.identifier
	default:
		seen := map[string]bool{}
		for _, row := range rows[1:] {
			j.rows++
			if row[column] == "" {
				continue
			}
			j.imported++
			said := fmt.Sprintf("%q", row)
			j.warned = j.warned || seen[said]
			seen[said] = true
		}
	}
}

func (s *customerIOImports) download(ctx context.Context, from string) ([][]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	if err != nil {
		return nil, err
	}
	return csv.NewReader(bytes.NewReader(text)).ReadAll()
}

func (s *customerIOImports) show(w http.ResponseWriter, r *http.Request, _ []byte) {
	if s.throttled(w) {
		return
	}
	j, ok := s.imports.get(r.PathValue("id"))
	if !ok {
		s.refuse(w, http.StatusNotFound, "not found")
		return
	}
	p := queued
	if j.fetched {
		p = s.timing.poll(&j.job)
	}
	view := s.view(j, p)
	if p == finished && j.imported < j.rows {
		view["error_export_id"], view["error_download_url"] = 2*j.id, fmt.Sprintf("%s/v1/exports/%d/download", baseURL(r), 2*j.id)
	}
	if p == finished && j.warned {
		view["warning_export_id"], view["warning_download_url"] = 2*j.id+1, fmt.Sprintf("%s/v1/exports/%d/download", baseURL(r), 2*j.id+1)
	}
	writeJSON(w, http.StatusOK, map[string]any{"import": view})
}

func (s *customerIOImports) view(j *customerIOImport, p phase) map[string]any {
	out := map[string]any{
		"id": j.id, "type": j.kind, "identifier": j.identifier, "created_at": j.started.Unix(), "rows_to_import": j.rows, "rows_imported": 0,
		"state": map[phase]string{queued: "preprocessing", running: "importing", finished: "imported"}[p],
	}
	if p != finished {
		return out
	}
	out["rows_imported"] = j.imported
	if j.failure != "" {
		out["state"], out["error"] = "failed", j.failure
	}
	return out
}
