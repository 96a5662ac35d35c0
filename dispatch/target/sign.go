package target

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"headgate/config/yamlsrc"
	"headgate/dispatch/fault"
)

// signing is how a body is signed.
type signing struct {
	hash   func() hash.Hash
	encode func([]byte) string
	prefix string
}

// compile checks the spec of a signature; at is its mapping.
func (spec *HMACAuth) compile(at *yamlsrc.Node, report *yamlsrc.Report) *signing {
	s := &signing{hash: sha256.New, encode: hex.EncodeToString, prefix: spec.Prefix}
	if choice(at, "algorithm", spec.Algorithm, []string{"sha256", "sha512"}, report) == "sha512" {
		s.hash = sha512.New
	}
	if choice(at, "encoding", spec.Encoding, []string{"hex", "base64"}, report) == "base64" {
		s.encode = base64.StdEncoding.EncodeToString
	}
	plainText(at, "prefix", spec.Prefix, report)
	return s
}

// choice gives one of the known words, the first of them where the key is left out.
func choice(at *yamlsrc.Node, key, word string, known []string, report *yamlsrc.Report) string {
	n := at.Get(key)
	if n == nil {
		return known[0]
	}
	for _, k := range known {
		if word == k {
			return word
		}
	}
	report.Addf(n.Pos, n.Path, "write "+strings.Join(known, " or "), "%s cannot be %q", key, word)
	return known[0]
}

// plainText reports a text that stands before a secret in a header and that no header
// can carry.
func plainText(at *yamlsrc.Node, key, text string, report *yamlsrc.Report) {
	if !validHeaderValue(text) {
		n := find(at, key)
		report.Addf(n.Pos, n.Path, "leave line breaks and control characters out", "%s holds characters that a header cannot carry", key)
	}
}

// hmac gives the signature of the body as its header carries it.
func (a *auth) hmac(r *request, key string, mask bool) (string, *fault.Fault) {
	if mask {
		return a.sign.prefix + masked, nil
	}
	mac := hmac.New(a.sign.hash, []byte(key))
	if f := r.digest(mac); f != nil {
		return "", f
	}
	signature := a.sign.encode(mac.Sum(nil))
	r.secrets = append(r.secrets, signature) // whoever has it can send the same body again
	return a.sign.prefix + signature, nil
}

// The headers of the Standard Webhooks specification, 1.0.0.
const (
	webhookID        = "Webhook-Id"
	webhookTimestamp = "Webhook-Timestamp"
	webhookSignature = "Webhook-Signature"
)

// webhook sets the headers of a webhook that its signature covers, and gives the one
// with the signature.
func (a *auth) webhook(r *request, key string, mask bool) (string, *fault.Fault) {
	at := strconv.FormatInt(r.at.Unix(), 10)
	r.set(webhookID, r.id)
	r.set(webhookTimestamp, at)
	if mask {
		return "v1," + masked, nil
	}
	text := strings.TrimPrefix(key, "whsec_")
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil && r.rehearsed { // a placeholder is not base64
		raw, err = []byte(text), nil
	}
	if err != nil || len(raw) == 0 {
		// The error of the decoder would tell where in the secret it stopped.
		return "", &fault.Fault{Reason: fault.Auth, Retry: true,
			Message: fmt.Sprintf("the secret %s is no key of a webhook: base64, with or without whsec_ before it", a.refs[0])}
	}
	mac := hmac.New(sha256.New, raw)
	mac.Write([]byte(r.id + "." + at + "."))
	if f := r.digest(mac); f != nil {
		return "", f
	}
	signature := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	r.secrets = append(r.secrets, text, signature)
	return "v1," + signature, nil
}
