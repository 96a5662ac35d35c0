package routes

import (
	"reflect"
	"strings"
	"testing"
)

func tableOf(list ...string) *Table {
	t := &Table{}
	for _, m := range list {
		method, pattern, _ := strings.Cut(m, " ")
		t.routes = append(t.routes, &Route{Name: m, Method: method, Pattern: pattern})
	}
	t.methods, t.names = newIndex(t.routes)
	return t
}

func TestMatch(t *testing.T) {
	table := tableOf(
		"POST /profiles/:id", "PUT /profiles/:id", "POST /profiles/new", "GET /profiles", "GET /",
		"POST /a/:x/b", "POST /:y/a/c", "POST /a/:x/:z", "PATCH /a/:q", "POST /v1.2/a_b-c~d@e",
		"DELETE /:a/:b/:c/:d/:e/:f/:g/:h/:i/:j",
	)
	type params = map[string]string
	for _, tc := range []struct {
		method, path string
		want         string
		params       params
		allow        []string
	}{
		{"POST", "/profiles/42", "POST /profiles/:id", params{"id": "42"}, nil},
		{"PUT", "/profiles/42", "PUT /profiles/:id", params{"id": "42"}, nil},
		{"POST", "/profiles/new", "POST /profiles/new", nil, nil},
		{"PUT", "/profiles/new", "PUT /profiles/:id", params{"id": "new"}, nil},
		{"GET", "/profiles", "GET /profiles", nil, nil},
		{"GET", "/", "GET /", nil, nil},
		{"GET", "/profiles/", "", nil, nil},
		{"POST", "/profiles/42/", "", nil, nil},
		{"POST", "/Profiles/42", "", nil, nil},
		{"POST", "/profiles//", "", nil, nil},
		{"POST", "//profiles/42", "", nil, nil},
		{"GET", "", "", nil, nil},
		{"GET", "profiles", "", nil, nil},
		{"get", "/profiles", "", nil, []string{"GET"}},
		{"HEAD", "/profiles", "", nil, []string{"GET"}},
		{"OPTIONS", "/profiles/42", "", nil, []string{"POST", "PUT"}},
		{"GET", "/profiles/42", "", nil, []string{"POST", "PUT"}},
		{"POST", "/v1.2/a_b-c~d@e", "POST /v1.2/a_b-c~d@e", nil, nil},
		{"POST", "/v1.2/a_b%2Dc~d@e", "", nil, nil},
		// Literals win from the left, and a dead end is left again.
		{"POST", "/a/1/b", "POST /a/:x/b", params{"x": "1"}, nil},
		{"POST", "/a/1/2", "POST /a/:x/:z", params{"x": "1", "z": "2"}, nil},
		{"POST", "/a/a/c", "POST /a/:x/:z", params{"x": "a", "z": "c"}, nil},
		{"POST", "/b/a/c", "POST /:y/a/c", params{"y": "b"}, nil},
		{"POST", "/b/a/d", "", nil, nil},
		// Decoded once; what has no place in a value is no match.
		{"POST", "/profiles/a%20b%2Fc%C3%A9+", "POST /profiles/:id", params{"id": "a b/cé+"}, nil},
		{"POST", "/profiles/%2541", "POST /profiles/:id", params{"id": "%41"}, nil},
		{"POST", "/profiles/%00", "", nil, nil},
		{"POST", "/profiles/a%0d%0ab", "", nil, nil},
		{"POST", "/profiles/a%C2%85", "", nil, nil},
		{"POST", "/profiles/%ff", "", nil, nil},
		{"POST", "/profiles/\xff", "", nil, nil},
		{"POST", "/profiles/%zz", "", nil, nil},
		{"POST", "/profiles/%", "", nil, nil},
		{"POST", "/profiles/..", "", nil, nil},
		{"POST", "/profiles/%2e%2E", "", nil, nil},
		{"POST", "/profiles/.", "", nil, nil},
		{"POST", "/profiles/...", "POST /profiles/:id", params{"id": "..."}, nil},
		{"DELETE", "/1/2/3/4/5/6/7/8/9/10", "DELETE /:a/:b/:c/:d/:e/:f/:g/:h/:i/:j", params{"a": "1", "b": "2", "c": "3", "d": "4", "e": "5", "f": "6", "g": "7", "h": "8", "i": "9", "j": "10"}, nil},
	} {
		r, got, allow := table.Match(tc.method, tc.path)
		name := ""
		if r != nil {
			name = r.Name
		}
		if name != tc.want || !reflect.DeepEqual(got, tc.params) || !reflect.DeepEqual(allow, tc.allow) {
			t.Errorf("%s %q: %q %v, allow %v; want %q %v, allow %v", tc.method, tc.path, name, got, allow, tc.want, tc.params, tc.allow)
		}
	}
}

func TestMatchLiteralDoesNotAllocate(t *testing.T) {
	table := tableOf("POST /events", "POST /events/:id", "GET /a/b/c")
	if n := testing.AllocsPerRun(100, func() { table.Match("POST", "/events") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzMatch(f *testing.F) {
	table := tableOf("POST /profiles/:id", "POST /profiles/new", "GET /", "PUT /:a/b/:c", "PUT /:a/:b/c")
	for _, path := range []string{"/", "/profiles/%00", "/profiles/%2f", "/a/b/c", "//", "/a/b/%", "/profiles/é"} {
		f.Add("POST", path)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		r, params, allow := table.Match(method, path)
		if r != nil && (allow != nil || r.Method != method || len(params) != strings.Count(r.Pattern, ":")) {
			t.Fatalf("%s %q: %s %v %v", method, path, r.Name, params, allow)
		}
		for _, v := range params {
			if v == "" || strings.ContainsAny(v, "\x00\r\n") {
				t.Fatalf("%q gives the value %q", path, v)
			}
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	table := tableOf("POST /events", "POST /profiles/:id", "PUT /profiles/:id", "POST /profiles/:id/address")
	for name, path := range map[string]string{"literal": "/events", "param": "/profiles/42", "none": "/nothing"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table.Match("POST", path)
			}
		})
	}
}
