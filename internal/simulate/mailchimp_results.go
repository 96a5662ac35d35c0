package simulate

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// mailchimpPerFile is how many results a file of the archive holds.
const mailchimpPerFile = 2

// download gives the results of a batch to whoever has a signed URL, and nothing else.
func (s *mailchimp) download(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, until := r.PathValue("id"), r.URL.Query().Get("Expires")
	expires, err := strconv.ParseInt(until, 10, 64)
	b, ok := s.batches.get(id)
	switch {
	case r.Header.Get("Authorization") != "":
		http.Error(w, "<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>", http.StatusBadRequest)
	case err != nil || r.URL.Query().Get("Signature") != s.signature(id+until) || !ok:
		http.Error(w, "<Error><Code>SignatureDoesNotMatch</Code></Error>", http.StatusForbidden)
	case s.Now().Unix() > expires:
		http.Error(w, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>", http.StatusForbidden)
	default:
		archive, err := b.archive()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/x-tar")
		_, _ = w.Write(archive)
	}
}

// archive is a gzipped tar of files with a list of results each, in a folder of their own.
func (b *mailchimpBatch) archive() ([]byte, error) {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	files := tar.NewWriter(zip)
	if err := files.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755}); err != nil {
		return nil, err
	}
	for i := 0; i < len(b.results); i += mailchimpPerFile {
		text, err := json.Marshal(b.results[i:min(i+mailchimpPerFile, len(b.results))])
		if err != nil {
			return nil, err
		}
		if err := files.WriteHeader(&tar.Header{Name: fmt.Sprintf("./%s-%d.json", b.id, i), Mode: 0o644, Size: int64(len(text))}); err != nil {
			return nil, err
		}
		if _, err := files.Write(text); err != nil {
			return nil, err
		}
	}
	if err := files.Close(); err != nil {
		return nil, err
	}
	err := zip.Close()
	return out.Bytes(), err
}
