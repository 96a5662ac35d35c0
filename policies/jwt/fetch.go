package jwt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
)

// Bounds of what an issuer may answer.
const (
	maxKeySetBytes = 1 << 20
	maxKeys        = 100
)

// fetch gets a key set.
func fetch(ctx context.Context, client *http.Client, url string) (*keySet, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch the key set: %w", err)
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch the key set: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch the key set %s: status %d", url, resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySetBytes+1))
	if err != nil {
		return nil, fmt.Errorf("fetch the key set %s: %w", url, err)
	}
	if len(text) > maxKeySetBytes {
		return nil, fmt.Errorf("fetch the key set %s: more than %d bytes", url, maxKeySetBytes)
	}
	set, err := parseKeySet(ctx, text)
	if err != nil {
		return nil, fmt.Errorf("read the key set %s: %w", url, err)
	}
	return set, nil
}

// parseKeySet takes the usable keys of a JWK set (RFC 7517). A key that is not usable
// is left out and does not spoil the others; a set without any is an error.
func parseKeySet(ctx context.Context, text []byte) (*keySet, error) {
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, err
	}
	if len(raw.Keys) > maxKeys {
		return nil, fmt.Errorf("%d keys, more than %d", len(raw.Keys), maxKeys)
	}
	storage := jwkset.NewMemoryStorage()
	out := &keySet{kids: map[string]string{}, digest: digest(text)}
	var left []string
	for i, one := range raw.Keys {
		key, err := parseKey(one)
		if err == nil {
			if _, dup := out.kids[key.Marshal().KID]; dup {
				err = errors.New("its kid is there twice")
			}
		}
		if err == nil {
			err = storage.KeyWrite(ctx, key)
		}
		if err != nil {
			left = append(left, fmt.Sprintf("key %d: %s", i, err))
			continue
		}
		out.kids[key.Marshal().KID] = key.Marshal().ALG.String()
	}
	if len(out.kids) == 0 {
		return nil, fmt.Errorf("no usable key (%.300s)", strings.Join(left, "; "))
	}
	lookup, err := keyfunc.New(keyfunc.Options{Ctx: ctx, Storage: storage})
	if err != nil {
		return nil, err
	}
	out.lookup = lookup
	return out, nil
}

func parseKey(raw json.RawMessage) (jwkset.JWK, error) {
	var m jwkset.JWKMarshal
	if err := json.Unmarshal(raw, &m); err != nil {
		return jwkset.JWK{}, err
	}
	switch {
	case m.KTY == jwkset.KtyOct:
		return jwkset.JWK{}, errors.New("a shared secret is not published")
	case m.USE != "" && m.USE != jwkset.UseSig:
		return jwkset.JWK{}, errors.New("it is not for signatures")
	case len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify):
		return jwkset.JWK{}, errors.New("it is not for verifying")
	}
	// A key is what the set says, not what a certificate or a URL in it says.
	m.X5U, m.X5C, m.X5T, m.X5TS256 = "", nil, "", ""
	key, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return jwkset.JWK{}, err
	}
	return key, usable(key.Key())
}
