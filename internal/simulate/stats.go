package simulate

import (
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// maxKeys bounds how many idempotency keys are told apart; a soak test stays far below.
	maxKeys = 4 << 20
	// maxPatterns bounds the table by method and path pattern, whatever paths clients invent.
	maxPatterns = 500
)

// Stats is what a backend counted since it was made or reset.
type Stats struct {
	// Requests counts every request but those to control paths.
	Requests int `json:"requests"`
	// ByPath counts by method and path, with segments that look like IDs shown as {id}.
	ByPath map[string]int `json:"by_path"`
	// ByStatus counts answers; 0 stands for requests that got none.
	ByStatus map[int]int `json:"by_status"`
	// UniqueKeys is the number of different Idempotency-Key values.
	UniqueKeys int `json:"unique_keys"`
	// Repeats counts requests whose key had been seen before on the same method and path.
	Repeats int `json:"repeats"`
	// Duplicates counts those repeats whose key had already been answered 2xx: work asked for twice.
	Duplicates int `json:"duplicates"`
	// UntrackedKeys counts requests whose key was not looked at, because too many are known.
	UntrackedKeys int `json:"untracked_keys,omitempty"`
	// InFlight is the number of requests being answered now; MaxInFlight the most at one time.
	InFlight    int        `json:"in_flight"`
	MaxInFlight int        `json:"max_in_flight"`
	First       *time.Time `json:"first,omitempty"`
	Last        *time.Time `json:"last,omitempty"`
	// Keys counts requests per Idempotency-Key.
	Keys map[string]int `json:"keys,omitempty"`
}

// keyUse is what is known of one key on one method and path.
type keyUse struct {
	count    int
	answered bool // a 2xx has gone out
}

// visit ties a request's end to its beginning, also across a reset in between.
type visit struct {
	generation int
	use        *keyUse
	record     *Request
}

// stats counts and records the requests of one backend.
type stats struct {
	mu         sync.Mutex
	generation int
	now        Stats
	keys       map[string]int
	uses       map[string]*keyUse
	log        recorder
}

func newStats() *stats {
	s := &stats{log: recorder{size: defaultKeep}}
	s.reset()
	return s
}

// reset forgets everything but what is in flight.
func (s *stats) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
	s.now = Stats{
		ByPath: map[string]int{}, ByStatus: map[int]int{},
		InFlight: s.now.InFlight, MaxInFlight: s.now.InFlight,
	}
	s.keys, s.uses = map[string]int{}, map[string]*keyUse{}
	s.log.clear()
}

// keep sets how many requests are recorded.
func (s *stats) keep(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = recorder{size: max(n, 0)}
}

// arrive counts a request in before its body is read, so that slow uploads are in flight too.
func (s *stats) arrive() *visit {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.InFlight++
	s.now.MaxInFlight = max(s.now.MaxInFlight, s.now.InFlight)
	return &visit{generation: s.generation}
}

// note counts and records what was sent. body is kept as it is and must not change any more.
func (s *stats) note(v *visit, r *http.Request, body []byte) {
	pattern := r.Method + " " + pathPattern(r.URL.Path)
	key := r.Header.Get("Idempotency-Key")
	now := time.Now()

	s.mu.Lock()
	defer s.mu.Unlock()
	v.generation = s.generation
	s.now.Requests++
	if s.now.First == nil {
		s.now.First = &now
	}
	s.now.Last = &now
	if _, known := s.now.ByPath[pattern]; !known && len(s.now.ByPath) >= maxPatterns {
		pattern = r.Method + " (other)"
	}
	s.now.ByPath[pattern]++
	if key != "" {
		v.use = s.useKey(r.Method+" "+r.URL.Path, key)
	}
	v.record = s.log.add(r, body, now)
}

// useKey counts one more request with the key on the endpoint; nil when the key is not tracked.
func (s *stats) useKey(endpoint, key string) *keyUse {
	id := endpoint + "\x00" + key
	use := s.uses[id]
	if use == nil {
		if len(s.uses) >= maxKeys {
			s.now.UntrackedKeys++
			return nil
		}
		use = &keyUse{}
		s.uses[id] = use
	}
	s.keys[key]++
	if use.count++; use.count > 1 {
		s.now.Repeats++
	}
	if use.answered {
		s.now.Duplicates++
	}
	return use
}

// leave counts a request out; status is 0 when the client got no answer.
func (s *stats) leave(v *visit, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.InFlight--
	if v.record != nil {
		v.record.Status = status
	}
	if v.generation != s.generation {
		return // it belongs to what was reset
	}
	s.now.ByStatus[status]++
	if v.use != nil && status >= 200 && status < 300 {
		v.use.answered = true
	}
}

// snapshot copies the counters.
func (s *stats) snapshot(withKeys bool) Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.now
	out.UniqueKeys = len(s.keys)
	out.ByPath = maps.Clone(s.now.ByPath)
	out.ByStatus = maps.Clone(s.now.ByStatus)
	if withKeys {
		out.Keys = maps.Clone(s.keys)
	}
	return out
}

// requests copies the newest recorded requests.
func (s *stats) requests(last int) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.last(last)
}

// pathPattern shows segments that look like IDs as {id}, so that a path per record does not become a
// counter per record. A segment is an ID when it holds a digit and is no version (v3, 2.0).
func pathPattern(path string) string {
	if !strings.ContainsAny(path, "0123456789") {
		return path
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if strings.ContainsAny(s, "0123456789") && !isVersion(s) {
			segments[i] = "{id}"
		}
	}
	return strings.Join(segments, "/")
}

// isVersion tells v3, v59.0 and 2.0 from IDs.
func isVersion(s string) bool {
	digits := strings.TrimPrefix(s, "v")
	if len(digits) > 4 || (digits == s && !strings.Contains(s, ".")) {
		return false
	}
	return strings.Trim(digits, "0123456789.") == ""
}
