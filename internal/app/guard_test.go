package app_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"headgate/config"
	"headgate/internal/app"
	"headgate/internal/testenv"
)

// Settings that do not go together are told at the start, in readiness and at a reload;
// under `strict` they are errors. Each names its place and what to do.
func TestSettingsThatDoNotGoTogether(t *testing.T) {
	smallPool := func(s string) string { return strings.Replace(s, "redis:\n", "redis:\n  pool_size: 20\n", 1) }
	quickStop := func(s string) string { return s + "\nlimits: {shutdown: 12s}\n" }
	slowStep := func(s string) string {
		return strings.Replace(s, "      - name: upload\n", "      - name: upload\n        timeout: 90s\n", 1)
	}
	sorted := func(s string) string {
		return strings.Replace(s, "put: /contacts/${{ .params.id }}\n    json: ${{ .payload }}", "batch: {max_bytes: 20MB}\n    put: /contacts\n    json: {all: \"${{ .records | sort }}\"}", 1)
	}
	for name, c := range map[string]struct {
		operator, routes func(string) string
		role             app.Role
		want             []string // empty: it starts under strict
	}{
		"all well":    {nil, nil, app.RoleAll, nil},
		"small pool":  {smallPool, nil, app.RoleAll, []string{"redis.pool_size is 20", "5 targets may use 106 connections", "raise redis.pool_size to 106"}},
		"no workers":  {smallPool, slowStep, app.RoleGateway, nil},
		"slow step":   {nil, slowStep, app.RoleWorker, []string{"profiles.yaml:", "target marketing, step upload: a call may take 1m30s", "waits 23s", "raise limits.shutdown of the operator's file to 1m32s"}},
		"held upload": {nil, sorted, app.RoleWorker, []string{"profiles.yaml:", "target crm: an upload may have 20MB", "uses .records otherwise than", "lower max_bytes"}},
		"quick stop":  {func(s string) string { return strings.Replace(quickStop(s), "12s", "11s", 1) }, nil, app.RoleAll, []string{"target crm: a call may take 10s", "waits 9s", "target newsletter, step import"}},
		"just enough": {quickStop, nil, app.RoleAll, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, c.routes, testenv.WithAOF())
			if c.operator != nil {
				r.rewrite(t, "headgate.yaml", c.operator)
			}
			var log lines
			start := func() (*app.App, error) {
				a, err := app.New(t.Context(), app.Options{
					ConfigPath: filepath.Join(r.dir, "headgate.yaml"), Role: c.role, Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0",
					Log: slog.New(slog.NewTextHandler(&log, nil)),
				})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = a.Stop(context.Background()) })
				return a, a.Start(t.Context())
			}
			a, err := start()
			if err != nil {
				t.Fatal(err)
			}
			r.App = a
			told := strings.Join(log.take("settings that do not go together"), "")
			ready := r.adminSays(t, "/readyz?verbose")
			if len(c.want) == 0 && (told != "" || strings.Contains(ready, "settings")) {
				t.Errorf("told\n%s\n%s", told, ready)
			}
			for _, part := range c.want {
				if !strings.Contains(told, part) || !strings.Contains(ready, part) {
					t.Errorf("%q is not in\n%s\n%s", part, told, ready)
				}
			}
			r.rewrite(t, "headgate.yaml", func(s string) string { return s + "\nstrict: true\n" })
			strict, err := start()
			if (err == nil) != (len(c.want) == 0) {
				t.Fatalf("under strict: %v", err)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in %v", part, err)
				}
			}
			if err == nil && c.role != app.RoleGateway {
				r.rewrite(t, "routes/profiles.yaml", slowStep)
				if err := strict.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "step upload") {
					t.Errorf("a reload under strict: %v", err)
				}
			}
		})
	}
}

// The command line can do without an admin listener, as the file can.
func TestNoAdminListener(t *testing.T) {
	r := newRig(t, nil)
	a, err := app.New(t.Context(), app.Options{
		ConfigPath: filepath.Join(r.dir, "headgate.yaml"), Role: app.RoleGateway, Listen: "127.0.0.1:0", AdminListen: config.Off,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Stop(context.Background()) })
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a.AdminAddr() != "" || a.Addr() == "" {
		t.Errorf("it listens for operators at %q, for clients at %q", a.AdminAddr(), a.Addr())
	}
	if err := a.Reload(t.Context()); err != nil {
		t.Error(err)
	}
}

// A Redis that answers and refuses, as one whose disk is full, is told from one that is away.
func TestReadinessTellsWhatRedisRefuses(t *testing.T) {
	server := testenv.Redis(t)
	r := newRigOn(t, "url: "+server.URL(), func(t testing.TB) redis.UniversalClient { return server.Client(t) }, nil)
	r.start(t)
	if err := server.Client(t).Do(t.Context(), "ACL", "SETUSER", "default", "-ping").Err(); err != nil {
		t.Fatal(err)
	}
	if said := r.readiness(t); !strings.Contains(said, "redis refuses: NOPERM") {
		t.Error(said)
	}
}
