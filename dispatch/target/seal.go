package target

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"headgate/config/secret"
)

// vault names and seals what workers share of one client with what only they know:
// the client's secret. So no other key is needed, and whoever may read the store but not the
// secret learns nothing. With another secret everything is sealed anew under another name.
type vault struct {
	name string
	key  []byte
}

// Both are derived (RFC 5869) for their purpose only: a name says nothing about the key.
const (
	nameInfo = "headgate access token, name\n"
	sealInfo = "headgate access token, seal\n"
)

func newVault(clientSecret secret.Value, what string) (*vault, error) {
	pseudorandom, err := hkdf.Extract(sha256.New, []byte(clientSecret.Reveal()), nil)
	if err != nil {
		return nil, fmt.Errorf("derive keys: %w", err)
	}
	name, err := hkdf.Expand(sha256.New, pseudorandom, nameInfo+what, 16)
	if err != nil {
		return nil, fmt.Errorf("derive a name: %w", err)
	}
	key, err := hkdf.Expand(sha256.New, pseudorandom, sealInfo+what, 32)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	return &vault{name: hex.EncodeToString(name), key: key}, nil
}

func (v *vault) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(v.key)
	if err != nil {
		return nil, fmt.Errorf("make a cipher: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// seal encrypts a token, bound to its name. No two results are the same.
func (v *vault) seal(token string) ([]byte, error) {
	aead, err := v.aead()
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, []byte(token), []byte(v.name)), nil //nolint:gosec // the nonce is nil here because the cipher draws one for each seal
}

// open is the reverse of seal; ok is false for what was not sealed by this vault.
func (v *vault) open(sealed []byte) (token string, ok bool) {
	if len(sealed) == 0 {
		return "", false
	}
	aead, err := v.aead()
	if err != nil {
		return "", false
	}
	plain, err := aead.Open(nil, nil, sealed, []byte(v.name))
	return string(plain), err == nil
}
