package simulate

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// controlMux serves the paths that tell and ask a backend things it would not have in real life.
func (b *Backend) controlMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /__stats", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, b.stats.snapshot(r.URL.Query().Get("keys") == "1"))
	})
	mux.HandleFunc("DELETE /__stats", func(w http.ResponseWriter, _ *http.Request) {
		b.Reset()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /__requests", b.serveRequests)
	mux.HandleFunc("GET /__behave", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"rules": b.rules.list()})
	})
	mux.HandleFunc("POST /__behave", b.serveBehave)
	mux.HandleFunc("DELETE /__behave", func(w http.ResponseWriter, _ *http.Request) {
		b.ClearBehaviour()
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// serveRequests answers with the newest recorded requests, oldest first.
func (b *Backend) serveRequests(w http.ResponseWriter, r *http.Request) {
	last := 0
	if text := r.URL.Query().Get("last"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			writeError(w, http.StatusBadRequest, "bad_last", fmt.Sprintf("last: %q is no positive number", text))
			return
		}
		last = n
	}
	writeJSON(w, http.StatusOK, map[string]any{"requests": b.stats.requests(last)})
}

// serveBehave adds a rule.
func (b *Backend) serveBehave(w http.ResponseWriter, r *http.Request) {
	var rule Rule
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	if err := dec.Decode(&rule); err != nil {
		writeError(w, http.StatusBadRequest, "bad_simulation", err.Error())
		return
	}
	if rule.Behave == nil || rule.Times < 0 {
		writeError(w, http.StatusBadRequest, "bad_simulation", "behave is needed, times must not be negative")
		return
	}
	b.rules.put(rule)
	writeJSON(w, http.StatusOK, map[string]any{"rules": b.rules.list()})
}
