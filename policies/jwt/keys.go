package jwt

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"headgate/config/secret"
	"headgate/config/yamlsrc"
)

// family is the kind of key that an algorithm needs.
type family string

const (
	familyHMAC  family = "a shared secret"
	familyRSA   family = "an RSA key"
	familyEC    family = "an ECDSA key"
	familyEd    family = "an Ed25519 key"
	minRSABits         = 2048 // RFC 7518, section 3.3
	minHMACHash        = 32
)

// families are the algorithms there are. `none` is not among them.
var families = map[string]family{
	"HS256": familyHMAC, "HS384": familyHMAC, "HS512": familyHMAC,
	"RS256": familyRSA, "RS384": familyRSA, "RS512": familyRSA,
	"PS256": familyRSA, "PS384": familyRSA, "PS512": familyRSA,
	"ES256": familyEC, "ES384": familyEC, "ES512": familyEC,
	"EdDSA": familyEd,
}

// curves are those that RFC 7518, section 3.4 binds to the algorithms.
var curves = map[string]string{"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}

func algorithmNames() []string {
	out := make([]string, 0, len(families))
	for name := range families {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// fits reports whether a public key can be used with the algorithm.
func fits(key crypto.PublicKey, algorithm string) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return families[algorithm] == familyRSA
	case *ecdsa.PublicKey:
		return curves[algorithm] == k.Curve.Params().Name
	case ed25519.PublicKey:
		return families[algorithm] == familyEd
	}
	return false
}

// keySet is what tokens are verified with. It is immutable: another set of keys is
// another keySet, so that what was verified with one can be told from what was not.
type keySet struct {
	single any               // the only key, whatever the kid; nil when there are several
	lookup keyfunc.Keyfunc   // by kid
	kids   map[string]string // kid → alg of the key, empty for any
	digest [32]byte          // of what it was made from
}

// unknownKIDError says that a key set has no such key. The kid is the caller's text.
type unknownKIDError struct{ kid string }

func (e *unknownKIDError) Error() string { return fmt.Sprintf("unknown kid %.100q", e.kid) }

// find gives the key for a token: by kid only, and nothing else of the header.
func (s *keySet) find(ctx context.Context, token *jwt.Token) (any, error) {
	if s.single != nil {
		return s.single, nil
	}
	raw, present := token.Header["kid"]
	if !present {
		return s.lookup.VerificationKeySet(ctx)
	}
	kid, ok := raw.(string)
	if !ok {
		return nil, errors.New("the kid is not a string")
	}
	algorithm, known := s.kids[kid]
	if !known {
		return nil, &unknownKIDError{kid}
	}
	if algorithm != "" && algorithm != token.Method.Alg() {
		return nil, fmt.Errorf("the key %.100q is for %s only, the token uses %s", kid, algorithm, token.Method.Alg())
	}
	return s.lookup.KeyfuncCtx(ctx)(token)
}

// source is where keys come from.
type source interface {
	// current gives the keys, or why there are none.
	current(ctx context.Context) (*keySet, error)
	// newer gives keys that are newer than old when there are any, after a short wait
	// at most; old otherwise.
	newer(ctx context.Context, old *keySet) *keySet
	// health is nil when there are keys.
	health() error
	close()
}

// reread is how long a key from a file or the environment is used unseen.
const reread = 10 * time.Second

// static is one key that is read on first use and looked at again now and then, so
// that a rotated file takes effect without a reload.
type static struct {
	load  func() (*keySet, error)
	every time.Duration

	mu   sync.Mutex
	set  *keySet
	err  error
	read time.Time
}

func newStatic(load func() (*keySet, error)) *static { return &static{load: load, every: reread} }

func (s *static) current(context.Context) (*keySet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.read.IsZero() || now.Sub(s.read) >= s.every {
		s.read = now
		set, err := s.load()
		s.err = err
		// The old key stays while the new one cannot be read, and what was verified with
		// it stays verified while it is the same.
		if err == nil && (s.set == nil || s.set.digest != set.digest) {
			s.set = set
		}
	}
	if s.set == nil {
		return nil, fmt.Errorf("no key yet: %w", s.err)
	}
	return s.set, nil
}

func (*static) newer(_ context.Context, old *keySet) *keySet { return old }

func (s *static) health() error {
	_, err := s.current(context.Background())
	return err
}

func (*static) close() {}

// secretLoader reads a shared secret.
func secretLoader(ref secret.Ref, algorithms []string) func() (*keySet, error) {
	return func() (*keySet, error) {
		value, err := ref.Read()
		if err != nil {
			return nil, err
		}
		key := []byte(value.Reveal())
		// RFC 7518, section 3.2: a key of the size of the hash, or larger.
		needed := minHMACHash
		for _, algorithm := range algorithms {
			switch algorithm {
			case "HS384":
				needed = max(needed, 48)
			case "HS512":
				needed = max(needed, 64)
			}
		}
		if len(key) < needed {
			return nil, fmt.Errorf("the secret %s has %d bytes, %s needs %d", ref, len(key), strings.Join(algorithms, ", "), needed)
		}
		return &keySet{single: key, digest: digest(key)}, nil
	}
}

// pemLoader reads a public key from a PEM file.
func pemLoader(path string) func() (*keySet, error) {
	return func() (*keySet, error) {
		text, err := yamlsrc.ReadRegular(path)
		if err != nil {
			return nil, fmt.Errorf("read the public key: %w", err)
		}
		key, err := parsePEM(text)
		if err != nil {
			return nil, fmt.Errorf("read the public key %s: %w", path, err)
		}
		return &keySet{single: key, digest: digest(text)}, nil
	}
}

func parsePEM(text []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("it is not a PEM file")
	}
	var key any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = certificate.PublicKey
		}
	default:
		return nil, fmt.Errorf("it holds a %s, a PUBLIC KEY is expected", block.Type)
	}
	if err != nil {
		return nil, err
	}
	return key, usable(key)
}

// usable reports why a public key must not be used.
func usable(key any) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSABits {
			return fmt.Errorf("an RSA key of %d bits is too short, %d are needed", bits, minRSABits)
		}
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return errors.New("it is neither an RSA nor an ECDSA nor an Ed25519 key")
	}
	return nil
}
