package tracking

import (
	"hash/fnv"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// Shards is how many groups of records there are. Each is one slot of a Redis Cluster:
// accepting a request is atomic within one, and load spreads over all. The number is
// part of each tracking ID and can never change.
const Shards = 64

const (
	idPrefix = "trk_"
	// idDigits is the length of a 128-bit number in base 62.
	idDigits = 22
)

// NewID makes a tracking ID: a prefix, two digits of shard and a version 7 UUID in base
// 62, so that the IDs of a shard sort by time and none can be guessed. A request with an
// idempotency key gets the shard of the key, so that both are written in one step.
func NewID(idemHash string) (string, error) {
	shard := rand.IntN(Shards) //nolint:gosec // spreads load; the UUID is what must not be guessed
	if idemHash != "" {
		shard = IdemShard(idemHash)
	}
	return newID(idPrefix, shard)
}

func newID(prefix string, shard int) (string, error) {
	u, err := uuid.NewV7()
	if err != nil {
		return "", err
	}
	digits := []byte(new(big.Int).SetBytes(u[:]).Text(62))
	for i, c := range digits {
		if c > '9' {
			digits[i] = c ^ 0x20 // big.Int counts 0-9a-zA-Z, which does not sort like the number
		}
	}
	var out strings.Builder
	out.WriteString(prefix)
	if shard < 10 {
		out.WriteByte('0')
	}
	out.WriteString(strconv.Itoa(shard))
	out.WriteString(strings.Repeat("0", idDigits-len(digits)))
	out.Write(digits)
	return out.String(), nil
}

// Shard gives the shard of a tracking ID, or of the ID of a batch; ok is false when it is
// not one of ours.
func Shard(id string) (shard int, ok bool) {
	rest, found := strings.CutPrefix(id, idPrefix)
	if !found {
		rest, found = strings.CutPrefix(id, batchPrefix)
	}
	if !found || len(rest) != idDigits+2 {
		return 0, false
	}
	for _, c := range []byte(rest) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return 0, false
		}
	}
	shard, err := strconv.Atoi(rest[:2])
	return shard, err == nil && shard < Shards
}

// IdemShard gives the shard that the row of an idempotency key is kept in.
func IdemShard(idemHash string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(idemHash))
	return int(h.Sum32() % Shards)
}
