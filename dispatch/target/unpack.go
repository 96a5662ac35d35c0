package target

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"headgate/dispatch/encode"
)

// decoder reads what a list's answer holds. What it takes out of archives is counted
// against room.
type decoder func(raw []byte, room *room) (any, error)

// accepted is what a call for a list asks for; JSON is asked for anyway.
var accepted = map[string]string{
	"ndjson": "application/x-ndjson, */*;q=0.5",
	"csv":    "text/csv, */*;q=0.5",
	"zip":    "application/zip, */*;q=0.5",
	"tar.gz": "application/gzip, */*;q=0.5",
}

// decoderOf gives the decoder of a format, for CSV with this delimiter and for archives with
// files in this format; nil for JSON.
func decoderOf(format, files string, delimiter rune) decoder {
	switch format {
	case "ndjson":
		return func(raw []byte, _ *room) (any, error) { return lines(raw) }
	case "csv":
		return func(raw []byte, _ *room) (any, error) { return rows(raw, delimiter) }
	case "zip", "tar.gz":
		file := decoderOf(files, "", delimiter)
		if file == nil {
			file = func(raw []byte, _ *room) (any, error) { return decodeJSON(bytes.TrimSpace(withoutMark(raw))) }
		}
		if format == "zip" {
			return func(raw []byte, room *room) (any, error) { return zipped(raw, file, room) }
		}
		return func(raw []byte, room *room) (any, error) { return tarred(raw, file, room) }
	}
	return nil
}

// unpack decodes the body as a list's answer. limit is the most bytes that are held of it
// once it is decompressed, and of all files of an archive together.
func (r *response) unpack(decode decoder, limit int64) error {
	if bytes.HasPrefix(r.body, []byte{0x1f, 0x8b}) { // no format begins like gzip
		in, err := gzip.NewReader(bytes.NewReader(r.body))
		if err == nil {
			r.body, err = (&room{left: limit, all: limit}).read(in)
		}
		if err != nil {
			return fmt.Errorf("it cannot be decompressed: %w", err)
		}
	}
	if decode == nil {
		r.body = withoutMark(r.body)
		return nil // content reads it
	}
	v, err := decode(r.body, &room{left: limit, all: limit})
	if err != nil {
		return err
	}
	r.value, r.decoded = r.without(v), true
	return nil
}

// room is how many bytes may still come out of a decompression: what is sent to us may be
// a thousand times as large as it seems.
type room struct{ left, all int64 }

func (m *room) read(from io.Reader) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(from, m.left+1))
	if err != nil {
		return nil, err
	}
	if m.left -= int64(len(out)); m.left < 0 {
		return nil, fmt.Errorf("decompressed, it is larger than max_response (%d bytes)", m.all)
	}
	return out, nil
}

// maxFiles bounds the files of one archive.
const maxFiles = 10_000

var errFiles = fmt.Errorf("the archive holds more than %d files", maxFiles)

func zipped(raw []byte, decode decoder, room *room) (any, error) {
	archive, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return nil, fmt.Errorf("it is no zip archive: %w", err)
	}
	if len(archive.File) > maxFiles {
		return nil, errFiles
	}
	out := []any{}
	for _, f := range archive.File {
		if !f.Mode().IsRegular() {
			continue
		}
		content, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("the archive cannot be read: %w", err)
		}
		one, err := file(f.Name, content, decode, room)
		_ = content.Close() // it was only read
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

func tarred(raw []byte, decode decoder, room *room) (any, error) {
	if len(raw) == 0 { // to a reader of tar, nothing is an archive without files
		return nil, errors.New("it is no tar archive: it is empty")
	}
	archive, out := tar.NewReader(bytes.NewReader(raw)), []any{}
	for range maxFiles {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("it is no tar archive: %w", err)
		}
		if !head.FileInfo().Mode().IsRegular() {
			continue
		}
		one, err := file(head.Name, archive, decode, room)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return nil, errFiles
}

// file gives one file of an archive as expressions see it.
func file(name string, content io.Reader, decode decoder, room *room) (any, error) {
	name = clean(name, 200)
	raw, err := room.read(content)
	if err == nil {
		var v any
		if v, err = decode(raw, room); err == nil {
			return map[string]any{"name": name, "content": v}, nil
		}
	}
	return nil, fmt.Errorf("the file %s of the archive: %w", name, err)
}

// lines reads JSON documents, one a line; empty lines are passed over.
func lines(raw []byte) (any, error) {
	out, n := []any{}, 0
	for line := range bytes.Lines(withoutMark(raw)) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		v, err := encode.Decode(line)
		if err != nil {
			return nil, fmt.Errorf("line %d is no JSON: %w", n, err)
		}
		out = append(out, v)
	}
	return out, nil
}

// rows reads a CSV whose first line names the columns: an object of strings for each other
// line. Within quotes CRLF becomes LF. A line with more or fewer cells than there are columns is
// an error: what it says would stand under wrong names.
func rows(raw []byte, delimiter rune) (any, error) {
	if raw = withoutMark(raw); !utf8.Valid(raw) {
		raw = bytes.ToValidUTF8(raw, []byte("\uFFFD"))
	}
	in, out := csv.NewReader(bytes.NewReader(raw)), []any{}
	in.Comma = delimiter
	columns, err := in.Read()
	if errors.Is(err, io.EOF) {
		return out, nil
	}
	if err != nil {
		return nil, fmt.Errorf("it is no CSV: %w", err)
	}
	seen := make(map[string]bool, len(columns))
	for _, name := range columns {
		if seen[name] {
			return nil, fmt.Errorf("it has two columns called %q", clip(name, 100))
		}
		seen[name] = true
	}
	for {
		cells, err := in.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("it is no CSV: %w", err)
		}
		row := make(map[string]any, len(columns))
		for i, name := range columns {
			row[name] = cells[i]
		}
		out = append(out, row)
	}
}

// withoutMark leaves a byte order mark out.
func withoutMark(raw []byte) []byte { return bytes.TrimPrefix(raw, []byte("\uFEFF")) }
