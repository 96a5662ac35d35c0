package tracking

import (
	"encoding/binary"
	"hash/fnv"
	"math/bits"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

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
	out := make([]byte, 0, len(prefix)+2+idDigits)
	out = append(out, prefix...)
	out = append(out, byte('0'+shard/10), byte('0'+shard%10))
	return string(appendBase62(out, u)), nil
}

// base62 sorts like the numbers that it writes.
const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// appendBase62 writes a 128-bit number in idDigits digits.
func appendBase62(dst []byte, n [16]byte) []byte {
	high, low := binary.BigEndian.Uint64(n[:8]), binary.BigEndian.Uint64(n[8:])
	dst = append(dst, make([]byte, idDigits)...)
	for i := range idDigits {
		var digit uint64
		high, digit = bits.Div64(0, high, 62)
		low, digit = bits.Div64(digit, low, 62)
		dst[len(dst)-1-i] = base62[digit]
	}
	return dst
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

// MadeAt gives when a tracking ID was made, by the clock of the process that made it; zero for what
// is none.
func MadeAt(id string) time.Time {
	if _, ok := Shard(id); !ok {
		return time.Time{}
	}
	var high, low uint64
	for _, c := range []byte(id[len(id)-idDigits:]) {
		over, rest := bits.Mul64(low, 62)
		sum, carry := bits.Add64(rest, uint64(strings.IndexByte(base62, c)), 0)
		high, low = high*62+over+carry, sum
	}
	return time.UnixMilli(int64(high >> 16)) // a version 7 UUID begins with 48 bits of it
}

// IdemShard gives the shard that the row of an idempotency key is kept in.
func IdemShard(idemHash string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(idemHash))
	return int(h.Sum32() % Shards)
}
