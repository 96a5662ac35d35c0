package target

import (
	"bytes"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"headgate/dispatch/transform"
)

// response is an answer, read up to the target's bound.
type response struct {
	status  int
	header  http.Header
	body    []byte
	limit   int64
	tooLong bool // there was more than limit

	value   any // the body as .response.body, once decoded
	decoded bool
	secrets []string // what must not be in it, however it is written
}

// minSecret is the length from which a secret is looked for in answers: a shorter one
// would stand in them by chance.
const minSecret = 6

// conceal replaces the credentials of the call wherever the backend repeats them: what
// it says goes into the record, the log and the client's tracking answer.
func (r *response) conceal(secrets []string) {
	for _, s := range secrets {
		if len(s) < minSecret {
			continue
		}
		for _, way := range waysOf(s) {
			r.secrets = append(r.secrets, way)
			r.body = bytes.ReplaceAll(r.body, []byte(way), []byte(masked))
			for _, values := range r.header {
				for i := range values {
					values[i] = strings.ReplaceAll(values[i], way, masked)
				}
			}
		}
	}
}

// waysOf gives a secret as it is, and as it stands in a URL or a page, each once.
func waysOf(s string) []string {
	ways := []string{s}
	for _, way := range []string{url.QueryEscape(s), url.PathEscape(s), html.EscapeString(s)} {
		if !slices.Contains(ways, way) {
			ways = append(ways, way)
		}
	}
	return ways
}

// without gives a decoded value without the secrets: JSON has many ways to write one
// string, and those are all one here.
func (r *response) without(v any) any {
	switch v := v.(type) {
	case string:
		for _, s := range r.secrets {
			v = strings.ReplaceAll(v, s, masked)
		}
		return v
	case []any:
		for i := range v {
			v[i] = r.without(v[i])
		}
	case map[string]any:
		for name, value := range v {
			value = r.without(value)
			if plain := r.without(name).(string); plain != name {
				delete(v, name)
				name = plain
			}
			v[name] = value
		}
	}
	return v
}

// read takes in an answer and closes it. The bound counts what comes out of the
// decompression, so that a small answer cannot fill the memory.
func read(resp *http.Response, limit int64) (*response, error) {
	defer func() { _ = resp.Body.Close() }()
	out := &response{status: resp.StatusCode, header: resp.Header, limit: limit}
	var buf bytes.Buffer
	if resp.ContentLength > 0 {
		buf.Grow(int(min(resp.ContentLength, limit)) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return out, err
	}
	out.body, out.tooLong = buf.Bytes(), n > limit
	if out.tooLong {
		out.body = nil
	}
	return out, nil
}

// content gives the body as expressions see it: JSON where it is JSON whatever its
// content type says, text otherwise, null when there is none.
func (r *response) content() any {
	if !r.decoded {
		r.decoded = true
		if len(bytes.TrimSpace(r.body)) == 0 {
			return nil
		}
		v, err := decodeJSON(r.body)
		if err != nil {
			v = strings.ToValidUTF8(string(r.body), "\uFFFD")
		}
		if len(r.secrets) > 0 {
			v = r.without(v)
		}
		r.value = v
	}
	return r.value
}

// responseFields are what expressions see of an answer.
var responseFields = []string{"status", "headers", "body"}

// into adds the answer to a scope.
func (r *response) into(scope transform.Scope) {
	headers := make(map[string]any, len(r.header))
	for name, values := range r.header {
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	scope["response"] = map[string]any{
		"status":  json.Number(strconv.Itoa(r.status)),
		"headers": headers,
		"body":    r.content(),
	}
}

// message finds what the backend says about a refusal, in the places where backends
// commonly put it; empty when there is nothing to be found.
func (r *response) message() string {
	if strings.HasPrefix(r.header.Get("Content-Type"), "text/plain") {
		if text, ok := r.content().(string); ok {
			return clean(text, maxMessage)
		}
	}
	body := r.content()
	if list, ok := body.([]any); ok && len(list) > 0 {
		body = list[0] // Salesforce answers with a list of errors
	}
	object, ok := body.(map[string]any)
	if !ok {
		return ""
	}
	nested, _ := object["error"].(map[string]any)
	var first any
	if list, ok := object["errors"].([]any); ok && len(list) > 0 {
		first = list[0]
	}
	firstObject, _ := first.(map[string]any)
	for _, candidate := range []any{
		object["message"], nested["message"], object["error"], firstObject["message"], first,
		object["detail"], object["title"], firstObject["detail"], firstObject["title"],
	} {
		if text, ok := candidate.(string); ok && strings.TrimSpace(text) != "" {
			return clean(text, maxMessage)
		}
	}
	return ""
}
