package encode

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"
)

func TestMultipartIsReadBack(t *testing.T) {
	parts := []Part{
		{Name: "importRequest", ContentType: "application/json", Body: []byte(`{"n":12345678901234567890}`)},
		{Name: "files", Filename: "rows é.csv", ContentType: "text/csv; charset=utf-8", Body: []byte("a,b\r\n1,2\r\n")},
		{Name: "files", Filename: "rows é.csv", ContentType: "text/csv; charset=utf-8", Body: []byte("a,b\r\n1,2\r\n")},
		{Name: "format", Body: []byte("\r\n--\x00\xff")},
		{Name: "empty"},
	}
	body, contentType, err := Multipart(parts)
	if err != nil {
		t.Fatal(err)
	}
	again, sameType, err := Multipart(parts)
	if err != nil || !bytes.Equal(body, again) || contentType != sameType {
		t.Errorf("the same parts are other bytes: %v", err)
	}
	if cap(body) != len(body) {
		t.Errorf("%d bytes in room for %d", len(body), cap(body))
	}
	parts[4].Body = []byte("x")
	if _, other, err := Multipart(parts); err != nil || other == contentType {
		t.Errorf("other parts have the boundary %s, too (%v)", other, err)
	}
	parts[4].Body = nil
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Fatal(err)
	}
	r := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for i, want := range parts {
		got, err := r.NextRawPart()
		if err != nil {
			t.Fatalf("part %d: %v", i, err)
		}
		content, err := io.ReadAll(got)
		if err != nil || !bytes.Equal(content, want.Body) {
			t.Errorf("part %d: %q, %v, want %q", i, content, err, want.Body)
		}
		if got.FormName() != want.Name || got.FileName() != want.Filename || got.Header.Get("Content-Type") != want.ContentType {
			t.Errorf("part %d: %v, want %+v", i, got.Header, want)
		}
	}
	if _, err := r.NextRawPart(); !errors.Is(err, io.EOF) {
		t.Errorf("another part: %v", err)
	}
}

func TestBoundaryDoesNotOccur(t *testing.T) {
	sum := bytes.Repeat([]byte{7}, 32)
	first := boundaryFor(sum, []string{""}, []Part{{}})
	inBody := boundaryFor(sum, []string{""}, []Part{{Body: []byte("x" + first + "y")}})
	both := boundaryFor(sum, []string{inBody}, []Part{{Body: []byte(first)}})
	if first == inBody || inBody == both || both == first {
		t.Errorf("%s, %s, %s", first, inBody, both)
	}
	if len(first) > 70 { // RFC 2046, section 5.1.1
		t.Errorf("%d characters are too many for a boundary", len(first))
	}
}

func TestMultipartNames(t *testing.T) {
	body, _, err := Multipart([]Part{{Name: `a"; filename="x`, Filename: `b\"c`}})
	if err != nil || !strings.Contains(string(body), `form-data; name="a%22; filename=%22x"; filename="b\%22c"`+"\r\n\r\n") {
		t.Errorf("%s, %v", body, err)
	}
	for _, p := range []Part{{Name: "a\r\nX: y"}, {Name: "a", Filename: "b\n"}, {Name: "a\x00"}} {
		_, _, err := Multipart([]Part{p})
		var data *DataError
		if !errors.As(err, &data) {
			t.Errorf("%q %q: %v", p.Name, p.Filename, err)
		}
	}
}
