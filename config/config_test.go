package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"headgate/config/unit"
	"headgate/config/yamlsrc"
)

// write makes a folder with headgate.yaml and route files, and gives the file's path.
func write(t *testing.T, text string, routes ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range append(routes, "headgate.yaml") {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			t.Fatal(err)
		}
		content := ""
		if name == "headgate.yaml" {
			content = text
		}
		if err := os.WriteFile(full, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "headgate.yaml")
}

const full = `
listen: 127.0.0.1:8081
public_url: https://api.example.com/
trusted_proxies: [10.0.0.0/8, 192.0.2.1, 2001:db8::/32]
egress: {may_reach: [10.7.0.0/16]}
admin: {listen: 127.0.0.1:9091, token: {env: ADMIN}, asynqmon: write, prometheus: "http://prometheus:9090"}
redis:
  url: rediss://app@redis.example.com/3
  password: {file: /run/secrets/redis}
  pool_size: 40
  autopipeline: false
  max_memory: 6GB
  ack: {replicas: 2, timeout: 100ms}
  tls: {ca: ca.pem, cert: /c.pem, key: /k.pem, server_name: redis.internal}
data_dir: state
routes: [a/*.yaml, b/one.yaml, a/x.yaml]
routes_may_read: {env: [CRM_*, "${EXTRA}"], files: [/run/secrets, keys]}
tracking: {retention: 7d, auth: [mobile], rate_limit: [{limit: 5, per: 1s}], max_waiters: 5}
dead_letters: {retention: 14d}
limits: {max_body: 2MB, read_timeout: 1s, write_timeout: 90s, idle_timeout: 2s, header_size: 32KB, shutdown: 5s, drain: 3s, max_wait: 80s}
telemetry: {log: {level: debug, format: text, access_sample: 0.25}}
strict: true
`

func TestLoad(t *testing.T) {
	t.Setenv("EXTRA", "ESP_TOKEN")
	path := write(t, full, "a/x.yaml", "a/y.yaml", "a/z.yml", "a/y_test.yaml", "b/one.yaml", "a/dir.yaml/inner", "a/dir/inner")
	dir := filepath.Dir(path)
	var report yamlsrc.Report
	c := Load(path, &report)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	// A folder that is named like a file is a mistake that whoever reads the files tells.
	if want := []string{in("a/dir.yaml"), in("a/x.yaml"), in("a/y.yaml"), in("b/one.yaml")}; !reflect.DeepEqual(c.RouteFiles, want) {
		t.Errorf("route files %q, want %q", c.RouteFiles, want)
	}
	wantURL := RedisURL{Mode: Single, Addrs: []string{"redis.example.com:6379"}, DB: 3, User: "app", TLS: true}
	for name, pair := range map[string][2]any{
		"public_url": {c.PublicURL, "https://api.example.com"},
		"redis":      {c.Redis.URL, wantURL},
		"pipeline":   {c.Redis.AutoPipeline, false},
		"memory":     {c.Redis.MaxMemory, unit.Fill{Size: 6 << 30}},
		"redis dir":  {c.Redis.DataDir, in("state/redis")},
		"data dir":   {c.DataDir, in("state")},
		"tls":        {[]string{c.Redis.TLS.CA, c.Redis.TLS.Cert, c.Redis.TLS.Key, c.Redis.TLS.ServerName}, []string{in("ca.pem"), "/c.pem", "/k.pem", "redis.internal"}},
		"ack":        {c.Redis.Ack, RedisAck{Replicas: 2, Timeout: unit.Duration(100 * time.Millisecond)}},
		"tls at":     {c.Redis.TLS.CertPos.Line, 14},
		"env":        {c.RoutesMayRead.Env, []string{"CRM_*", "ESP_TOKEN"}},
		"files":      {c.RoutesMayRead.Files, []string{"/run/secrets", in("keys")}},
		"retention":  {c.Tracking.Retention, unit.Duration(7 * 24 * time.Hour)},
		"dead":       {c.DeadLetters.Retention, unit.Duration(14 * 24 * time.Hour)},
		"rate limit": {len(c.Tracking.RateLimit.Items), 1},
		"proxies":    {c.Proxies()[1].String(), "192.0.2.1/32"},
		"egress":     {c.Egress.Networks()[0].String(), "10.7.0.0/16"},
		"log":        {c.Telemetry.Log, Log{"debug", "text", 0.25}},
		"strict":     {c.Strict, true},
		"dir":        {c.Dir, dir},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: %v, want %v", name, pair[0], pair[1])
		}
	}
}

