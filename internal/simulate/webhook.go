package simulate

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	webhookMaxBytes  = 1 << 20
	webhookTolerance = 5 * time.Minute
)

// NewWebhook makes a receiver of Standard Webhooks: POST to its root. It refuses a signature
// that is not its secret's (with no secret set, any is taken) and a time that is more than
// five minutes off, and answers a repeated webhook-id like the first time.
func NewWebhook(opts VendorOptions) *Backend {
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(opts.Secret, "whsec_"))
	opts.Secret = "" // it is not shown, but signed with
	v := newVendor("webhook", opts, headerOf("Webhook-Signature"), func(w http.ResponseWriter, status int, message string) {
		writeJSON(w, status, map[string]string{"message": message})
	})
	seen := newHistory[bool]()
	v.on("POST /{$}", webhookMaxBytes, func(w http.ResponseWriter, r *http.Request, body []byte) {
		id, at := r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp")
		seconds, err := strconv.ParseInt(at, 10, 64)
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + at + "."))
		mac.Write(body)
		want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		switch {
		case id == "" || err != nil:
			v.refuse(w, http.StatusBadRequest, "webhook-id or webhook-timestamp is missing")
		case v.Now().Sub(time.Unix(seconds, 0)).Abs() > webhookTolerance:
			v.refuse(w, http.StatusBadRequest, "webhook-timestamp is too far off")
		case len(key) > 0 && !slices.Contains(strings.Fields(r.Header.Get("Webhook-Signature")), want):
			v.refuse(w, http.StatusUnauthorized, "the signature is not right")
		default:
			_, again := seen.get(id)
			if !again {
				seen.add(id, true)
			}
			writeJSON(w, http.StatusOK, map[string]bool{"repeated": again})
		}
	})
	return v.backend()
}
