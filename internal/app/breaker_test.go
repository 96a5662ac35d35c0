package app_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// adminSays gets a page of the second listener.
func (r *rig) adminSays(t *testing.T, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.AdminAddr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+os.Getenv("HEADGATE_ADMIN_TOKEN"))
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A backend that fails is left alone: what is meant for it waits without using up
// attempts, an operator sees it, and all of it is delivered once the backend is well.
func TestFailingBackendIsLeftAlone(t *testing.T) {
	failingBackendIsLeftAlone(t, newRig(t, breakSoon))
}

func breakSoon(s string) string {
	return strings.Replace(s, "    put: /contacts", "    retry: {attempts: 6, first: 50ms, max: 100ms}\n    breaker: {failures: 5, open_for: 3s}\n    put: /contacts", 1)
}

func failingBackendIsLeftAlone(t *testing.T, r *rig) {
	r.start(t)
	crm := r.backends.Backend("crm")
	if err := crm.Behave("/", "status=503", 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ids := make([]string, 40)
	each(8, len(ids), func(i int) {
		var err error
		if ids[i], err = r.post(ctx, i); err != nil {
			t.Error(err)
		}
	})
	testenv.Eventually(t, 10*time.Second, func() bool {
		return strings.Contains(r.adminSays(t, "/metrics"), `headgate_breaker_state{target="crm"} 2`)
	}, "the breaker is not open")
	if said := r.adminSays(t, "/readyz?verbose"); !strings.Contains(said, "[warning] target crm: breaker open; a probe in ") || strings.Contains(said, "target newsletter") {
		t.Errorf("readyz says\n%s", said)
	}
	if said := r.adminSays(t, "/metrics"); !strings.Contains(said, `headgate_breaker_state{target="newsletter"} 0`) ||
		!strings.Contains(said, `headgate_waits_total{reason="breaker",target="crm"}`) {
		t.Errorf("metrics say\n%s", said)
	}
	crm.ClearBehaviour()
	for _, id := range ids {
		view, err := r.await(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range view.Targets {
			if target.Name == "crm" && target.Value.State != tracking.Succeeded {
				t.Fatalf("%s: crm ended as %s after %d attempts: %s", id, target.Value.State, target.Value.Attempts, target.Value.Message)
			}
		}
	}
	if failures := crm.Stats().ByStatus[503]; failures > 40 {
		t.Errorf("the backend was asked %d times while it failed", failures)
	}
	r.nothingLeft(t)
}
