package target

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
	"headgate/dispatch/transform"
)

// Input is what a step may look at.
type Input struct {
	Tracking, Tenant string
	Params           map[string]string
	Payload          json.RawMessage
	Upload           *Upload // of a batch, in place of the payload; nil for a run that sends none
	// Members reads the records of a batch, as Records gives them, for a step that sends none.
	Members     func(context.Context) (*Upload, error)
	CallbackURL string // where the backend may call back, for a plan that asks for it
	Delivery    tracking.Delivery
	AcceptedAt  time.Time // retry.within counts from it; zero: it is not looked at
	Now         time.Time // the store's clock when the run began
	rehearsed   bool      // nothing is sent, and placeholders stand for secrets
}

// request is a call as it is sent. Run and Preview make it with the same code.
type request struct {
	method  string
	to      place
	header  http.Header
	body    []byte
	stream  *stream  // not nil: it is the body, which is not held
	size    int64    // of the body before it is compressed
	limit   int64    // of the answer; 0: the target's
	secrets []string // what must not come back in what is kept of the answer
	// id and at name the call and its time, for a signature that covers them.
	id        string
	at        time.Time
	rehearsed bool // as Input has it
	// oauth, where it is not nil, gives the access token that the call is sent with.
	oauth *client
	token accessToken // with which it was sent
}

// http makes the request that the transport is given.
func (r *request) http(ctx context.Context) (*http.Request, *fault.Fault) {
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	hr, err := http.NewRequestWithContext(ctx, r.method, r.to.url, body)
	if err != nil {
		return nil, &fault.Fault{Reason: fault.Internal, Message: "the call cannot be made: its URL is not valid"}
	}
	if r.stream != nil && r.stream.length > 0 {
		hr.Body, hr.ContentLength = r.stream.body(ctx), r.stream.length
	}
	hr.Header = r.header
	// A request with an Idempotency-Key the transport would send again by itself when a
	// reused connection breaks. Each sending is an attempt, and those are counted by us.
	hr.GetBody = nil
	return hr, nil
}

// digest adds the body, as it is sent, to a hash.
func (r *request) digest(to hash.Hash) *fault.Fault {
	if r.stream == nil {
		to.Write(r.body)
		return nil
	}
	if _, err := r.stream.drain(to); err != nil {
		return r.stream.fault(err)
	}
	return nil
}

// scope gives the roots that a step's expressions use, before its call.
func (s *step) scope(in *Input) (transform.Scope, error) {
	scope := transform.Scope{"tenant": in.Tenant, "tracking": in.Tracking, "params": nil, "payload": nil, "records": nil, "keys": nil, "saved": nil, "setup": nil, callbackRoot: in.CallbackURL, "round": in.round()}
	if s.uses["params"] {
		params := make(map[string]any, len(in.Params))
		for name, value := range in.Params {
			params[name] = value
		}
		scope["params"] = params
	}
	for _, root := range []string{"payload", "records"} {
		if !s.uses[root] || in.Upload.paged() {
			continue
		}
		payload, err := decodeJSON(in.payload())
		if err != nil {
			return nil, fmt.Errorf("read the %s: %w", root, err)
		}
		scope[root] = payload
	}
	if s.uses["keys"] {
		keys := make([]any, len(in.Upload.Keys))
		for i, key := range in.Upload.Keys {
			keys[i] = key
		}
		scope["keys"] = keys
	}
	if s.uses["saved"] {
		saved, err := decodeSaved(in.Delivery.Saved)
		if err != nil {
			return nil, err
		}
		scope["saved"] = saved
	}
	return scope, nil
}

// round names this going through the steps: another window of a batch, another round of a
// record that is sent again, and a replay with new keys have other ones.
func (in *Input) round() string { return in.Tracking + in.Delivery.KeySuffix }

// payload is what the call sends unless an expression says otherwise.
func (in *Input) payload() json.RawMessage {
	if in.Upload != nil {
		return in.Upload.payload()
	}
	return in.Payload
}

func decodeSaved(raw map[string]json.RawMessage) (map[string]any, error) {
	saved := make(map[string]any, len(raw))
	for name, text := range raw {
		v, err := decodeJSON(text)
		if err != nil {
			return nil, fmt.Errorf("read the saved value %s: %w", name, err)
		}
		saved[name] = v
	}
	return saved, nil
}

// request makes the call of a step. Without read it is one to be shown: without the secrets,
// and with a body that can be read. at is where paths are appended.
func (p *Plan) request(ctx context.Context, at home, s *step, in *Input, scope transform.Scope, read secretReader) (*request, *fault.Fault) {
	to, f := p.place(s.path, scope, at)
	if f != nil {
		return nil, f
	}
	return p.requestTo(ctx, to, s, in, scope, read)
}

