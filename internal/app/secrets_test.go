package app_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/internal/app"
)

// lines keeps what is logged, for several goroutines.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// take gives the lines since the last time that contain part.
func (l *lines) take(part string) (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, part) {
			out = append(out, line)
		}
	}
	l.text.Reset()
	return out
}

// Secrets that are not there are told at the start and after a reload, by name and never
// by value; each role tells of those that it uses.
func TestMissingSecretsAreTold(t *testing.T) {
	const (
		crm    = `level=WARN msg="a secret cannot be read; deliveries that need it are retried" target="billing, crm" secret="{env: CRM_TOKEN}" error="environment variable CRM_TOKEN is not set or empty"`
		mobile = `level=WARN msg="credentials cannot be checked" authenticator=mobile error="no key yet: environment variable MOBILE_JWT_KEY is not set or empty"`
		check  = "[warning] secret {env: CRM_TOKEN}: targets billing, crm: environment variable CRM_TOKEN is not set or empty\n"
		secret = "the-marketing-password"
	)
	for _, tc := range []struct {
		role app.Role
		want []string
	}{
		{app.RoleAll, []string{crm, mobile}},
		{app.RoleWorker, []string{crm}},
		{app.RoleGateway, []string{mobile}},
	} {
		t.Run(string(tc.role), func(t *testing.T) {
			r := newRig(t, func(s string) string {
				return strings.Replace(s, "    url: ${BACKENDS_URL}/billing", "    url: ${BACKENDS_URL}/billing\n    auth: {bearer: {env: CRM_TOKEN}}", 1)
			})
			t.Setenv("CRM_TOKEN", "")
			t.Setenv("MOBILE_JWT_KEY", "")
			t.Setenv("MARKETING_PASSWORD", secret)
			var log lines
			var err error
			r.App, err = app.New(t.Context(), app.Options{
				ConfigPath: filepath.Join(r.dir, "headgate.yaml"), Role: tc.role, Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0",
				Log: slog.New(slog.NewTextHandler(&log, nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				if err := r.Stop(ctx); err != nil {
					t.Error(err)
				}
			})
			told := func(when string, want ...string) {
				t.Helper()
				got := log.take(" cannot be ")
				if len(got) != len(want) || strings.Contains(fmt.Sprint(got), secret) {
					t.Errorf("%s: %q, want %q", when, got, want)
					return
				}
				for i := range want {
					if !strings.Contains(got[i], want[i]) {
						t.Errorf("%s: %q, want %q", when, got[i], want[i])
					}
				}
			}
			if err := r.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			told("start", tc.want...)
			sends := tc.role != app.RoleGateway
			if said := r.adminSays(t, "/readyz?verbose"); strings.Contains(said, check) != sends || !strings.HasSuffix(said, "ready\n") || strings.Contains(said, secret) {
				t.Errorf("readyz says\n%s", said)
			}
			if err := r.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			told("reload", tc.want...)
			t.Setenv("CRM_TOKEN", "c")
			t.Setenv("MOBILE_JWT_KEY", strings.Repeat("k", 32))
			if err := r.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			told("reload with secrets")
			if said := r.adminSays(t, "/readyz?verbose"); strings.Contains(said, "secret") {
				t.Errorf("readyz says\n%s", said)
			}
		})
	}
}
