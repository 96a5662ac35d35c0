package check

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// spans are those that came in where Jaeger would be.
type spans struct {
	sync.Mutex
	text strings.Builder
}

// standInForJaeger takes OTLP over HTTP at the address of the service jaeger.
func (p *project) standInForJaeger(t *testing.T) *spans {
	t.Helper()
	got := &spans{}
	p.network.names["jaeger"] = p.network.gateway()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Content-Type") != "application/x-protobuf" {
			http.Error(w, "not OTLP", http.StatusBadRequest)
			return
		}
		got.Lock()
		defer got.Unlock()
		got.text.Write(body)
	})
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", p.network.gateway().String()+":4318")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return got
}

// expect waits for spans of a trace from gateway and worker.
func (s *spans) expect(t *testing.T, trace string) {
	t.Helper()
	id, err := hex.DecodeString(trace)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "spans of the request arrive", func() error {
		s.Lock()
		defer s.Unlock()
		if n := strings.Count(s.text.String(), string(id)); n < 3 {
			return fmt.Errorf("%d spans of the request so far", n)
		}
		return nil
	})
}

// sendRequest does what the README says, and gives the request's trace.
func (p *project) sendRequest(t *testing.T) (trace string) {
	t.Helper()
	trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	token, err := p.running["gateway"].exec(t, "/headgate", "token", "-c", "/etc/headgate/headgate.yaml", "--sub", "alice", "--claim", "org=acme", "--scope", "profiles:write")
	if err != nil {
		t.Fatalf("token: %v\n%s", err, token)
	}
	profile, err := os.ReadFile(root + "/examples/quickstart/profile.json")
	if err != nil {
		t.Fatal(err)
	}
	accepted := p.do(t, http.MethodPost, "http://gateway:8080/profiles/42", string(profile), map[string]string{
		"Authorization": "Bearer " + token, "Content-Type": "application/json", "traceparent": "00-" + trace + "-00f067aa0ba902b7-01",
	})
	if accepted.status != http.StatusAccepted {
		t.Fatalf("POST: %+v", accepted)
	}
	var seen answer
	var dispatch struct{ Status string }
	eventually(t, "the dispatch is final", func() error {
		seen = p.do(t, http.MethodGet, "http://gateway:8080"+accepted.location, "", map[string]string{"Authorization": "Bearer " + token, "Prefer": "wait=20"})
		if err := json.Unmarshal([]byte(seen.body), &dispatch); err != nil {
			return err
		}
		if dispatch.Status == "in_progress" {
			return errors.New(seen.body)
		}
		return nil
	})
	if dispatch.Status != "succeeded" {
		t.Errorf("the dispatch ended otherwise than in the demo: %s", seen.body)
	}
	return trace
}

// checkRights: the process is what the file says, not root.
func (p *project) checkRights(t *testing.T, name string) {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d/", p.running[name].cmd.Process.Pid)
	status := read(t, proc+"status")
	for _, want := range []string{"\nUid:\t65532\t65532\t65532\t65532\n", "\nCapEff:\t0000000000000000\n", "\nCapBnd:\t0000000000000000\n", "\nNoNewPrivs:\t1\n"} {
		if !strings.Contains(status, want) {
			t.Errorf("%s lacks %q:\n%s", name, want, status)
		}
	}
	for line := range strings.Lines(read(t, proc+"mountinfo")) {
		if f := strings.Fields(line); f[4] == "/" && !strings.HasPrefix(f[5], "ro,") {
			t.Errorf("%s may write to its root: %s", name, line)
		}
	}
}

// checkPrometheus: it finds both processes, and may read them.
func (p *project) checkPrometheus(t *testing.T) {
	t.Helper()
	if p.running["prometheus"] == nil {
		return
	}
	eventually(t, "prometheus reads gateway and worker", func() error {
		got := p.do(t, http.MethodGet, "http://prometheus:9090/api/v1/query?query="+url.QueryEscape(`count(up{job="headgate"} == 1)`), "", nil)
		if got.status != http.StatusOK || !strings.Contains(got.body, `,"2"]`) {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
}

// checkHealth: without Redis the gateway says that it is not ready, and goes on living.
func (p *project) checkHealth(t *testing.T) {
	t.Helper()
	p.stop(t, "redis")
	eventually(t, "the gateway is not ready without Redis", func() error {
		if err := p.health(t, "gateway"); err == nil {
			return errors.New("its healthcheck succeeds")
		}
		return nil
	})
	if out, err := p.running["gateway"].exec(t, p.image.Health[1:]...); err != nil {
		t.Errorf("the image's healthcheck fails although the process lives: %v\n%s", err, out)
	}
}

// stop ends a service as docker compose stop does.
func (p *project) stop(t *testing.T, name string) {
	t.Helper()
	grace := 10 * time.Second
	if own := p.Services[name].StopGracePeriod; own != nil {
		grace = time.Duration(*own)
	}
	r := p.running[name]
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("stop %s: %v", name, err)
	}
	select {
	case err := <-r.ends:
		if err != nil {
			t.Errorf("%s ended with %v", name, err)
		}
	case <-time.After(grace):
		t.Errorf("%s had not ended after %s", name, grace)
	}
	delete(p.running, name)
}
