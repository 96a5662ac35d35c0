package app_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"headgate/internal/testenv"
)

// TestDrainRefusesNothing: a process that is to end says so at /readyz, and goes on taking
// requests; who waits for the end of a dispatch is answered when it stops.
func TestDrainRefusesNothing(t *testing.T) {
	backend := newPatient(t)
	r := newRig(t, nil)
	r.rewrite(t, "headgate.yaml", func(s string) string { return s + "\nlimits: {drain: 1h, shutdown: 3s}\n" })
	r.start(t)
	r.routes(t, map[string]string{"slow": " {url: " + backend.url + ", post: /hang, limits: {timeout: 60s}}"})
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.token = r.sign(t, "alice", "acme")
	id := r.submit(t, "/slow")
	waited := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, "http://"+r.Addr()+"/tracking/"+id, nil)
		if err != nil {
			waited <- err
			return
		}
		req.Header.Set("Authorization", "Bearer "+r.token)
		req.Header.Set("Prefer", "wait=30")
		resp, err := r.client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK || !resp.Close {
				err = errors.New("the wait ended with " + resp.Status)
			}
		}
		waited <- err
	}()
	testenv.Eventually(t, 20*time.Second, func() bool { return backend.count("/hang") == 1 }, "the backend is not called")

	ctx, urgent := context.WithCancel(t.Context())
	drained := make(chan struct{})
	go func() { defer close(drained); r.Drain(ctx) }()
	testenv.Eventually(t, 20*time.Second, func() bool {
		resp, err := r.open(t.Context(), http.MethodGet, "/readyz", "")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusServiceUnavailable
	}, "it is still ready")
	for range 3 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.Addr()+"/slow", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+r.token)
		req.Header.Set("Content-Type", "application/json")
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted || !resp.Close {
			t.Errorf("while draining: %s, closes %t", resp.Status, resp.Close)
		}
	}
	select {
	case err := <-waited:
		t.Errorf("the wait ended before the stop: %v", err)
	default:
	}
	urgent() // a second signal
	<-drained
	stopped := make(chan error, 1)
	go func() { stopped <- r.Stop(context.WithoutCancel(t.Context())) }()
	if err := <-waited; err != nil {
		t.Error(err)
	}
	backend.release()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
