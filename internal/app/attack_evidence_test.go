package app_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

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
		if err != nil && !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
		fmt.Fprintln(&out, key, value)
	}
	if err := keys.Err(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
