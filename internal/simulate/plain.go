package simulate

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// NewSync makes a backend that answers at once: POST 201, PUT, PATCH and GET 200, each with
// {"id":"<stable id>"}, DELETE 204. The ID depends on the path or, for POST, on the Idempotency-Key or,
// without one, on path and body: a repeated request gets the same ID.
func NewSync(name string) *Backend {
	return newBackend(name, syncHandler(name))
}

func syncHandler(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodPut, http.MethodPatch, http.MethodGet:
			writeJSON(w, http.StatusOK, map[string]string{"id": stableID(name, r.URL.Path)})
		case http.MethodPost:
			seed := r.Header.Get("Idempotency-Key")
			if seed == "" {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					writeError(w, http.StatusBadRequest, "bad_body", err.Error())
					return
				}
				seed = string(body)
			}
			writeJSON(w, http.StatusCreated, map[string]string{"id": stableID(name, r.URL.Path+"\x00"+seed)})
		case http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header().Set("Allow", "DELETE, GET, PATCH, POST, PUT")
			writeError(w, http.StatusMethodNotAllowed, "method_not_allowed", r.Method+" is not simulated")
		}
	})
}

// stableID names what the seed names, the same in every run.
func stableID(name, seed string) string {
	sum := sha256.Sum256([]byte(seed))
	return name + "_" + hex.EncodeToString(sum[:8])
}

// NewFlaky makes a backend that answers the first failures requests of each Idempotency-Key (of each
// method and path without one) 503, with Retry-After in whole seconds, rounded up, unless retryAfter is
// 0. After that it is a [NewSync] backend whose POST answers 200.
func NewFlaky(name string, failures int, retryAfter time.Duration) *Backend {
	var mu sync.Mutex
	seen := map[string]int{}
	healthy := syncHandler(name)
	return newBackend(name, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Idempotency-Key")
		if key == "" {
			key = r.Method + " " + r.URL.Path
		}
		mu.Lock()
		if len(seen) >= maxKeys {
			clear(seen) // bounded before exact: a run of millions only sees some keys fail again
		}
		seen[key]++
		failing := seen[key] <= failures
		mu.Unlock()
		if !failing {
			held := newBuffer()
			healthy.ServeHTTP(held, r)
			if held.status == http.StatusCreated {
				held.status = http.StatusOK
			}
			for name, values := range held.header {
				w.Header()[name] = values
			}
			w.WriteHeader(held.status)
			_, _ = w.Write(held.body.Bytes())
			return
		}
		if retryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(retryAfter.Seconds()))))
		}
		writeError(w, http.StatusServiceUnavailable, "unavailable", "try again later")
	}))
}

// NewRejecting makes a backend that refuses everything for good: 422 with the code card_expired.
func NewRejecting(name string) *Backend {
	return newBackend(name, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, http.StatusUnprocessableEntity, "card_expired", "the card on file has expired")
	}))
}