func (p *Plan) requestTo(ctx context.Context, to place, s *step, in *Input, scope transform.Scope, read secretReader) (*request, *fault.Fault) {
	r, f := p.envelope(s, to, scope)
	if f != nil {
		return nil, f
	}
	r.method = s.method
	if r.method != http.MethodGet && !to.other && !s.asks {
		// A GET asks anew each time; with a key, a backend could go on repeating the
		// first answer to a poll. The key also lets the transport repeat a call whose
		// kept-alive connection turned out to be closed.
		r.set("Idempotency-Key", p.idempotencyKey(s, in))
	}
	if f = s.body.into(ctx, r, in, scope, read == nil); f != nil {
		return nil, f
	}
	if r.stream != nil && r.stream.cut {
		return r, nil // it is not sent, and needs no signature
	}
	return r, p.authorize(s, in, r, read)
}

// authorize adds the credentials of a step. Those of the target stay with its host;
// those that the step itself declares go where its URL goes.
func (p *Plan) authorize(s *step, in *Input, r *request, read secretReader) *fault.Fault {
	if s.auth == nil || (r.to.other && !s.ownAuth) {
		return nil
	}
	r.at, r.rehearsed = in.Now, in.rehearsed
	if s.auth.kind == "webhook" {
		r.id = p.idempotencyKey(s, in)
	}
	return s.auth.apply(r, read)
}

// envelope makes a GET with the headers of a step, without credentials.
func (p *Plan) envelope(s *step, to place, scope transform.Scope) (*request, *fault.Fault) {
	r := &request{method: http.MethodGet, to: to, header: make(http.Header, 8)}
	r.set("User-Agent", "headgate")
	r.set("Accept", "application/json")
	for _, h := range s.headers {
		if to.other && h.inherited {
			continue
		}
		value, err := h.value.Eval(scope)
		if errors.Is(err, transform.ErrEmpty) {
			continue
		}
		if err != nil {
			return nil, &fault.Fault{Reason: fault.Internal, Message: err.Error(), Err: err}
		}
		if !validHeaderValue(value) {
			// It is the data of this record that cannot be sent: no other try will do.
			return nil, &fault.Fault{Reason: fault.Rejected,
				Message: fmt.Sprintf("not sent: the value for the header %s holds a line break or another control character", h.name)}
		}
		r.set(h.name, value)
	}
	return r, r.setMore(s.more, scope)
}

// setMore adds the headers that an expression gives. They come from an answer, so they are
// checked like those of the file.
func (r *request) setMore(more *transform.Value, scope transform.Scope) *fault.Fault {
	if more == nil {
		return nil
	}
	v, err := more.Eval(scope)
	if v == nil && (err == nil || errors.Is(err, transform.ErrEmpty)) {
		return nil
	}
	bad := func(format string, args ...any) *fault.Fault {
		return &fault.Fault{Reason: fault.BadResponse, Err: err, Message: "not sent: headers_from: " + fmt.Sprintf(format, args...)}
	}
	if err != nil {
		return bad("%s", err)
	}
	set := func(name string, value any) *fault.Fault {
		text, ok := textOf(value)
		_, reserved := reservedHeaders[http.CanonicalHeaderKey(name)]
		switch {
		case !validHeaderName(name):
			return bad("%.40q is no name for a header", name)
		case reserved:
			return bad("%s cannot be set", http.CanonicalHeaderKey(name))
		case !ok || !validHeaderValue(text):
			return bad("the value for %s cannot be sent", name)
		}
		r.set(http.CanonicalHeaderKey(name), text)
		return nil
	}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range sortedKeys(v) {
			if f := set(name, v[name]); f != nil {
				return f
			}
		}
		return nil
	case []any:
		for _, item := range v {
			one, _ := item.(map[string]any)
			name, ok := one["header"].(string)
			if !ok {
				name, _ = one["name"].(string)
			}
			if f := set(name, one["value"]); f != nil {
				return f
			}
		}
		return nil
	}
	return bad("it gives neither a mapping nor a list")
}

func (r *request) set(name, value string) { r.header[name] = []string{value} }

// DeliveryKey names a delivery to the backend: what the idempotency keys of its calls
// begin with, and what stands for a record of a batch in .keys.
func DeliveryKey(id, target string) string { return id + ":" + target }

// idempotencyKey is the same for every attempt of a step, so that a backend that keeps
// such keys does the work once. Only a replay that was asked for new keys changes it, and
// what the upload of a batch holds: without the records that were refused it is another one.
func (p *Plan) idempotencyKey(s *step, in *Input) string {
	key := DeliveryKey(in.Tracking, p.Name)
	if p.flow || s.beside {
		key += ":" + s.name
	}
	if s.sendsRecords() {
		key += ":" + strconv.Itoa(in.Upload.count())
		if last := in.Delivery.Window; last > 0 {
			key += "." + strconv.Itoa(last) // after a crash, as many others may have taken the places of some
		}
	}
	if s.foreach {
		key += fmt.Sprintf(":%d:%d", in.Upload.First, in.Upload.Of)
	}
	return key + in.Delivery.KeySuffix
}

func validHeaderName(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return name != ""
}

func validHeaderValue(value string) bool {
	for i := range len(value) {
		if c := value[i]; (c < ' ' && c != '\t') || c == 0x7f {
			return false
		}
	}
	return true
}
