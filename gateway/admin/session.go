package admin

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"headgate/config/secret"
)

const (
	cookieName = "headgate_admin"
	sessionFor = 12 * time.Hour
)

// session knows who has shown the token. It keeps nothing: a browser's cookie is the
// time it ends and a MAC under a key derived from the token, so that it holds on every
// replica, dies with the token, and does not give the token away.
type session struct {
	keys *atomic.Pointer[keys] // replaced with the token
	now  func() time.Time
}

// keys are what a token comes to.
type keys struct {
	token [sha256.Size]byte // compared as digests, so that not even the length shows
	mac   []byte            // nil without a token: nothing is allowed then
}

func newSession(token secret.Value) session {
	s := session{keys: new(atomic.Pointer[keys]), now: time.Now}
	s.set(token)
	return s
}

// set replaces the token; the sessions of another one have ended.
func (s session) set(token secret.Value) {
	k := &keys{token: sha256.Sum256([]byte(token.Reveal()))}
	if token.Reveal() != "" {
		k.mac = sign([]byte(token.Reveal()), "headgate admin session")
	}
	s.keys.Store(k)
}

func sign(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// knows reports whether text is the token, in constant time.
func (s session) knows(text string) bool {
	given, k := sha256.Sum256([]byte(text)), s.keys.Load()
	return hmac.Equal(given[:], k.token[:]) && k.mac != nil
}

// credential is what a request has shown. A browser sends a cookie by itself, whatever page
// makes it ask; nobody else's page can make it send the token.
type credential int

const (
	byNothing credential = iota
	byToken
	byCookie
)

// shown tells what the request carries: the token, or a session's cookie.
func (s *Server) shown(r *http.Request) credential {
	if scheme, text, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		if s.proven(r, strings.TrimSpace(text)) {
			return byToken
		}
		return byNothing
	}
	if c, err := r.Cookie(cookieName); err == nil && s.session.valid(c.Value) {
		return byCookie
	}
	return byNothing
}

// cookie makes the value that valid accepts until the session ends.
func (s session) cookie() (value string, ends time.Time) {
	ends = s.now().Add(sessionFor)
	text := strconv.FormatInt(ends.Unix(), 10)
	return text + "." + hex.EncodeToString(sign(s.keys.Load().mac, text)), ends
}

func (s session) valid(value string) bool {
	text, mac, ok := strings.Cut(value, ".")
	given, err := hex.DecodeString(mac)
	key := s.keys.Load().mac
	if !ok || err != nil || key == nil || !hmac.Equal(given, sign(key, text)) {
		return false
	}
	ends, err := strconv.ParseInt(text, 10, 64)
	return err == nil && s.now().Unix() < ends
}
