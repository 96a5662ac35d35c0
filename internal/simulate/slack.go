package simulate

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	slackMaxText  = 40000
	slackMaxBytes = 1 << 20
	slackBurst    = 5 // messages at once in a channel; then one a second
)

// NewSlack makes a simulation of Slack's POST /chat.postMessage. Errors come with 200, but for
// too many messages in a channel: those get 429. A channel exists when its ID begins with C, D or G.
func NewSlack(opts VendorOptions) *Backend {
	v := newVendor("slack", opts, bearer, func(w http.ResponseWriter, status int, message string) {
		word := map[int]string{http.StatusUnauthorized: "invalid_auth", http.StatusBadRequest: "invalid_json"}[status]
		if word == "" {
			word = message
		}
		writeJSON(w, http.StatusOK, map[string]any{"ok": false, "error": word})
	})
	next := map[string]time.Time{} // channel → when its next message would be on time
	count := 0
	v.on("POST /chat.postMessage", slackMaxBytes, func(w http.ResponseWriter, r *http.Request, body []byte) {
		var in map[string]any
		if !v.read(w, body, &in) {
			return
		}
		channel, message, now := textOf(in, "channel"), textOf(in, "text"), v.Now()
		switch {
		case channel == "" || !strings.Contains("CDG", channel[:1]):
			v.refuse(w, http.StatusOK, "channel_not_found")
			return
		case message == "" && in["blocks"] == nil:
			v.refuse(w, http.StatusOK, "no_text")
			return
		case len(message) > slackMaxText:
			v.refuse(w, http.StatusOK, "msg_too_long")
			return
		}
		if len(next) > maxHistory {
			clear(next)
		}
		if next[channel].Before(now) {
			next[channel] = now
		}
		if wait := next[channel].Sub(now) - (slackBurst-1)*time.Second; wait > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
			writeJSON(w, http.StatusTooManyRequests, map[string]any{"ok": false, "error": "ratelimited"})
			return
		}
		next[channel] = next[channel].Add(time.Second)
		count++
		out := map[string]any{"ok": true, "channel": channel, "ts": fmt.Sprintf("%d.%06d", now.Unix(), count), "message": map[string]string{"text": message}}
		if !strings.Contains(r.Header.Get("Content-Type"), "charset") {
			out["warning"] = "missing_charset"
		}
		writeJSON(w, http.StatusOK, out)
	})
	return v.backend()
}
