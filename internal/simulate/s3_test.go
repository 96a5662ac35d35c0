package simulate_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"headgate/internal/simulate"
)

// signed gives the headers with which the vendor's own library signs a call.
func (c *client) signed(method, path, body, secret string, at time.Time) []string {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(body))
	hash := hex.EncodeToString(sum[:])
	req.Header.Set("X-Amz-Content-Sha256", hash)
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err := signer.SignHTTP(c.t.Context(), aws.Credentials{AccessKeyID: "AKIA", SecretAccessKey: secret}, req, hash, "s3", "eu-central-1", at); err != nil {
		c.t.Fatal(err)
	}
	var out []string
	for _, name := range []string{"Authorization", "X-Amz-Date", "X-Amz-Content-Sha256"} {
		out = append(out, name, req.Header.Get(name))
	}
	return out
}

func TestS3Objects(t *testing.T) {
	clock := newClock()
	c := serve(t, simulate.NewS3(simulate.VendorOptions{Secret: "s", Now: clock.Now}))
	call := func(status int, method, path, body string) reply {
		t.Helper()
		return c.do(status, method, path, body, c.signed(method, path, body, "s", clock.Now())...)
	}
	equal(t, "ETag", call(200, "PUT", "/acme/a%20b/c.ndjson?x=1&a=b%20c", "{}\n").header.Get("ETag"), `"8a80554c91d9fca8acb82f023de02f11"`)
	equal(t, "object", call(200, "GET", "/acme/a%20b/c.ndjson", "").body, "{}\n")
	c.do(403, "GET", "/acme/a%20b/c.ndjson", "")
	call(200, "PUT", "/acme/public/x", "1")
	equal(t, "public", c.do(200, "GET", "/acme/public/x", "").body, "1")
	call(204, "DELETE", "/acme/public/x", "")
	call(204, "DELETE", "/acme/public/x", "")
	c.do(404, "GET", "/acme/public/x", "")

	for want, r := range map[string]reply{
		"InvalidBucketName":            call(400, "PUT", "/Acme/x", ""),
		"NoSuchBucket":                 call(404, "PUT", "/no-bucket/x", ""),
		"KeyTooLongError":              call(400, "PUT", "/acme/"+strings.Repeat("k", 1025), ""),
		"MethodNotAllowed":             call(405, "PATCH", "/acme/x", ""),
		"SignatureDoesNotMatch":        c.do(403, "PUT", "/acme/x", "", c.signed("PUT", "/acme/x", "", "other", clock.Now())...),
		"RequestTimeTooSkewed":         c.do(403, "PUT", "/acme/x", "", c.signed("PUT", "/acme/x", "", "s", clock.Now().Add(-16*time.Minute))...),
		"XAmzContentSHA256Mismatch":    c.do(400, "PUT", "/acme/x", "2", c.signed("PUT", "/acme/x", "1", "s", clock.Now())...),
		"AuthorizationHeaderMalformed": c.do(400, "PUT", "/acme/x", "", "Authorization", "Bearer s"),
		"AccessDenied":                 c.do(403, "PUT", "/acme/x", ""),
	} {
		if !strings.Contains(r.body, "<Code>"+want+"</Code>") {
			t.Errorf("want %s: %s", want, r.body)
		}
	}
	// What was signed for another path is not good for this one.
	c.do(403, "PUT", "/acme/y", "1", c.signed("PUT", "/acme/x", "1", "s", clock.Now())...)
}
