package target

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"headgate/dispatch/encode"
	"headgate/dispatch/fault"
	"headgate/dispatch/trace"
)

const (
	maxTokenAnswer = 64 << 10
	// unknownLife is how long a token is used whose server does not say how long it lives:
	// should it end before, the 401 tells.
	unknownLife = 5 * time.Minute
	maxLife     = 24 * time.Hour
	// maxMargin is how long before its end a token is used no more; a short one is used
	// for four fifths of its life. It has to outlive the call that it is sent with.
	maxMargin = time.Minute
)

func tokenTTL(life time.Duration) time.Duration {
	life = min(life, maxLife)
	return life - min(life/5, maxMargin)
}

// errInvalidGrant marks the fault of a refresh token, or an assertion, that is good no more.
var errInvalidGrant = errors.New("invalid_grant")

// fetch asks the token server for a token. Whoever calls has the source's turn.
func (c *tokenCache) fetch(outer, ctx context.Context, s *source, cl *client, v *vault) (accessToken, *fault.Fault) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	began := time.Now()
	var answer tokenAnswer
	var f *fault.Fault
	if cl.rotates() {
		answer, f = c.renew(outer, ctx, s, cl, v)
	} else {
		answer, f = c.ask(outer, ctx, cl, "")
	}
	if f != nil {
		return accessToken{}, f
	}
	// The life began when the server made the token, after began.
	t := accessToken{text: answer.text, fields: answer.fields, name: v.name, until: began.Add(tokenTTL(answer.life))}
	plain, err := t.pack()
	if err == nil {
		t.sealed, err = v.seal(v.name, plain)
	}
	if err != nil {
		return accessToken{}, &fault.Fault{Reason: fault.Internal, Retry: true, Err: err, Message: "no access token: it cannot be encrypted"}
	}
	return t, nil
}

// ask makes one request for a token; refresh is for the grant of that name.
func (c *tokenCache) ask(outer, ctx context.Context, cl *client, refresh string) (tokenAnswer, *fault.Fault) {
	hr, secrets, f := cl.request(ctx, refresh)
	if f != nil {
		return tokenAnswer{}, f
	}
	_, end := c.trace.Start(ctx, trace.Call, trace.Facts{Step: "token", Method: hr.Method, Host: hr.URL.Host})
	got, err := c.transport.RoundTrip(hr) //nolint:bodyclose // read closes it
	var resp *response
	if err == nil {
		resp, err = read(got, maxTokenAnswer)
	}
	end(tokenOutcome(resp, err))
	if err != nil {
		f := networkFault(outer, ctx, "the token server", err)
		f.Message = "no access token: " + f.Message
		return tokenAnswer{}, f
	}
	if f := tokenFault(resp, secrets); f != nil {
		return tokenAnswer{}, f
	}
	answer, why := tokenOf(resp.body, cl.fields)
	if why == "" {
		return answer, nil
	}
	f = &fault.Fault{Reason: fault.Auth, Retry: true, Message: "no access token: the token server's answer has " + why}
	resp.conceal(secrets)
	if object, ok := resp.content().(map[string]any); ok && object["access_token"] == nil && resp.message() != "" {
		refusal(f, resp) // some servers refuse with 200
	}
	return tokenAnswer{}, f
}

// tokenOutcome says for the trace what a request for a token came to.
func tokenOutcome(resp *response, err error) (out trace.Facts) {
	if resp != nil {
		out.Status = resp.status
	}
	if out.Failed = err != nil; out.Failed {
		out.Reason = string(fault.Unreachable)
	}
	return out
}

// request makes the request for a token, and lists what an answer must not repeat.
func (cl *client) request(ctx context.Context, refresh string) (*http.Request, []string, *fault.Fault) {
	form, header := maps.Clone(cl.form), http.Header{"User-Agent": {"headgate"}, "Accept": {"application/json"}}
	var secrets []string
	add := func(name, text string) {
		form.Set(name, text)
		secrets = append(secrets, text)
	}
	switch cl.kind {
	case grantRefresh:
		add("refresh_token", refresh)
	case grantJWT:
		assertion, f := cl.assertion()
		if f != nil {
			return nil, nil, f
		}
		add("assertion", assertion)
	}
	text := cl.secrets[clientSecretAt].Reveal()
	if text != "" && cl.send == sendBasic {
		// Both are encoded as in a form before they are joined: RFC 6749, section 2.3.1.
		credentials := base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(cl.clientID) + ":" + url.QueryEscape(text)))
		secrets = append(secrets, text, credentials)
		header.Set("Authorization", "Basic "+credentials)
	} else if cl.kind != grantJWT || text != "" { // the assertion says who asks
		form.Set("client_id", cl.clientID)
		if text != "" {
			add("client_secret", text)
		}
	}
	method, to, body := http.MethodPost, cl.url, io.Reader(strings.NewReader(form.Encode()))
	if cl.send == sendQuery {
		method, to, body = http.MethodGet, cl.url+"?"+form.Encode(), nil
	} else {
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	hr, err := http.NewRequestWithContext(ctx, method, to, body)
	if err != nil {
		return nil, nil, &fault.Fault{Reason: fault.Internal, Retry: true, Message: "no access token: token_url is not valid"}
	}
	hr.Header = header
	return hr, secrets, nil
}

