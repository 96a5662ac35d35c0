package encode

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Part is one part of a multipart/form-data body.
type Part struct {
	Name        string
	Filename    string // empty: none
	ContentType string // empty: none
	Body        []byte
}

// Multipart writes parts as multipart/form-data (RFC 7578) and gives the Content-Type
// that goes with them. The boundary follows from the parts, so that the same parts are
// the same bytes each time they are sent.
func Multipart(parts []Part) (body []byte, contentType string, err error) {
	heads := make([]string, len(parts))
	size, sum := 0, sha256.New()
	for i := range parts {
		if heads[i], err = parts[i].head(); err != nil {
			return nil, "", fmt.Errorf("encode multipart: %w", err)
		}
		sum.Write([]byte(heads[i]))
		sum.Write(parts[i].Body)
		size += len(heads[i]) + len(parts[i].Body)
	}
	boundary := boundaryFor(sum.Sum(nil), heads, parts)
	body = make([]byte, 0, size+(len(parts)+1)*(len(boundary)+len("--\r\n\r\n")))
	for i := range parts {
		body = append(append(appendHead(body, boundary, heads[i]), parts[i].Body...), "\r\n"...)
	}
	return appendEnd(body, boundary), formType + boundary, nil
}

const formType = "multipart/form-data; boundary="

// appendHead begins a part.
func appendHead(dst []byte, boundary, head string) []byte {
	return append(append(append(append(dst, "--"...), boundary...), "\r\n"...), head...)
}

func appendEnd(dst []byte, boundary string) []byte {
	return append(append(append(dst, "--"...), boundary...), "--\r\n"...)
}

// boundaryFor makes a boundary of a hash; one that occurs in a part is hashed again.
func boundaryFor(sum []byte, heads []string, parts []Part) string {
	for {
		boundary := boundaryOf(sum)
		found := false
		for i := range parts {
			found = found || strings.Contains(heads[i], boundary) || bytes.Contains(parts[i].Body, []byte(boundary))
		}
		if !found {
			return boundary
		}
		next := sha256.Sum256(sum)
		sum = next[:]
	}
}

func boundaryOf(sum []byte) string { return "headgate-" + hex.EncodeToString(sum[:16]) }

func (p *Part) head() (string, error) {
	name, err := dispositionValue("name", p.Name)
	if err != nil {
		return "", err
	}
	out := "Content-Disposition: form-data; name=" + name
	if p.Filename != "" {
		filename, err := dispositionValue("filename", p.Filename)
		if err != nil {
			return "", err
		}
		out += "; filename=" + filename
	}
	if p.ContentType != "" {
		out += "\r\nContent-Type: " + p.ContentType
	}
	return out + "\r\n\r\n", nil
}

// dispositionValue quotes as browsers do
// (https://html.spec.whatwg.org/#multipart-form-data): a quote is %22, letters of all
// scripts are UTF-8.
func dispositionValue(what, text string) (string, error) {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", unwritable("the %s of a part holds a line break or another control character", what)
	}
	return `"` + strings.ReplaceAll(text, `"`, "%22") + `"`, nil
}
