package app_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/redis/go-redis/v9"

	"headgate/internal/testenv"
)

// Every way to name a Redis in the operator's file leads to one.
func TestEveryKindOfRedis(t *testing.T) {
	server := testenv.Redis(t, testenv.WithConf("user", "gateway", "on", ">hunter2", "~*", "&*", "+@all"))
	// Without the user nobody gets in.
	if err := server.Client(t).Do(t.Context(), "ACL", "SETUSER", "default", "-@all", "+ping", "+info", "+keys", "+flushall", "+hello", "+client").Err(); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ca := testenv.NewCA(t)
	serverCert, serverKey := ca.Issue("server", "redis.internal")
	clientCert, clientKey := ca.Issue("client")
	front := server.WithTLS(t, ca, serverCert, serverKey)
	open := testenv.Redis(t)
	as := "\n  username: gateway\n  password: {file: '" + secret + "'}"
	for name, c := range map[string]struct {
		settings string
		of       *testenv.RedisServer
	}{
		"tcp":      {"url: " + server.URL() + as, server},
		"url user": {"url: redis://gateway@" + server.Addr() + "\n  password: {file: '" + secret + "'}", server},
		"unix":     {"url: unix://" + server.Socket() + as, server},
		"tls": {"url: rediss://" + front.Addr + as + "\n  tls: {ca: '" + ca.File + "', cert: '" + clientCert + "', key: '" + clientKey +
			"', server_name: redis.internal}", server},
		"sentinel":      {"url: redis+sentinel://" + open.Sentinel(t) + "/main", open},
		"no pipelining": {"url: " + open.URL() + "\n  autopipeline: false", open},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRigOn(t, c.settings, func(t testing.TB) redis.UniversalClient { return c.of.Client(t) }, nil)
			r.start(t)
			id, err := r.post(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			view, err := r.await(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			for _, target := range view.Targets {
				if target.Value.State != want[target.Name] {
					t.Errorf("%s: %s, want %s", target.Name, target.Value.State, want[target.Name])
				}
			}
			r.nothingLeft(t)
			if err := c.of.Client(t).FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
