package cli

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHealth(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Errorf("%s with a token", r.URL.Path)
		}
		if r.URL.Path == "/readyz" {
			w.WriteHeader(status)
			if status != http.StatusOK {
				fmt.Fprint(w, `{"type":"urn:headgate:problem:not-ready","title":"Not ready","status":503,"detail":"1 of 4 checks failed."}`)
			}
		}
	}))
	defer server.Close()
	t.Setenv("HEADGATE_ADMIN_TOKEN", "not-needed")
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "headgate.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	health := func(args ...string) (string, error) {
		root := newRoot()
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetArgs(append([]string{"health"}, args...))
		err := root.ExecuteContext(t.Context())
		return out.String(), err
	}
	for _, text := range []string{
		"admin: {listen: \"0.0.0.0:" + port + "\", token: {env: T}}", "admin: {listen: \":" + port + "\", token: {env: T}}",
		"admin: {listen: \"127.0.0.1:" + port + "\", token: {env: T}}",
		"admin: {listen: \"127.0.0.1:" + port + "\"}\nnonsense: 1\n", // an edit that a running process refuses
	} {
		write(text)
		if out, err := health("-c", file); out != "alive\n" || err != nil {
			t.Errorf("%s: %q, %v", text, out, err)
		}
	}
	if out, err := health("--url", server.URL, "--ready"); out != "ready\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	status = http.StatusServiceUnavailable
	if out, err := health("--url", server.URL, "--ready"); out != "" || err == nil || !strings.Contains(err.Error(), "1 of 4 checks failed") {
		t.Errorf("not ready: %q, %v", out, err)
	}
	if out, err := health("--url", server.URL); out != "alive\n" || err != nil {
		t.Errorf("not ready is not dead: %q, %v", out, err)
	}
	for text, want := range map[string]string{
		"admin: {listen: off}": "no admin listener", "admin: {listen: \"127.0.0.1:0\"}": "any free port: give --url", "admin: {listen: nowhere}": "no address: give --url",
	} {
		write(text)
		if _, err := health("-c", file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if _, err := health("-c", file+"x"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no file: %v", err)
	}
	// One that takes the connection and says nothing.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if _, err := health("--url", "http://"+silent.Addr().String(), "--timeout", "50ms"); err == nil || !strings.Contains(err.Error(), "does not answer at http://"+silent.Addr().String()) {
		t.Errorf("silent: %v", err)
	}
}

func TestAdminURL(t *testing.T) {
	file := filepath.Join(t.TempDir(), "headgate.yaml")
	for listen, want := range map[string]string{
		"[::]:9091": "http://[::1]:9091", "[::1]:9092": "http://[::1]:9092", "0.0.0.0:9093": "http://127.0.0.1:9093", "ops.example.com:80": "http://ops.example.com:80", "10.1.2.3:9090": "http://10.1.2.3:9090",
	} {
		if err := os.WriteFile(file, []byte("admin: {listen: \""+listen+"\", token: {env: T}}"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := adminURL(file); got != want || err != nil {
			t.Errorf("%s: %s, %v, want %s", listen, got, err, want)
		}
	}
	if got, err := adminURL(file + "x"); got != "http://127.0.0.1:9090" || err != nil {
		t.Errorf("without a file: %s, %v", got, err)
	}
}
