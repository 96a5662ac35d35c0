package admin

import (
	"hash/maphash"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

const (
	// maxGuesses is how many different wrong tokens an address may show in guessSpan. One that
	// is shown again and again is no guess: whoever has a former token, such as a scraper
	// after a rotation, keeps nobody out who shares its address.
	maxGuesses = 10
	guessSpan  = time.Minute
	// maxGuessers bounds the memory: an address costs about half a kilobyte.
	maxGuessers = 10_000
)

// guesses keeps out, for the rest of its minute, an address that has shown too many wrong
// tokens. It is of one process: another one bounds them likewise.
type guesses struct {
	now  func() time.Time
	seed maphash.Seed

	mu sync.Mutex
	by map[netip.Prefix]*guesser
}

type guesser struct {
	ends  time.Time
	wrong map[uint64]bool // what was shown, as hashes
}

func newGuesses(now func() time.Time) *guesses {
	return &guesses{now: now, seed: maphash.MakeSeed(), by: map[netip.Prefix]*guesser{}}
}

// counts reports whether a token that was shown from an address is listened to, be it right
// or not, and notes one that is wrong. begins is true once, when an address is kept out.
func (g *guesses) counts(from netip.Prefix, text string, right bool) (listen, begins bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	by := g.by[from]
	if by != nil && !now.Before(by.ends) {
		delete(g.by, from)
		by = nil
	}
	switch {
	case by != nil && len(by.wrong) >= maxGuesses:
		return false, false
	case right:
		return true, false
	case by == nil:
		g.makeRoom(now)
		by = &guesser{ends: now.Add(guessSpan), wrong: map[uint64]bool{}}
		g.by[from] = by
	}
	by.wrong[maphash.String(g.seed, text)] = true
	return true, len(by.wrong) == maxGuesses
}

// makeRoom forgets those whose time is over and, where there are still too many, any.
func (g *guesses) makeRoom(now time.Time) {
	if len(g.by) < maxGuessers {
		return
	}
	for from, by := range g.by {
		if !now.Before(by.ends) {
			delete(g.by, from)
		}
	}
	for from := range g.by {
		if len(g.by) < maxGuessers {
			return
		}
		delete(g.by, from)
	}
}

// keptOut is how long an address is not listened to; zero when it is.
func (g *guesses) keptOut(from netip.Prefix) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if by := g.by[from]; by != nil && len(by.wrong) >= maxGuesses {
		return max(by.ends.Sub(g.now()), 0)
	}
	return 0
}

// network is what a request came from as far as one subscriber holds it: all of an IPv4
// address, the /64 of an IPv6 one.
func network(r *http.Request) netip.Prefix {
	address, _ := netip.ParseAddr(peer(r)) // what is none, as of a Unix socket, is counted together
	address = address.Unmap().WithZone("")
	bits := address.BitLen()
	if address.Is6() {
		bits = 64
	}
	prefix, _ := address.Prefix(bits)
	return prefix
}

// proven reports whether text is the token, and asks no further once too many others came
// from where the request comes from.
func (s *Server) proven(r *http.Request, text string) bool {
	right := s.session.knows(text)
	listen, begins := s.guesses.counts(network(r), text, right)
	if begins {
		s.o.Log.WarnContext(r.Context(), "admin token guessed too often; the address is kept out for the rest of a minute", "peer", peer(r))
	}
	return right && listen
}

// tooOften tells who is kept out in how many seconds to come back; for anybody else it does nothing
// and gives 0.
func (s *Server) tooOften(w http.ResponseWriter, r *http.Request) int {
	left := s.guesses.keptOut(network(r))
	if left == 0 {
		return 0
	}
	seconds := int((left + time.Second - 1) / time.Second)
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	return seconds
}
