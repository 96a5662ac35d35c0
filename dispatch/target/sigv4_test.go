package target

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sort"
	"strings"
	"testing"
	"time"

	"headgate/config/secret"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

const (
	exampleKey    = "AKIAIOSFODNN7EXAMPLE"
	exampleSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

func sigv4Target(t testing.TB, to, service, more string) *Plan {
	t.Helper()
	t.Setenv("CRM_ID", exampleKey)
	t.Setenv("CRM_KEY", exampleSecret)
	return mustCompile(t, "", "url: "+to+"\nauth: {aws_sigv4: {access_key: {env: CRM_ID}, secret_key: {env: CRM_KEY}, region: us-east-1, service: "+service+more+"}}\n")
}

// The examples of the Amazon S3 API Reference, "Signature Calculations for the Authorization Header".
func TestSigV4OfTheDocumentation(t *testing.T) {
	auth := sigv4Target(t, "http://h\npost: /x", "s3", "").steps[0].auth
	for name, tc := range map[string]struct {
		url, signed, signature string
		header                 http.Header
	}{
		"GET object": {"https://examplebucket.s3.amazonaws.com/test.txt", "host;range;x-amz-content-sha256;x-amz-date",
			"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41", http.Header{"Range": {"bytes=0-9"}}},
		"GET bucket lifecycle": {"https://examplebucket.s3.amazonaws.com?lifecycle", "host;x-amz-content-sha256;x-amz-date",
			"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543", http.Header{}},
		"GET bucket": {"https://examplebucket.s3.amazonaws.com?max-keys=2&prefix=J", "host;x-amz-content-sha256;x-amz-date",
			"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7", http.Header{}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &request{method: http.MethodGet, to: place{url: tc.url}, header: tc.header, at: time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)}
			if f := auth.apply(r, secret.Ref.Read); f != nil {
				t.Fatal(f)
			}
			want := "AWS4-HMAC-SHA256 Credential=" + exampleKey + "/20130524/us-east-1/s3/aws4_request, SignedHeaders=" + tc.signed + ", Signature=" + tc.signature
			if got := r.header.Get("Authorization"); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// verify computes the signature of a call as a server got it: once more, and from the
// description of the signature.
func verify(r *http.Request, escape func(string) string) bool {
	body, _ := io.ReadAll(r.Body)
	sum := sha256.Sum256(body)
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Credential="+exampleKey+"/")
	scope, rest, _ := strings.Cut(rest, ", SignedHeaders=")
	signed, signature, _ := strings.Cut(rest, ", Signature=")
	pairs := strings.Split(r.URL.RawQuery, "&")
	sort.Strings(pairs)
	lines := []string{r.Method, escape(r.URL.EscapedPath()), strings.Join(pairs, "&")}
	for name := range strings.SplitSeq(signed, ";") {
		value := r.Header.Get(name)
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = r.Header.Get("Content-Length")
		}
		lines = append(lines, name+":"+value)
	}
	lines = append(lines, "", signed, hex.EncodeToString(sum[:]))
	canonical := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	key := []byte("AWS4" + exampleSecret)
	sign := func(text string) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		key = mac.Sum(nil)
	}
	for part := range strings.SplitSeq(scope, "/") {
		sign(part)
	}
	sign("AWS4-HMAC-SHA256\n" + r.Header.Get("X-Amz-Date") + "\n" + scope + "\n" + hex.EncodeToString(canonical[:]))
	return hex.EncodeToString(key) == signature && strings.Contains(signed, "x-amz-content-sha256")
}

// What is sent is what was signed, at the store's time, whatever the path and the query hold.
func TestSigV4AsItIsReceived(t *testing.T) {
	t.Setenv("CRM_SESSION", "planted session")
	twice := func(path string) string { return (&url.URL{Path: path}).EscapedPath() }
	for name, tc := range map[string]struct {
		call, service, more string
		escape              func(string) string
	}{
		"S3, PUT":       {`put: "/b/${{ .payload.email }}/é ü+x?z=1&a=b%20c"`, "s3", "", func(p string) string { return p }},
		"another, POST": {`post: "/b/${{ .payload.email }}/a%20b?z=%2B&a="`, "execute-api", "", twice},
		"session, GET":  {"get: /", "sqs", ", session_token: {env: CRM_SESSION}", twice},
		"own header":    {"post: /\nheaders: {X-Amz-Acl: \"a  b\"}", "s3", "", func(p string) string { return p }},
	} {
		t.Run(name, func(t *testing.T) {
			var good bool
			var header http.Header
			b := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				header = r.Header.Clone()
				if r.ContentLength > 0 {
					r.Header.Set("Content-Length", header.Get("Content-Length"))
				}
				r.Header.Set("X-Amz-Acl", strings.ReplaceAll(r.Header.Get("X-Amz-Acl"), "  ", " "))
				good = verify(r, tc.escape)
			}))
			defer b.Close()
			p := sigv4Target(t, b.URL+"\n"+tc.call, tc.service, tc.more)
			eventOf[tracking.Concluded](t, newEngine(t).Run(t.Context(), p, input()))
			if !good || header.Get("X-Amz-Date") != "20260301T120000Z" {
				t.Errorf("good %v: %v", good, header)
			}
			if want := tc.more != ""; (header.Get("X-Amz-Security-Token") == "planted session") != want {
				t.Errorf("session token %q", header.Get("X-Amz-Security-Token"))
			}
		})
	}
}

