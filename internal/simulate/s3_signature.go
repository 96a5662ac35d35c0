package simulate

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	signatureScheme = "AWS4-HMAC-SHA256"
	signatureTime   = "20060102T150405Z"
	signatureSkew   = 15 * time.Minute
)

// signature is what the Authorization header of a call holds, AWS Signature Version 4.
type signature struct {
	scope     []string // date, region, service, aws4_request
	headers   []string // that are signed, in lower case
	signature string
	at        time.Time
}

func readSignature(r *http.Request) (s signature, err error) {
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if scheme != signatureScheme {
		return s, errors.New("the scheme is not " + signatureScheme)
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		parts[name] = value
	}
	credential := strings.Split(parts["Credential"], "/")
	s.headers, s.signature = strings.Split(parts["SignedHeaders"], ";"), parts["Signature"]
	if s.at, err = time.Parse(signatureTime, r.Header.Get("X-Amz-Date")); err != nil {
		return s, fmt.Errorf("X-Amz-Date: %w", err)
	}
	if len(credential) != 5 || credential[0] == "" || len(s.signature) != 64 {
		return s, errors.New("the credential or the signature is missing or incomplete")
	}
	s.scope = credential[1:]
	switch {
	case s.scope[0] != s.at.Format("20060102") || s.scope[1] == "" || s.scope[2] != "s3" || s.scope[3] != "aws4_request":
		return s, errors.New("the credential scope " + strings.Join(s.scope, "/") + " is not that of the call")
	case !slices.Contains(s.headers, "host"), !slices.Contains(s.headers, "x-amz-content-sha256"), !slices.Contains(s.headers, "x-amz-date"):
		return s, errors.New("host, x-amz-content-sha256 and x-amz-date must be signed")
	}
	return s, nil
}

// skew is how far the call's time is from now.
func (s signature) skew(now time.Time) time.Duration { return s.at.Sub(now).Abs() }

// compute gives the signature that the call should have.
func (s signature) compute(r *http.Request, secret string) string {
	path, query, _ := strings.Cut(r.RequestURI, "?") // as it was sent: a [Server] takes its prefix off
	values, err := url.ParseQuery(query)
	if err != nil {
		return ""
	}
	canonical := []string{r.Method, path, strings.ReplaceAll(values.Encode(), "+", "%20")}
	for _, name := range s.headers {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(r.ContentLength)
		}
		canonical = append(canonical, name+":"+strings.Join(strings.Fields(value), " "))
	}
	canonical = append(canonical, "", strings.Join(s.headers, ";"), r.Header.Get("X-Amz-Content-Sha256"))
	sum := sha256.Sum256([]byte(strings.Join(canonical, "\n")))
	key := []byte("AWS4" + secret)
	for _, word := range s.scope {
		key = hmacOf(key, word)
	}
	return hex.EncodeToString(hmacOf(key, strings.Join([]string{signatureScheme, s.at.Format(signatureTime), strings.Join(s.scope, "/"), hex.EncodeToString(sum[:])}, "\n")))
}

func hmacOf(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(text)) // a hash takes everything
	return mac.Sum(nil)
}
