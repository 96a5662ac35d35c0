package target

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"headgate/config/secret"
	"headgate/config/yamlsrc"
	"headgate/dispatch/fault"
)

// sigv4 is what a signature of AWS covers besides the call itself.
type sigv4 struct {
	region, service string
	signer          *v4.Signer
}

// scopeWord is a part of the credential scope: slashes divide it.
var scopeWord = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// payloadHash carries the hash of the body; S3 wants it, others accept it.
const payloadHash = "X-Amz-Content-Sha256"

// secrets lists what is read for a signature, and under which keys that stands.
func (spec *SigV4Auth) secrets() ([]secret.Ref, []string) {
	return []secret.Ref{spec.SecretKey, spec.AccessKey, spec.SessionToken}, []string{"secret_key", "access_key", "session_token"}
}

func (spec *SigV4Auth) compile(at *yamlsrc.Node, report *yamlsrc.Report) *sigv4 {
	for _, word := range []struct{ key, text, hint string }{
		{"region", spec.Region, "write a region such as eu-central-1"},
		{"service", spec.Service, "write the service's name in signatures, such as s3"},
	} {
		if n := at.Get(word.key); n != nil && !scopeWord.MatchString(word.text) {
			report.Addf(n.Pos, n.Path, word.hint, "%s cannot be %q", word.key, word.text)
		}
	}
	return &sigv4{region: spec.Region, service: spec.Service, signer: v4.NewSigner(func(o *v4.SignerOptions) {
		// S3 signs the path as it is sent; all others encode it once more.
		o.DisableURIPathEscaping = spec.Service == "s3"
	})}
}

// sign adds the signature of a request that is otherwise complete. values are the secrets
// in the order of secrets, nil for three stars in place of the signature.
func (s *sigv4) sign(r *request, values []secret.Value, refs []secret.Ref) *fault.Fault {
	sum := sha256.New()
	if f := r.digest(sum); f != nil {
		return f
	}
	hash := hex.EncodeToString(sum.Sum(nil))
	r.set(payloadHash, hash)
	if values == nil {
		r.set("Authorization", "AWS4-HMAC-SHA256 "+masked)
		return nil
	}
	hr, f := r.http(context.Background())
	if f != nil {
		return f
	}
	credentials := aws.Credentials{SecretAccessKey: values[0].Reveal(), AccessKeyID: values[1].Reveal(), SessionToken: values[2].Reveal()}
	for i, text := range []string{"", credentials.AccessKeyID, credentials.SessionToken} {
		if !validHeaderValue(text) {
			return &fault.Fault{Reason: fault.Auth, Retry: true,
				Message: fmt.Sprintf("the secret %s holds characters that a header cannot carry", refs[i])}
		}
	}
	if err := s.signer.SignHTTP(hr.Context(), credentials, hr, hash, s.service, s.region, r.at); err != nil {
		return &fault.Fault{Reason: fault.Internal, Err: err, Message: "the call cannot be signed"}
	}
	// The signer orders the query and sets headers: what is sent is what was signed.
	r.header, r.to.url = hr.Header, hr.URL.String()
	r.secrets = append(r.secrets, r.header.Get("Authorization"))
	return nil
}
