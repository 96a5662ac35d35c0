package target

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"headgate/config/secret"
)

// vault names and seals what workers share of one client with what only they know: the
// client's secrets. So no other key is needed, and whoever may read the store but not the
// secrets learns nothing. With another secret everything is sealed anew under another name.
type vault struct {
	name    string // of the access token
	refresh string // of the refresh token
	key     []byte
}

// Each is derived (RFC 5869) for its purpose only: a name says nothing about the key.
const (
	nameInfo    = "headgate access token 2, name\n"
	refreshInfo = "headgate refresh token, name\n"
	sealInfo    = "headgate token, seal\n"
)

func newVault(secrets []secret.Value, what string) (*vault, error) {
	var material strings.Builder
	for _, s := range secrets {
		text := s.Reveal()
		fmt.Fprintf(&material, "%d:%s", len(text), text)
	}
	pseudorandom, err := hkdf.Extract(sha256.New, []byte(material.String()), nil)
	if err != nil {
		return nil, fmt.Errorf("derive keys: %w", err)
	}
	var derived [3][]byte
	for i, d := range []struct {
		info string
		size int
	}{{nameInfo, 16}, {refreshInfo, 16}, {sealInfo, 32}} {
		if derived[i], err = hkdf.Expand(sha256.New, pseudorandom, d.info+what, d.size); err != nil {
			return nil, fmt.Errorf("derive a name or a key: %w", err)
		}
	}
	return &vault{name: hex.EncodeToString(derived[0]), refresh: hex.EncodeToString(derived[1]), key: derived[2]}, nil
}

func (v *vault) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(v.key)
	if err != nil {
		return nil, fmt.Errorf("make a cipher: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// seal encrypts what is kept under a name, and binds it to that. No two results are the same.
func (v *vault) seal(name string, plain []byte) ([]byte, error) {
	aead, err := v.aead()
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, plain, []byte(name)), nil //nolint:gosec // the nonce is nil here because the cipher draws one for each seal
}

// open is the reverse of seal; ok is false for what was not sealed by this vault.
func (v *vault) open(name string, sealed []byte) (plain []byte, ok bool) {
	if len(sealed) == 0 {
		return nil, false
	}
	aead, err := v.aead()
	if err != nil {
		return nil, false
	}
	plain, err = aead.Open(nil, nil, sealed, []byte(name))
	return plain, err == nil
}
