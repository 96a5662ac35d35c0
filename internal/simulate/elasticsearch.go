package simulate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

const elasticsearchMaxBytes = 64 << 20 // the vendor's is 100 MB, over what is read here

// elasticsearch simulates bulk indexing with dynamic mapping: the first value of a field
// settles its type, and documents that differ are refused.
type elasticsearch struct {
	*vendor
	types    map[string]string // "index field" → type
	versions map[string]int    // "index id" → how often it was written
	busy     map[string]bool   // "index id" → there was no room for it once
}

// maxDocuments bounds what is remembered of documents.
const maxDocuments = 1 << 20

// NewElasticsearch makes a simulation of Elasticsearch's POST /{index}/_bulk for the actions
// index and create. The items of the answer are in the order of the documents. For one whose ID
// begins with busy- there is no room the first time.
func NewElasticsearch(opts VendorOptions) *Backend {
	v := newVendor("elasticsearch", opts, headerOf("Authorization"), func(w http.ResponseWriter, status int, message string) {
		kind := "illegal_argument_exception"
		if status == http.StatusUnauthorized {
			kind = "security_exception"
		}
		writeJSON(w, status, map[string]any{"status": status, "error": map[string]string{"type": kind, "reason": message}})
	})
	s := &elasticsearch{vendor: v, types: map[string]string{}, versions: map[string]int{}, busy: map[string]bool{}}
	v.on("POST /{index}/_bulk", elasticsearchMaxBytes, s.bulk)
	return v.backend()
}

func (s *elasticsearch) bulk(w http.ResponseWriter, r *http.Request, body []byte) {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	lines := bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
	switch {
	case kind != "application/x-ndjson" && kind != "application/json":
		s.refuse(w, http.StatusNotAcceptable, "Content-Type header ["+kind+"] is not supported")
		return
	case !bytes.HasSuffix(body, []byte("\n")):
		s.refuse(w, http.StatusBadRequest, `The bulk request must be terminated by a newline [\n]`)
		return
	case len(lines)%2 != 0:
		s.refuse(w, http.StatusBadRequest, "an action without its document")
		return
	}
	items, failed := []map[string]any{}, false
	for i := 0; i < len(lines); i += 2 {
		var action map[string]struct {
			ID string `json:"_id"`
		}
		if err := json.Unmarshal(lines[i], &action); err != nil || len(action) != 1 {
			s.refuse(w, http.StatusBadRequest, fmt.Sprintf("Malformed action/metadata line [%d]", i+1))
			return
		}
		for verb, about := range action {
			result := s.write(r.PathValue("index"), verb, about.ID, lines[i+1])
			failed = failed || result["error"] != nil
			items = append(items, map[string]any{verb: result})
		}
	}
	out := map[string]any{"items": items}
	if r.URL.Query().Get("filter_path") == "" {
		out["took"], out["errors"] = 1, failed
	}
	writeJSON(w, http.StatusOK, out)
}

// write indexes one document and gives what the answer says of it.
func (s *elasticsearch) write(index, verb, id string, document []byte) map[string]any {
	refused := func(status int, kind, reason string) map[string]any {
		return map[string]any{"_id": id, "status": status, "error": map[string]string{"type": kind, "reason": reason}}
	}
	var fields map[string]any
	if err := json.Unmarshal(document, &fields); err != nil || fields == nil {
		return refused(http.StatusBadRequest, "document_parsing_exception", "failed to parse the document")
	}
	for name, value := range fields {
		if was, known := s.types[index+" "+name]; known && value != nil && was != fmt.Sprintf("%T", value) {
			return refused(http.StatusBadRequest, "document_parsing_exception", "failed to parse field ["+name+"]")
		}
	}
	if len(s.versions)+len(s.busy) > maxDocuments {
		clear(s.versions)
		clear(s.busy)
	}
	key := index + " " + id
	switch {
	case verb != "index" && verb != "create":
		return refused(http.StatusBadRequest, "illegal_argument_exception", "the action "+verb+" is not simulated")
	case strings.HasPrefix(id, "busy-") && !s.busy[key]:
		s.busy[key] = true
		return refused(http.StatusTooManyRequests, "es_rejected_execution_exception", "rejected execution of coordinating operation")
	case verb == "create" && s.versions[key] > 0:
		return refused(http.StatusConflict, "version_conflict_engine_exception", "document already exists")
	}
	for name, value := range fields {
		if value != nil {
			s.types[index+" "+name] = fmt.Sprintf("%T", value)
		}
	}
	s.versions[key]++
	if s.versions[key] == 1 {
		return map[string]any{"_id": id, "_version": 1, "status": http.StatusCreated}
	}
	return map[string]any{"_id": id, "_version": s.versions[key], "status": http.StatusOK}
}
