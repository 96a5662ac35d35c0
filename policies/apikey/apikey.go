// Package apikey owns the authenticator for API keys: of a key the file holds only its
// SHA-256. It knows no routes and no other kind of credentials.
package apikey

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"

	"headgate/policies"
)

// maxKey bounds what is hashed for a caller who is not known yet.
const maxKey = 4096

// Register adds the authenticator to the registry, as `api_key`.
func Register(r *policies.Registry) {
	r.Authenticator("api_key", &Config{}, func(b policies.Build) policies.Authenticator {
		if a := New(b); a != nil {
			return a
		}
		return nil
	})
}

// Authenticator accepts the keys of its configuration.
type Authenticator struct {
	name   string
	header string
	keys   []key
}

type key struct {
	sum       [sha256.Size]byte
	principal policies.Principal
}

// Authenticate implements policies.Authenticator.
func (a *Authenticator) Authenticate(_ context.Context, r *policies.Request) (policies.Principal, policies.AuthResult) {
	values := r.Header[a.header]
	switch {
	case len(values) == 0:
		return policies.Principal{}, policies.AuthResult{Outcome: policies.Absent, Log: "no " + a.header + " header"}
	case len(values) > 1:
		return reject(fmt.Sprintf("%d headers %s, one is expected", len(values), a.header))
	case values[0] == "":
		return reject("the header " + a.header + " is empty")
	case len(values[0]) > maxKey:
		return reject(fmt.Sprintf("the key is %d bytes long, more than %d", len(values[0]), maxKey))
	}
	presented := sha256.Sum256([]byte(values[0]))
	// Every key is looked at, and each in constant time: how long it takes tells
	// nothing about which keys there are.
	found := -1
	for i := range a.keys {
		match := subtle.ConstantTimeCompare(presented[:], a.keys[i].sum[:])
		found = subtle.ConstantTimeSelect(match, i, found)
	}
	if found < 0 {
		return reject("the key is not known")
	}
	return a.keys[found].principal, policies.AuthResult{Outcome: policies.Accepted}
}

// CredentialHeader implements policies.CredentialHeader.
func (a *Authenticator) CredentialHeader() string { return a.header }

// Challenge implements policies.Authenticator.
func (a *Authenticator) Challenge() string {
	return policies.Challenge("ApiKey", a.name)
}

// Health implements policies.Authenticator: keys can always be checked.
func (*Authenticator) Health() error { return nil }

// Close implements policies.Authenticator.
func (*Authenticator) Close() {}

func reject(log string) (policies.Principal, policies.AuthResult) {
	return policies.Principal{}, policies.AuthResult{Outcome: policies.Rejected, Log: log, Detail: "the API key is not accepted"}
}
