package app_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"headgate/internal/app"
)

// TestConfigShowsNoSecret: the configuration in force, in both forms and after a reload,
// names where secrets are kept and holds none of their values.
func TestConfigShowsNoSecret(t *testing.T) {
	const redisPassword = "redis-password-8531"
	r := newRig(t, func(s string) string { return strings.Replace(s, "limit: 1000000,", "limit: 77,", 1) })
	if err := r.rdb(t).(*redis.Client).ConfigSet(t.Context(), "requirepass", redisPassword).Err(); err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{
		"HEADGATE_ADMIN_TOKEN": "admin-token-9900", "REDIS_PASSWORD": redisPassword, "MOBILE_JWT_KEY": strings.Repeat("jwt-key-", 5),
		"CRM_TOKEN": "crm-token-1177", "NEWSLETTER_KEY": "newsletter-key-2288", "MARKETING_PASSWORD": "marketing-password-3399",
	}
	for name, value := range secrets {
		t.Setenv(name, value)
	}
	crm := filepath.Join(r.dir, "crm-secret")
	if err := os.WriteFile(crm, []byte("crm-file-secret-4400\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.rewrite(t, "headgate.yaml", func(s string) string {
		s = strings.Replace(s, "redis:\n", "redis:\n  password: {env: REDIS_PASSWORD}\n", 1)
		return s + "  files: [" + r.dir + "]\ntracking: {rate_limit: [{limit: 5, per: 1m, by: ip}]}\n"
	})
	r.rewrite(t, "routes/profiles.yaml", func(s string) string {
		return strings.Replace(s, "{bearer: {env: CRM_TOKEN}}", "{bearer: {file: "+crm+"}}", 1)
	})
	a := r.process(t, app.RoleGateway)
	read := func(accept string) string {
		t.Helper()
		status, text := ask(t, a, http.MethodGet, "/config", "", "Accept", accept)
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, text)
		}
		for name, value := range secrets {
			if strings.Contains(text, value) {
				t.Errorf("%s is told:\n%s", name, text)
			}
		}
		if strings.Contains(text, "crm-file-secret") {
			t.Errorf("a secret is told:\n%s", text)
		}
		return text
	}
	var got struct {
		Routes  []app.EffectiveRoute
		Targets []app.EffectiveTarget
	}
	if err := json.Unmarshal([]byte(read("application/json")), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Routes) != 1 || got.Routes[0].Match != "POST /profiles/:id" || len(got.Routes[0].Targets) != 5 || len(got.Targets) != 5 || len(got.Targets[0].Plan) != 16 {
		t.Errorf("%+v", got)
	}
	text := read("application/yaml")
	for _, want := range []string{
		"role: gateway", "env: REDIS_PASSWORD", "env: HEADGATE_ADMIN_TOKEN", "max_memory: 90%", "retention: 72h", "limit: 5", "limit: 1000", "name: profile-changed", "name: crm", "admin: " + a.AdminAddr(),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing:\n%s", want, text)
		}
	}
	// What a reload takes over is in force; what needs a restart is not.
	r.rewrite(t, "headgate.yaml", func(s string) string {
		return strings.Replace(s, "routes: [routes/*.yaml]", "routes: [routes/profiles.yaml]\nlimits: {max_body: 1MB}", 1)
	})
	r.rewrite(t, "routes/profiles.yaml", func(s string) string {
		return strings.Replace(withoutCRM(s), "name: profile-changed", "name: changed", 1)
	})
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	text = read("application/yaml")
	for want, there := range map[string]bool{"routes/profiles.yaml": true, "routes/*.yaml": false, "name: changed": true, "name: crm": false, "max_body: 10MB": true} {
		if strings.Contains(text, want) != there {
			t.Errorf("%q is there: %v\n%s", want, !there, text)
		}
	}
}
