package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// call is one request to the admin API.
type call struct {
	w    http.ResponseWriter
	r    *http.Request
	args []string // what stands for the segments in braces, in their order
	// told is what the audit line of a change says besides method and path, as key and value.
	told []any
	// last is done after the audit line; may be nil.
	last func()
}

// endpoint is one call of the API. What is not here is not served.
type endpoint struct {
	method string
	path   string // a segment in braces stands for any one: /targets/{name}
	serve  func(c *call)
}

// endpoints lists the API: what openapi.yaml describes. What an operator has not switched
// on is not there.
func (s *Server) endpoints() []endpoint {
	out := []endpoint{{http.MethodGet, "/openapi.json", serveOpenAPI}}
	if s.o.Metrics != nil {
		out = append(out, endpoint{http.MethodGet, "/metrics", func(c *call) { s.o.Metrics.ServeHTTP(c.w, c.r) }})
	}
	for _, more := range []struct {
		there bool
		list  []endpoint
	}{
		{s.o.DeadLetters != nil, s.letterEndpoints()},
		{s.o.Targets != nil, s.targetEndpoints()},
		{s.o.Dispatches != nil, s.dispatchEndpoints()},
		{s.o.Config != nil, s.configEndpoints()},
		{s.o.Reload != nil, s.reloadEndpoints()},
		{s.o.Level != nil, s.levelEndpoints()},
	} {
		if more.there {
			out = append(out, more.list...)
		}
	}
	return out
}

// route finds the endpoint of a request by the exact bytes of its path; then the methods
// that the path takes, in the order of the list, for who asked with another one.
func route(all []endpoint, method, path string) (found *endpoint, args, allow []string) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for i, e := range all {
		values, ok := match(e.path, path)
		if !ok {
			continue
		}
		if e.method == method {
			return &all[i], values, nil
		}
		if e.method == http.MethodGet {
			allow = append(allow, http.MethodGet, http.MethodHead)
		} else if !slices.Contains(allow, e.method) {
			allow = append(allow, e.method)
		}
	}
	return nil, nil, allow
}

// match compares a path with a pattern, segment by segment, and gives what stands for those
// in braces.
func match(pattern, path string) (args []string, ok bool) {
	for pattern != "" && path != "" {
		var want, got string
		want, pattern = segment(pattern)
		got, path = segment(path)
		if !strings.HasPrefix(want, "/{") {
			if got != want {
				return nil, false
			}
			continue
		}
		value, err := url.PathUnescape(strings.TrimPrefix(got, "/"))
		if err != nil || value == "" {
			return nil, false
		}
		args = append(args, strings.Clone(value))
	}
	return args, pattern == "" && path == ""
}

// segment cuts the first segment off, its slash included.
func segment(path string) (first, rest string) {
	if i := strings.IndexByte(path[1:], '/'); i >= 0 {
		return path[:i+1], path[i+1:]
	}
	return path, ""
}

// serveAPI answers what is of the API; false when path is not.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request, path string) bool {
	found, args, allow := route(s.api, r.Method, path)
	if found == nil && allow == nil {
		return false
	}
	if found == nil {
		notAllowed(w, allow)
		return true
	}
	c := &call{w: w, r: r, args: args}
	if found.method == http.MethodGet {
		found.serve(c)
		return true
	}
	s.audited(c, path, found.serve)
	return true
}

func notAllowed(w http.ResponseWriter, allow []string) {
	list := strings.Join(allow, ", ")
	w.Header().Set("Allow", list)
	writeProblem(w, problem(http.StatusMethodNotAllowed, "method-not-allowed", "Method not allowed", "This takes "+list+"."))
}
