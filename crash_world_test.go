package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// crashWorld is a world with simulated backends and a gateway, whose one route feeds one
// target.
type crashWorld struct {
	*world
	token string
}

func newCrashWorld(t *testing.T, target string) *crashWorld {
	t.Helper()
	w := &crashWorld{world: newWorld(t, t.TempDir())}
	t.Cleanup(w.close)
	w.write("headgate.yaml", `
listen: ${LISTEN}
admin: {listen: "${ADMIN}", token: {env: HEADGATE_ADMIN_TOKEN}}
redis: {url: "${REDIS_URL}"}
routes_may_read: {env: [BACKENDS_URL, MARKETING_PASSWORD, MOBILE_JWT_KEY]}
`)
	w.write("routes/orders.yaml", `
auth:
  mobile:
    jwt: {issuer: https://id.example.com, audience: headgate, key: {env: MOBILE_JWT_KEY}, algorithms: [HS256], tenant: "${{ .claims.org }}"}
routes:
  - name: order-placed
    match: POST /orders/:id
    auth: [mobile]
    targets: {target: {}}
targets:
  target:`+target)
	token, err := sign("HS256", w.vars["MOBILE_JWT_KEY"], nil)
	if err != nil {
		t.Fatal(err)
	}
	w.token = token
	if err := w.start("backends", w.vars, "headgate", "simulate", "--listen", w.vars["BACKENDS"]); err != nil {
		t.Fatal(err)
	}
	w.up("gateway", "--role", "gateway")
	w.awaitGateway()
	w.eventually("the backends answer", func() bool {
		_, err := call(http.MethodGet, w.vars["BACKENDS_URL"], nil, nil)
		return err == nil
	})
	return w
}

func (w *crashWorld) write(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// up starts a headgate process and waits until it says that it is up.
func (w *crashWorld) up(name string, args ...string) {
	w.t.Helper()
	before := strings.Count(w.log(name), "headgate is up")
	if err := w.start(name, w.vars, append([]string{"headgate", "serve"}, args...)...); err != nil {
		w.t.Fatal(err)
	}
	w.eventually(name+" is up", func() bool { return strings.Count(w.log(name), "headgate is up") > before })
}

func (w *crashWorld) awaitGateway() {
	w.t.Helper()
	w.eventually("the gateway answers", func() bool {
		_, err := call(http.MethodGet, w.vars["LISTEN_URL"], nil, nil)
		return err == nil
	})
}

func (w *crashWorld) eventually(what string, holds func() bool) {
	w.t.Helper()
	if within(patience, holds) {
		return
	}
	for name := range w.processes {
		w.t.Logf("log of %s:\n%s", name, w.log(name))
	}
	w.t.Fatalf("not within %v: %s", patience, what)
}

// offer sends one order and gives the tracking ID; an error means that there was no
// answer, or not the answer that counts.
func (w *crashWorld) offer(path, key string) (id string, err error) {
	header := http.Header{"Authorization": {"Bearer " + w.token}, "Content-Type": {"application/json"}}
	if key != "" {
		header.Set("Idempotency-Key", key)
	}
	a, err := call(http.MethodPost, w.vars["LISTEN_URL"]+path, []byte(`{"email": "ada@example.com"}`), header)
	if err != nil {
		return "", err
	}
	if a.code != http.StatusAccepted {
		return "", fmt.Errorf("POST %s: %s\n%s", path, a.status, a.body)
	}
	var accepted struct {
		TrackingID string `json:"tracking_id"`
	}
	err = json.Unmarshal([]byte(a.body), &accepted)
	return accepted.TrackingID, err
}

func (w *crashWorld) post(path, key string) string {
	w.t.Helper()
	id, err := w.offer(path, key)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *crashWorld) track(id string) trackingDoc {
	w.t.Helper()
	doc, err := track(w.vars["LISTEN_URL"], w.token, id)
	if err != nil {
		for name := range w.processes {
			w.t.Logf("log of %s:\n%s", name, w.log(name))
		}
		w.t.Fatal(err)
	}
	return doc
}

// backendStats and backendRequest are what the tests read of a simulator's counters.
type backendStats struct {
	Requests, Duplicates, Repeats int
	ByPath                        map[string]int `json:"by_path"`
	UniqueKeys                    int            `json:"unique_keys"`
	InFlight                      int            `json:"in_flight"`
	MaxInFlight                   int            `json:"max_in_flight"`
}

type backendRequest struct {
	Method, Path string
	Status       int
}

func (w *crashWorld) stats(backend string) (s backendStats) {
	w.t.Helper()
	w.backend(backend, http.MethodGet, "/__stats", "", &s)
	return s
}

func (w *crashWorld) lastRequest(backend string) backendRequest {
	w.t.Helper()
	var answer struct{ Requests []backendRequest }
	w.backend(backend, http.MethodGet, "/__requests?last=1", "", &answer)
	if len(answer.Requests) == 0 {
		return backendRequest{Status: -1}
	}
	return answer.Requests[0]
}

// backend asks a simulator's control path.
func (w *crashWorld) backend(name, method, path, body string, to any) {
	w.t.Helper()
	a, err := call(method, w.vars["BACKENDS_URL"]+"/"+name+path, []byte(body), nil)
	if err != nil || a.code/100 != 2 {
		w.t.Fatalf("%s %s: %v\n%s", method, path, err, a.body)
	}
	if to == nil {
		return
	}
	if err := json.Unmarshal([]byte(a.body), to); err != nil {
		w.t.Fatal(err)
	}
}

// nothingOpen fails when a row of a delivery that is not final is left.
func (w *crashWorld) nothingOpen() {
	w.t.Helper()
	for _, glob := range []string{"hg:{*}:due", "hg:{*}:running", "hg:{*}:queued:*", "hg:{*}:open", "hg:{*}:tenants"} {
		rows, err := w.dump(w.t.Context(), glob)
		if err != nil {
			w.t.Fatal(err)
		}
		if rows != "" {
			w.t.Errorf("every dispatch is final and there are rows all the same:\n%s", rows)
		}
	}
}
