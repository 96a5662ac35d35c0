package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestWrongListener: who asks at another address than the admin listener's is told so.
func TestWrongListener(t *testing.T) {
	clients := listen(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"type":"urn:headgate:problem:not-found","title":"Not found","status":404,"detail":"No route has this path."}`)
	})
	for _, command := range [][]string{{"targets"}, {"reload"}, {"config", "show"}} {
		_, _, err := clients.command(t.Context(), command...)
		if err == nil || !strings.Contains(err.Error(), "the listener for clients") || !strings.Contains(err.Error(), "--url") {
			t.Errorf("%v at the listener for clients: %v", command, err)
		}
	}
	for _, at := range []string{"127.0.0.1:9090", "localhost:9090", "admin", "http://"} {
		if _, _, err := (&listener{Server: &httptest.Server{URL: at}}).command(t.Context(), "targets"); err == nil || !strings.Contains(err.Error(), "write --url http://HOST:PORT") {
			t.Errorf("--url %s: %v", at, err)
		}
	}
}

// TestTokenOfEcho: the newline that a token was written with is no part of it.
func TestTokenOfEcho(t *testing.T) {
	admin := listen(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"level":"info"}`) })
	for variable, flag := range map[string][]string{"secret\n": nil, "": {"--token", "secret\r\n"}} {
		t.Setenv("HEADGATE_ADMIN_TOKEN", variable)
		root := newRoot()
		root.SetOut(io.Discard)
		root.SetArgs(append([]string{"loglevel", "--url", admin.URL}, flag...))
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Errorf("%q %q: %v", variable, flag, err)
		}
	}
}
