package target

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"headgate/config/secret"
	"headgate/config/yamlsrc"
	"headgate/dispatch/fault"
)

// grant is how an access token is asked for.
type grant struct {
	url      string
	clientID string
	form     url.Values // without the client's credentials
	basic    bool       // these go into the Authorization header, not into the body
	prefix   string     // of the token in the header of calls
	what     string     // all that decides which token is got, but for the secret
	id       string     // what, and where the secret is kept
}

// Parameters that have a key of their own, or that must not stand in the file.
var (
	ownParams    = []string{"grant_type", "client_id", "scope"}
	secretParams = []string{"client_secret", "password", "refresh_token", "assertion", "client_assertion"}
)

// compile checks the spec of a grant; at is its mapping.
func (spec *OAuth2Auth) compile(at *yamlsrc.Node, report *yamlsrc.Report) *grant {
	g := &grant{clientID: spec.ClientID, form: url.Values{"grant_type": {"client_credentials"}}, prefix: "Bearer "}
	if u := absoluteURL(find(at, "token_url"), "write the token server's URL, such as https://id.example.com/oauth2/token",
		"use client_id and client_secret", "put what it says into params", report); u != nil {
		g.url = u.String()
	}
	if spec.ClientID == "" {
		n := find(at, "client_id")
		report.Addf(n.Pos, n.Path, "write the name of the client", "client_id is empty")
	}
	if spec.Scope != "" {
		g.form.Set("scope", spec.Scope)
	}
	for _, e := range entries(at.Get("params")) {
		switch {
		case slices.Contains(secretParams, e.Key):
			report.AddSecretf(e.Value, "use client_secret: {env: NAME}", "a secret must not stand in the file in clear")
		case slices.Contains(ownParams, e.Key):
			report.Addf(e.KeyPos, e.Value.Path, "leave it out: it is sent by itself, or has a key beside params", "params cannot have %q", e.Key)
		}
		g.form.Set(e.Key, spec.Params[e.Key])
	}
	g.basic = choice(at, "send", spec.Send, []string{"basic", "body"}, report) == "basic"
	if at.Get("header_prefix") != nil {
		g.prefix = spec.HeaderPrefix
		plainText(at, "header_prefix", g.prefix, report)
	}
	g.what = strings.Join([]string{g.url, g.clientID, g.form.Encode(), strconv.FormatBool(g.basic)}, "\n")
	g.id = g.what + "\n" + spec.ClientSecret.String()
	return g
}

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

// fetch asks the token server for a token.
func (c *tokenCache) fetch(outer, ctx context.Context, g *grant, v *vault, clientSecret secret.Value) (accessToken, *fault.Fault) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	began := time.Now()
	hr, secrets, err := g.request(ctx, clientSecret)
	if err != nil {
		return accessToken{}, &fault.Fault{Reason: fault.Internal, Retry: true, Message: "no access token: token_url is not valid"}
	}
	got, err := c.transport.RoundTrip(hr) //nolint:bodyclose // read closes it
	var resp *response
	if err == nil {
		resp, err = read(got, maxTokenAnswer)
	}
	if err != nil {
		f := networkFault(outer, ctx, "the token server", err)
		f.Message = "no access token: " + f.Message
		return accessToken{}, f
	}
	if f := tokenFault(resp, secrets); f != nil {
		return accessToken{}, f
	}
	text, life, why := tokenOf(resp.body)
	if why == "" && !validHeaderValue(text) {
		why = "an access_token that a header cannot carry"
	}
	if why != "" {
		return accessToken{}, &fault.Fault{Reason: fault.Auth, Retry: true, Message: "no access token: the token server's answer has " + why}
	}
	sealed, err := v.seal(text)
	if err != nil {
		return accessToken{}, &fault.Fault{Reason: fault.Internal, Retry: true, Err: err, Message: "no access token: it cannot be encrypted"}
	}
	// The life began when the server made the token, after began.
	return accessToken{text: text, name: v.name, sealed: sealed, until: began.Add(tokenTTL(life))}, nil
}

// request makes the request for a token, and lists what an answer must not repeat.
func (g *grant) request(ctx context.Context, clientSecret secret.Value) (*http.Request, []string, error) {
	text := clientSecret.Reveal()
	secrets := []string{text}
	form := g.form
	var credentials string
	if g.basic {
		// Both are encoded as in a form before they are joined: RFC 6749, section 2.3.1.
		credentials = base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(g.clientID) + ":" + url.QueryEscape(text)))
		secrets = append(secrets, credentials)
	} else {
		form = maps.Clone(form)
		form.Set("client_id", g.clientID)
		form.Set("client_secret", text)
	}
	hr, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, nil, err
	}
	hr.Header = http.Header{"User-Agent": {"headgate"}, "Accept": {"application/json"}, "Content-Type": {"application/x-www-form-urlencoded"}}
	if credentials != "" {
		hr.Header.Set("Authorization", "Basic "+credentials)
	}
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
	text := "no access token: the token server answered " + strconv.Itoa(r.status)
	if name := http.StatusText(r.status); name != "" {
		text += " " + name
	}
	said := r.message()
	if object, ok := r.content().(map[string]any); ok { // RFC 6749, section 5.2
		if description, ok := object["error_description"].(string); ok && description != "" {
			said = strings.TrimSpace(said + " " + clean(description, maxMessage))
		}
	}
	if said != "" {
		text += ": " + said
	}
	f.Message = clip(text, maxMessage)
	return f
}

// tokenOf reads the answer: RFC 6749, section 5.1. What it has in the token's place is
// never shown.
func tokenOf(body []byte) (token string, life time.Duration, why string) {
	var answer struct {
		AccessToken string          `json:"access_token"`
		ExpiresIn   json.RawMessage `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.AccessToken == "" {
		return "", 0, "no access_token in a JSON object"
	}
	// Some servers write the number as a string.
	seconds, err := strconv.ParseFloat(strings.Trim(string(answer.ExpiresIn), `"`), 64)
	switch {
	case err != nil:
		return answer.AccessToken, unknownLife, ""
	case seconds >= maxLife.Seconds():
		return answer.AccessToken, maxLife, ""
	case seconds > 0:
		return answer.AccessToken, time.Duration(seconds * float64(time.Second)), ""
	}
	return answer.AccessToken, 0, "" // good for this call
}

// lateToken is the fault of a call whose time was over before it had a token.
func lateToken(outer, ctx context.Context) *fault.Fault {
	f := networkFault(outer, ctx, "the token server", ctx.Err())
	f.Message = "no access token: " + f.Message
	return f
}

// stopped reports whether the run was ended from outside.
func stopped(f *fault.Fault) bool { return errors.Is(f.Err, errStopped) }
