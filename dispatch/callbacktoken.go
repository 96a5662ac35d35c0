package dispatch

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"headgate/dispatch/tracking"
)

// The token of a callback is the name of its delivery, sealed. So there is none that would have
// to be written down before the request is sent, and none that can be lost; nobody else can
// make one, and whoever has one learns nothing from it.
//
// The same delivery has the same token each time: an attempt that is made again sends the same
// bytes. What makes that safe is that the nonce is a keyed hash of what is sealed, so that none
// is used for two names.

const (
	callbackSealInfo  = "headgate callback, seal\n"
	callbackNonceInfo = "headgate callback, nonce\n"

	// maxCallbackToken is longer than any token: the longest name of a target has 63 letters.
	maxCallbackToken = 256
)

// callbackSeal seals with one key.
type callbackSeal struct {
	aead  cipher.AEAD
	nonce []byte // the key of nonces
}

// newCallbackSeal derives what it needs (RFC 5869) from a key that is random.
func newCallbackSeal(key []byte) (*callbackSeal, error) {
	seal, err := hkdf.Expand(sha256.New, key, callbackSealInfo, 32)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	nonce, err := hkdf.Expand(sha256.New, key, callbackNonceInfo, 32)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	block, err := aes.NewCipher(seal)
	if err != nil {
		return nil, fmt.Errorf("make a cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make a cipher: %w", err)
	}
	return &callbackSeal{aead: aead, nonce: nonce}, nil
}

// token gives the token of a delivery: letters, digits, - and _.
func (s *callbackSeal) token(ref tracking.Ref) string {
	name := []byte(ref.Tracking + " " + ref.Target)
	hash := hmac.New(sha256.New, s.nonce)
	_, _ = hash.Write(name)
	nonce := hash.Sum(nil)[:s.aead.NonceSize()]
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nonce, nonce, name, nil))
}

// ref is the reverse of token; ok is false for what was not made with this key.
func (s *callbackSeal) ref(token string) (ref tracking.Ref, ok bool) {
	if len(token) > maxCallbackToken || strings.ContainsAny(token, "\r\n") { // which the decoder passes over
		return ref, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < s.aead.NonceSize() {
		return ref, false
	}
	name, err := s.aead.Open(nil, raw[:s.aead.NonceSize()], raw[s.aead.NonceSize():], nil)
	if err != nil {
		return ref, false
	}
	ref.Tracking, ref.Target, ok = strings.Cut(string(name), " ")
	return ref, ok
}
