package simulate

import (
	"context"
	"encoding/json"
	"net/http"
)

// answer notes what was answered, and whether the connection was dropped instead.
type answer struct {
	http.ResponseWriter
	status  int
	dropped bool
}

// WriteHeader notes the status.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write notes the implied 200.
func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// seen is the status the client can have seen; 0 when it got none or went away before.
func (a *answer) seen(ctx context.Context) int {
	switch {
	case a.dropped || ctx.Err() != nil:
		return 0
	case a.status == 0:
		return http.StatusOK
	}
	return a.status
}

// drop makes the connection close without an answer, or without the rest of one, once the request has
// been counted: whoever notices the end must find it in the statistics.
func (a *answer) drop() { a.dropped = true }

// hangUp closes the connection.
func (a *answer) hangUp() {
	conn, _, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err != nil {
		// HTTP/2 and recorders cannot be hijacked; this is net/http's own way to break off.
		panic(http.ErrAbortHandler)
	}
	_ = conn.Close()
}

// writeJSON answers with a JSON body and a line end.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "encode answer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// writeError answers in the shape of the plain backends and of the simulator itself.
func writeError(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, map[string]any{"error": map[string]string{"code": code, "message": message}})
}