// tokenFault says what is wrong with an answer of the token server by its status. Another
// attempt may always help: a secret is rotated, a client is allowed again.
func tokenFault(r *response, secrets []string) *fault.Fault {
	f := &fault.Fault{Reason: fault.Auth, Retry: true, RetryAfter: retryAfter(r.header)}
	switch {
	case r.status >= 200 && r.status <= 299:
		if !r.tooLong {
			return nil
		}
		f.Message = fmt.Sprintf("no access token: the token server's answer is larger than %d bytes", maxTokenAnswer)
		return f
	case r.status >= 300 && r.status <= 399:
		f.Message = fmt.Sprintf("no access token: the token server answered %d, a redirect: redirects are not followed", r.status)
		return f
	case r.status == http.StatusTooManyRequests:
		f.Reason = fault.RateLimited
	case r.status == http.StatusRequestTimeout, r.status == http.StatusTooEarly, r.status >= 500:
		f.Reason = fault.ServerError
	}
	r.conceal(secrets)
	refusal(f, r)
	return f
}

// refusal adds what the token server says, its secrets concealed: RFC 6749, section 5.2.
func refusal(f *fault.Fault, r *response) {
	text := "no access token: the token server answered " + strconv.Itoa(r.status)
	if name := http.StatusText(r.status); name != "" {
		text += " " + name
	}
	said := r.message()
	if object, ok := r.content().(map[string]any); ok {
		if description, ok := object["error_description"].(string); ok && description != "" {
			said = strings.TrimSpace(said + " " + clean(description, maxMessage))
		}
		if object["error"] == "invalid_grant" {
			f.Err = errInvalidGrant
		}
	}
	if said != "" {
		text += ": " + said
	}
	f.Message = clip(text, maxMessage)
}

// tokenAnswer is what a token server gave.
type tokenAnswer struct {
	text    string
	refresh string // empty: the one that it was asked with goes on
	life    time.Duration
	fields  map[string]any
}

// tokenOf reads the answer: RFC 6749, section 5.1. What it has in the token's place is
// never shown.
func tokenOf(body []byte, fields []string) (a tokenAnswer, why string) {
	var known struct {
		AccessToken  string          `json:"access_token"`
		RefreshToken any             `json:"refresh_token"`
		ExpiresIn    json.RawMessage `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &known); err != nil || known.AccessToken == "" {
		return a, "no access_token in a JSON object"
	}
	if !validHeaderValue(known.AccessToken) {
		return a, "an access_token that a header cannot carry"
	}
	a.text = known.AccessToken
	a.refresh, _ = known.RefreshToken.(string)
	a.life = lifeOf(known.ExpiresIn)
	if len(fields) == 0 {
		return a, ""
	}
	v, err := encode.Decode(body)
	all, ok := v.(map[string]any)
	if err != nil || !ok {
		return a, "a JSON object that cannot be read"
	}
	maps.DeleteFunc(all, func(name string, _ any) bool { return !slices.Contains(fields, name) })
	a.fields = all
	return a, ""
}

// lifeOf reads expires_in, in seconds. Some servers write the number as a string.
func lifeOf(expiresIn json.RawMessage) time.Duration {
	seconds, err := strconv.ParseFloat(strings.Trim(string(expiresIn), `"`), 64)
	switch {
	case err != nil:
		return unknownLife
	case seconds >= maxLife.Seconds():
		return maxLife
	case seconds > 0:
		return time.Duration(seconds * float64(time.Second))
	}
	return 0 // good for this call
}

// lateToken is the fault of a call whose time was over before it had a token.
func lateToken(outer, ctx context.Context) *fault.Fault {
	f := networkFault(outer, ctx, "the token server", ctx.Err())
	f.Message = "no access token: " + f.Message
	return f
}

// stopped reports whether the run was ended from outside.
func stopped(f *fault.Fault) bool { return errors.Is(f.Err, errStopped) }
