package tracking

import (
	"crypto/rand"
	"strings"
)

// ownerDigits and runDigits are lengths in base 32: 40 and 50 random bits.
const (
	ownerDigits = 8
	runDigits   = 10
)

// NewOwner names a worker process for as long as it lives.
func NewOwner() string { return rand.Text()[:ownerDigits] }

// NewToken names one run of the process owner.
func NewToken(owner string) string { return owner + "." + rand.Text()[:runDigits] }

// OwnerOf gives the process whose run a token names; empty when it names none.
func OwnerOf(token string) string {
	owner, _, ok := strings.Cut(token, ".")
	if !ok {
		return ""
	}
	return owner
}
