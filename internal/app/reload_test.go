package app_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"headgate/config/yamlsrc"
	"headgate/dispatch/tracking"
)

// withoutCRM takes the target and its use out of the route file.
func withoutCRM(s string) string {
	from, to := strings.Index(s, "  # Answers at once."), strings.Index(s, "  # Asynchronous, the way of SendGrid")
	s = s[:from] + s[to:]
	from, to = strings.Index(s, "      crm:\n"), strings.Index(s, "      newsletter:\n        when")
	return s[:from] + s[to:]
}

// retryOften lets a failing crm be tried again soon.
func retryOften(s string) string {
	return strings.Replace(s, "    put: /contacts", "    retry: {attempts: 100, first: 100ms, max: 200ms}\n    put: /contacts", 1)
}

// A target that leaves the files loses nothing: what was accepted for it ends under the
// plan it was accepted with, in this process and in the next one.
func TestRemovedTargetIsDrained(t *testing.T) {
	r := newRig(t, retryOften)
	r.start(t)
	crm := r.backends.Backend("crm")
	if err := crm.Behave("/", "status=503", 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	id, err := r.post(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	r.rewrite(t, "routes/profiles.yaml", withoutCRM)
	if err := r.Reload(ctx); err != nil {
		t.Fatal(err)
	}
	if plans := r.Table().Plans(); plans["crm"] != nil || len(plans) != 4 {
		t.Fatalf("plans after the reload: %v", plans)
	}
	if err := r.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	crm.ClearBehaviour()
	r.start(t) // a process that never knew the target
	view, err := r.await(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range view.Targets {
		if target.Name == "crm" && target.Value.State != tracking.Succeeded {
			t.Fatalf("crm ended as %s: %s", target.Value.State, target.Value.Message)
		}
	}
}

func TestBadReloadChangesNothing(t *testing.T) {
	r := newRig(t, nil)
	r.start(t)
	before := r.Table()
	r.rewrite(t, "routes/profiles.yaml", func(s string) string { return strings.Replace(s, "done_when:", "done_wen:", 1) })
	err := r.Reload(t.Context())
	var problems *yamlsrc.ProblemsError
	if !errors.As(err, &problems) || !strings.Contains(err.Error(), `did you mean "done_when"?`) {
		t.Fatalf("%v", err)
	}
	if r.Table() != before {
		t.Fatal("a bad file replaced the table")
	}
	id, err := r.post(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.await(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

// TestReloadSetsTheLevel: when the file's has changed. What somebody set meanwhile stays otherwise.
func TestReloadSetsTheLevel(t *testing.T) {
	r := newRig(t, nil)
	write := func(text string) {
		t.Helper()
		r.rewrite(t, "headgate.yaml", func(s string) string {
			s, _, _ = strings.Cut(s, "\ntelemetry:")
			return s + "\n" + text
		})
		if err := r.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r.start(t)
	if write(""); r.level.Level() != slog.LevelInfo {
		t.Errorf("nothing has changed, and the level is %s", r.level.Level())
	}
	if write("telemetry: {log: {level: debug}}\n"); r.level.Level() != slog.LevelDebug {
		t.Errorf("the file says debug, and the level is %s", r.level.Level())
	}
	r.level.Set(slog.LevelWarn)
	if write("telemetry: {log: {level: debug}}\n"); r.level.Level() != slog.LevelWarn {
		t.Errorf("somebody said warn, and the level is %s", r.level.Level())
	}
	if write("telemetry: {log: {level: error}}\n"); r.level.Level() != slog.LevelError {
		t.Errorf("the file says error, and the level is %s", r.level.Level())
	}
}
