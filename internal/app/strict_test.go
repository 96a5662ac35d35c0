package app_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"headgate/internal/app"
	"headgate/internal/testenv"
)

// Under `strict` a Redis that forgets is no Redis to start with.
func TestStrictRefusesAForgetfulRedis(t *testing.T) {
	for name, c := range map[string]struct {
		options []testenv.Option
		starts  bool
	}{
		"no append-only file": {nil, false},
		"as it should be":     {[]testenv.Option{testenv.WithAOF()}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, c.options...)
			r.rewrite(t, "headgate.yaml", func(s string) string { return s + "\nstrict: true\n" })
			a, err := app.New(t.Context(), app.Options{
				ConfigPath: filepath.Join(r.dir, "headgate.yaml"), Role: app.RoleAll, Log: slog.New(slog.DiscardHandler),
				Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0",
			})
			if err != nil {
				t.Fatal(err)
			}
			err = a.Start(t.Context())
			if stopErr := a.Stop(context.Background()); stopErr != nil {
				t.Error(stopErr)
			}
			if (err == nil) != c.starts || (err != nil && !strings.Contains(err.Error(), "append-only")) {
				t.Fatalf("start: %v", err)
			}
		})
	}
}
