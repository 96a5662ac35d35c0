package simulate

import (
	"crypto/md5" //nolint:gosec // the ETag of S3 is one
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

const s3MaxKey = 1024 // bytes

// s3PublicPrefix is what the names begin with of objects that anybody may read, as the policy
// of a bucket can have it.
const s3PublicPrefix = "public/"

// s3BucketName is what buckets may be called. One that begins with "no-" is not there.
var s3BucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// s3 simulates buckets.
type s3 struct {
	*vendor
	objects *history[s3Object] // "bucket key"
}

type s3Object struct {
	body []byte
	kind string
}

// NewS3 makes a simulation of PUT, GET and DELETE of objects as S3 has them, addressed by path.
// Signatures are checked with opts.Secret as the secret access key of any access key ID; without
// one, their form is.
func NewS3(opts VendorOptions) *Backend {
	s := &s3{objects: newHistory[s3Object]()}
	s.vendor = newVendor("s3", opts, nil, func(w http.ResponseWriter, status int, message string) {
		writeS3Error(w, status, "EntityTooLarge", message)
	})
	s.mux.HandleFunc("/{bucket}/{key...}", s.serve)
	return s.backend()
}

func writeS3Error(w http.ResponseWriter, status int, code, message string) {
	var text strings.Builder
	_ = xml.EscapeText(&text, []byte(message)) // a builder takes everything
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "%s<Error><Code>%s</Code><Message>%s</Message><RequestId>simulated</RequestId></Error>", xml.Header, code, text.String())
}

func (s *s3) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		writeS3Error(w, http.StatusBadRequest, "IncompleteBody", err.Error())
		return
	}
	bucket, key := r.PathValue("bucket"), r.PathValue("key")
	anybody := r.Method == http.MethodGet && strings.HasPrefix(key, s3PublicPrefix) && r.Header.Get("Authorization") == ""
	if status, code, message := s.unsigned(r, body); code != "" && !anybody {
		writeS3Error(w, status, code, message)
		return
	}
	switch {
	case !s3BucketName.MatchString(bucket):
		writeS3Error(w, http.StatusBadRequest, "InvalidBucketName", "The specified bucket is not valid.")
		return
	case strings.HasPrefix(bucket, "no-"):
		writeS3Error(w, http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist")
		return
	case key == "" || len(key) > s3MaxKey:
		writeS3Error(w, http.StatusBadRequest, "KeyTooLongError", "Your key is too long")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.object(w, r, bucket+" "+key, body)
}

// object answers a call that may be made.
func (s *s3) object(w http.ResponseWriter, r *http.Request, name string, body []byte) {
	switch r.Method {
	case http.MethodPut:
		sum := md5.Sum(body) //nolint:gosec // see above
		s.objects.add(name, s3Object{body, r.Header.Get("Content-Type")})
		w.Header().Set("ETag", strconv.Quote(hex.EncodeToString(sum[:])))
	case http.MethodGet:
		o, ok := s.objects.get(name)
		if !ok {
			writeS3Error(w, http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
			return
		}
		w.Header().Set("Content-Type", o.kind)
		_, _ = w.Write(o.body)
	case http.MethodDelete: // what is not there is no error
		s.objects.remove(name)
		w.WriteHeader(http.StatusNoContent)
	default:
		writeS3Error(w, http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.")
	}
}

// unsigned says why a call does not count as signed; code is empty when it does.
func (s *s3) unsigned(r *http.Request, body []byte) (status int, code, message string) {
	sum := sha256.Sum256(body)
	signed, err := readSignature(r)
	switch {
	case r.Header.Get("Authorization") == "":
		return http.StatusForbidden, "AccessDenied", "Access Denied"
	case err != nil:
		return http.StatusBadRequest, "AuthorizationHeaderMalformed", err.Error()
	case signed.skew(s.Now()) > signatureSkew:
		return http.StatusForbidden, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."
	case r.Header.Get("X-Amz-Content-Sha256") != hex.EncodeToString(sum[:]):
		return http.StatusBadRequest, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed."
	case s.Secret != "" && signed.signature != signed.compute(r, s.Secret):
		return http.StatusForbidden, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided."
	}
	return 0, "", ""
}