func TestDefaults(t *testing.T) {
	path := write(t, "admin: {token: {env: T}}\ntracking:\nlimits:\nredis:\n", "routes/a.yaml")
	var report yamlsrc.Report
	got := Load(path, &report)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	want := Default()
	if !reflect.DeepEqual(got.Limits, want.Limits) || !reflect.DeepEqual(got.Tracking, want.Tracking) || got.DeadLetters.Retention.D() != 30*24*time.Hour || got.Listen != ":8080" || !got.Redis.AutoPipeline || got.Redis.MaxMemory.Percent != 90 {
		t.Errorf("got %s", got)
	}
}

func TestProblems(t *testing.T) {
	for name, tc := range map[string]struct{ yaml, want, hint string }{
		"unknown key":      {"lisen: ':1'", `1:1: unknown key "lisen"`, `did you mean "listen"?`},
		"no token":         {"admin: {listen: ':1'}", "1:8: the admin listener needs a token (admin.token)", "{env: HEADGATE_ADMIN_TOKEN}"},
		"no admin at all":  {"strict: true", "1:1: the admin listener needs a token", "listen: off"},
		"token in clear":   {"admin: {token: hunter2}", "1:16: a secret must not stand in the file in clear", "{env: NAME}"},
		"same address":     {"listen: ':1'\nadmin: {listen: ':1', token: {env: T}}", "2:17: the admin listener has the address", ""},
		"listen":           {"listen: 8080", `1:9: listen: "8080" is not an address`, ":8080"},
		"port":             {"listen: ':http'", `1:9: listen: the port "http" is not a number`, ""},
		"egress":           {"egress: {may_reach: [storage]}", "1:22: may_reach[0] should be a network", ""},
		"proxy":            {"trusted_proxies: [10.0.0.0/99]", "1:19: trusted_proxies[0] should be a network", ""},
		"public_url":       {"public_url: api.example.com", "1:13: public_url should be an absolute", ""},
		"dashboard":        {"admin: {asynqmon: admin, token: {env: A}}", `1:19: admin.asynqmon cannot be "admin"; it is one of read, write`, ""},
		"prometheus":       {"admin: {prometheus: 'prom:9090', token: {env: A}}", "1:21: admin.prometheus should be an absolute", ""},
		"its credentials":  {"admin: {prometheus: 'http://u:hunter2@x', token: {env: A}}", "1:21: admin.prometheus must not hold credentials", ""},
		"url credentials":  {"public_url: https://u:hunter2@x", "1:13: public_url must not hold credentials", ""},
		"redis password":   {"redis: {url: 'redis://:hunter2@h'}", "1:14: a password must not stand", "password: {env: REDIS_PASSWORD}"},
		"redis scheme":     {"redis: {url: 'http://h'}", `1:14: url is not a Redis URL: the scheme "http" is unknown`, "embedded"},
		"half a cert":      {"redis: {url: 'rediss://h', tls: {cert: a}}", "1:33: a client certificate needs its key", ""},
		"tls without tls":  {"redis: {tls: {ca: a}}", "1:14: redis.tls has no effect", "rediss://"},
		"name without tls": {"redis: {tls: {server_name: a}}", "1:14: redis.tls has no effect", "rediss://"},
		"ack, embedded":    {"redis: {url: embedded, ack: {replicas: 1}}", "1:29: an embedded Redis has no replicas", "leave ack out"},
		"ack, negative":    {"redis: {ack: {replicas: -1}}", "1:25: redis.ack.replicas is negative", "0 for none"},
		"ack, for nobody":  {"redis: {ack: {timeout: 1s}}", "1:14: redis.ack.timeout has no effect without replicas", "replicas: 1"},
		"ack, forever":     {"redis: {ack: {replicas: 1, timeout: 0s}}", "1:37: redis.ack.timeout should lie between 1ms and 2s", "50ms"},
		"ack, too long":    {"redis: {ack: {replicas: 1, timeout: 3s}}", "1:37: redis.ack.timeout should lie between 1ms and 2s, not be 3s", ""},
		"embedded":         {"redis: {url: embedded, password: {env: P}}", "1:8: an embedded Redis is private", ""},
		"no routes":        {"routes: [none/*.yaml]", `1:10: no route file matches "none/*.yaml"`, "relative to the folder"},
		"bad glob":         {"routes: ['[a']", "1:10: \"[a\" is not a pattern for files", ""},
		"double star":      {"routes: ['**/a']", "** is not supported", ""},
		"env pattern":      {"routes_may_read: {env: ['[A']}", "1:25: \"[A\" is not a pattern for names", "CRM_*"},
		"zero":             {"limits: {shutdown: 0s}", "1:20: limits.shutdown is zero", ""},
		"write too short":  {"limits: {write_timeout: 10s}", "1:25: a client that waits for 30s would be cut off after 10s", "more than 30s"},
		"wait too long":    {"limits: {max_wait: 5m}", "1:9: a client that waits for 5m would be cut off after 1m", ""},
		"max body":         {"limits: {max_body: 0}", "1:20: limits.max_body should lie between", ""},
		"memory":           {"redis: {max_memory: 120%}", "1:21: max_memory should be a part such as 90% or a size such as 6GB", ""},
		"header size":      {"limits: {header_size: 10}", "1:23: limits.header_size should lie between", ""},
		"share":            {"telemetry: {log: {access_sample: 2}}", "1:34: telemetry.log.access_sample cannot be 2", "write a share from 0 to 1"},
		"share, negative":  {"telemetry: {log: {access_sample: -0.1}}", "1:34: telemetry.log.access_sample cannot be -0.1", "write a share from 0 to 1"},
		"level":            {"telemetry: {log: {level: inof}}", "1:26: telemetry.log.level cannot be \"inof\"", `did you mean "info"?`},
		"unset variable":   {"listen: '${NOT_SET_ANYWHERE}'", "1:9: ${NOT_SET_ANYWHERE}: the environment variable is not set", "set NOT_SET_ANYWHERE"},
		"empty":            {"listen:", "1:1: listen is empty", ""},
		"not a mapping":    {"- listen", "1:1: the file should be a mapping", ""},
		"syntax, only one": {"listen: [", "1:9: ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, tc.yaml+"\n", "routes/a.yaml")
			var report yamlsrc.Report
			if Load(path, &report) == nil {
				t.Fatal("no configuration to go on with")
			}
			text := "none"
			if err := report.Err(); err != nil {
				text = err.Error()
			}
			if !strings.Contains(text, tc.want) || !strings.Contains(text, tc.hint) {
				t.Errorf("got\n%s\nwant %q and %q", text, tc.want, tc.hint)
			}
			if strings.Contains(text, "hunter2") {
				t.Error("the report shows a secret")
			}
			if strings.HasPrefix(name, "syntax") && report.Len() != 1 {
				t.Errorf("noise after a syntax error:\n%s", text)
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	var report yamlsrc.Report
	c := Load("/nowhere/headgate.yaml", &report)
	if c == nil || report.Len() != 1 || !strings.Contains(report.Err().Error(), "no such file") {
		t.Errorf("%v", report.Err())
	}
}

// The configuration may be printed anywhere: nothing in it is a secret in clear.
func TestStringMasks(t *testing.T) {
	t.Setenv("ADMIN", "hunter2")
	t.Setenv("EXTRA", "X")
	var report yamlsrc.Report
	c := Load(write(t, full, "a/x.yaml", "b/one.yaml"), &report)
	text := c.String()
	if strings.Contains(text, "hunter2") || !strings.Contains(text, `"env": "ADMIN"`) || !strings.Contains(text, `"url": "rediss://app@redis.example.com:6379/3"`) || !strings.Contains(text, `"limit": 5`) {
		t.Errorf("%s", text)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte("admin:\nredis: {url: 'redis+sentinel://a,b/m'}\nroutes: ['[']\ntracking: {rate_limit: }\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var report yamlsrc.Report
		c := load("nowhere/headgate.yaml", text, true, yamlsrc.Environment, &report)
		_ = c.String()
		for _, p := range report.Problems() {
			if p.File != "nowhere/headgate.yaml" || p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Fatalf("a problem without its place: %s", p)
			}
		}
	})
}

// TestTestsAreNoRouteFiles: they lie beside them, and patterns match their names.
func TestTestsAreNoRouteFiles(t *testing.T) {
	for name, tc := range map[string]struct {
		routes, want string
	}{
		"pattern":       {"a/*.yaml", "a/x.yaml"},
		"its own name":  {"a/x_test.yaml", "a/x_test.yaml"},
		"nothing left":  {"a/*_test.yaml", ""},
		"other endings": {"a/*.y*ml", "a/x.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "routes: ['"+tc.routes+"']\n", "a/x.yaml", "a/x_test.yaml", "a/y_test.yml")
			var report yamlsrc.Report
			c := Load(path, &report)
			var got []string
			for _, f := range c.RouteFiles {
				rel, err := filepath.Rel(filepath.Dir(path), f)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, filepath.ToSlash(rel))
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("route files %q, want %q", got, tc.want)
			}
			if empty := strings.Contains(fmt.Sprint(report.Err()), "no route file matches"); empty != (tc.want == "") {
				t.Errorf("problems: %v", report.Err())
			}
		})
	}
}