func TestSigV4Problems(t *testing.T) {
	const secrets = "access_key: {env: CRM_ID}, secret_key: {env: CRM_KEY}"
	for name, tc := range map[string]struct{ auth, at, message string }{
		"no region":   {secrets + ", service: s3", "auth.aws_sigv4)", `"region" is missing`},
		"region":      {secrets + ", service: s3, region: a/b", "auth.aws_sigv4.region)", `region cannot be "a/b"`},
		"service":     {secrets + `, service: "", region: a`, "auth.aws_sigv4.service)", `service cannot be ""`},
		"no key":      {"access_key: {env: CRM_ID}, service: s3, region: a", "auth.aws_sigv4)", `"secret_key" is missing`},
		"in clear":    {"access_key: {env: CRM_ID}, secret_key: planted, service: s3, region: a", "auth.aws_sigv4.secret_key)", "in clear"},
		"not ours":    {"access_key: {env: CRM_ID}, secret_key: {env: PATH}, service: s3, region: a", "auth.aws_sigv4.secret_key)", "may not read"},
		"session, no": {secrets + ", session_token: {env: PATH}, service: s3, region: a", "auth.aws_sigv4.session_token)", "may not read"},
	} {
		t.Run(name, func(t *testing.T) {
			_, report := compileText(t, "", "url: http://h\npost: /x\nauth: {aws_sigv4: {"+tc.auth+"}}")
			err := report.Err()
			if err == nil || len(report.Problems()) != 1 || !strings.Contains(err.Error(), tc.at) || !strings.Contains(err.Error(), tc.message) || strings.Contains(err.Error(), "planted") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestSigV4Secrets(t *testing.T) {
	p := sigv4Target(t, "http://h\npost: /x", "s3", "")
	v, err := p.Preview(input())
	if err != nil || v[0].Header["Authorization"] != "AWS4-HMAC-SHA256 ***" {
		t.Errorf("shown as %v (%v)", v, err)
	}
	t.Setenv("CRM_ID", "planted\nkey")
	got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, input()))
	if got.Fault.Reason != fault.Auth || !got.Fault.Retry || !strings.Contains(got.Fault.Message, "{env: CRM_ID}") || strings.Contains(got.Fault.Error(), "planted") {
		t.Errorf("%+v", got.Fault)
	}
}
