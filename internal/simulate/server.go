package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

// closeGrace is how long Close lets running requests end by themselves. It also cuts short the five
// seconds net/http grants connections on which nothing has been sent yet.
const closeGrace = time.Second

// prefixKey is the context key of the path prefix that a [Server] took off.
type prefixKey struct{}

// backendName is what can stand in a path as it is and is no control path.
var backendName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// Server serves backends on one listener, each under /<name>/.
type Server struct {
	backends map[string]*Backend
	order    []string
	listener net.Listener
	http     *http.Server
	served   chan struct{}
	once     sync.Once
	closeErr error
}

// Quickstart is the set of backends that the demonstration uses: crm answers at once, newsletter and
// marketing are asynchronous vendors, analytics fails twice per key, billing refuses everything.
func Quickstart() []*Backend {
	return []*Backend{
		NewSync("crm"),
		NewSendGrid(SendGridOptions{Name: "newsletter"}),
		NewEloqua(EloquaOptions{Name: "marketing"}),
		NewFlaky("analytics", 2, time.Second),
		NewRejecting("billing"),
	}
}

// Start listens on addr (host:port; port 0 picks one) and serves the backends, or [Quickstart]'s when
// none are given. The server owns them from then on; Close closes them.
func Start(addr string, backends ...*Backend) (*Server, error) {
	if len(backends) == 0 {
		backends = Quickstart()
	}
	s := &Server{backends: map[string]*Backend{}, served: make(chan struct{})}
	for _, b := range backends {
		if !backendName.MatchString(b.name) {
			return nil, fmt.Errorf("start simulators: %q cannot be a backend's name", b.name)
		}
		if s.backends[b.name] != nil {
			return nil, fmt.Errorf("start simulators: two backends are named %q", b.name)
		}
		s.backends[b.name] = b
		s.order = append(s.order, b.name)
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("start simulators: %w", err)
	}
	s.listener = listener
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    1 << 20,
		// No WriteTimeout: hanging and trickling are what this server is for.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() {
		defer close(s.served)
		_ = s.http.Serve(listener) // ends with Close only
	}()
	return s, nil
}

// Names lists the backends in the order given.
func (s *Server) Names() []string { return append([]string(nil), s.order...) }

// Backend gives a backend by name; nil when there is none.
func (s *Server) Backend(name string) *Backend { return s.backends[name] }

// Addr is the address that is listened on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL is the base URL of a backend, without a trailing slash; "" when there is none of that name.
func (s *Server) URL(name string) string {
	if s.backends[name] == nil {
		return ""
	}
	host, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + "/" + name
}

// Close stops listening, releases what hangs and waits for everything to end, at the longest a second
// or until ctx ends; then connections are cut. It can be called again and gives the same answer.
func (s *Server) Close(ctx context.Context) error {
	s.once.Do(func() {
		for _, b := range s.backends {
			b.cancel()
		}
		grace, cancel := context.WithTimeout(ctx, closeGrace)
		defer cancel()
		err := s.http.Shutdown(grace)
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			err = s.http.Close()
		}
		if err != nil {
			s.closeErr = fmt.Errorf("close simulators: %w", err)
		}
		<-s.served
		for _, b := range s.backends {
			b.Close()
		}
	})
	return s.closeErr
}

// ServeHTTP hands a request to the backend named by the first segment of its path.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if name == "" {
		urls := map[string]string{}
		for _, n := range s.order {
			urls[n] = "http://" + r.Host + "/" + n
		}
		writeJSON(w, http.StatusOK, map[string]any{"backends": urls})
		return
	}
	b := s.backends[name]
	if b == nil {
		writeError(w, http.StatusNotFound, "no_backend", fmt.Sprintf("no backend %q; there are %s", name, strings.Join(s.order, ", ")))
		return
	}
	prefix := "/" + name
	inner := r.WithContext(context.WithValue(r.Context(), prefixKey{}, prefix))
	inner.URL = new(url.URL)
	*inner.URL = *r.URL
	inner.URL.Path = rooted(strings.TrimPrefix(r.URL.Path, prefix))
	if raw, ok := strings.CutPrefix(r.URL.RawPath, prefix); ok {
		inner.URL.RawPath = rooted(raw)
	} else {
		inner.URL.RawPath = ""
	}
	b.ServeHTTP(w, inner)
}

func rooted(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// baseURL is how the client reached the backend: vendors answer absolute URLs.
func baseURL(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	prefix, _ := r.Context().Value(prefixKey{}).(string)
	return scheme + "://" + r.Host + prefix
}
