package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"headgate/dispatch/tracking"
	"headgate/internal/simulate"
)

// descriptions has the operations that recipes use, as their vendors describe them. For what
// may not be copied, OPENAPI names a folder; see the README there.
const descriptions = "../../recipes/testdata/openapi"

// Every call that a recipe makes for the records of its use that are in order is one that the vendor's own
// OpenAPI description allows. The simulators are ours and could share a mistake.
func TestRecipesKeepToDescriptions(t *testing.T) {
	setVendorSecrets(t)
	for _, name := range slices.Sorted(maps.Keys(uses())) {
		t.Run(name, func(t *testing.T) {
			vendor := describedBy(t, name)
			right := func() use {
				u := uses()[name]
				maps.DeleteFunc(u.records, func(_ string, end tracking.State) bool { return end == tracking.Rejected })
				return u
			}
			run := crashedAt(t, crashPlan(t, name, right()), 0, right)
			for _, call := range run.all {
				if err := vendor.check(call, call.Body); err != nil {
					t.Errorf("%s %s\n%s\n%v", call.Method, call.Path, call.Body, err)
				}
				if len(call.Body) > 0 && vendor.check(call, []byte("7")) == nil {
					t.Errorf("%s %s: the description allows anything", call.Method, call.Path)
				}
			}
			t.Logf("%d calls", len(run.all))
		})
	}
}

// description is what a vendor says of its API.
type description struct {
	router routers.Router
	base   string // path of its server
}

func describedBy(t *testing.T, name string) *description {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(descriptions, name+".json"))
	if other := os.Getenv("OPENAPI"); errors.Is(err, fs.ErrNotExist) && other != "" {
		text, err = os.ReadFile(filepath.Join(other, name+".json"))
	}
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("there is no description of this vendor that may be kept here; see recipes/testdata/openapi/README.md")
	}
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	out := &description{}
	if len(doc.Servers) > 0 {
		server, err := url.Parse(doc.Servers[0].URL)
		if err != nil {
			t.Fatal(err)
		}
		out.base = strings.TrimRight(server.Path, "/")
	}
	doc.Servers = nil
	if out.router, err = legacy.NewRouter(doc); err != nil {
		t.Fatal(err)
	}
	return out
}

// check says what the description has against a call with a body.
func (d *description) check(call simulate.Request, body []byte) error {
	header := call.Header.Clone()
	if header.Get("Content-Type") == "application/x-ndjson" {
		list, err := listed(body)
		if err != nil {
			return err
		}
		body = list
		header.Set("Content-Type", "application/json")
	}
	r, err := http.NewRequest(call.Method, strings.TrimPrefix(call.Path, d.base)+"?"+call.Query, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header = header
	route, params, err := d.router.FindRoute(r)
	if err != nil {
		return err
	}
	return openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	})
}

// listed gives lines of JSON as a list: OpenAPI has no word for them, and the description of
// bulk calls that take them says so.
func listed(lines []byte) ([]byte, error) {
	out := []json.RawMessage{}
	for dec := json.NewDecoder(bytes.NewReader(lines)); ; {
		var line json.RawMessage
		if err := dec.Decode(&line); errors.Is(err, io.EOF) {
			return json.Marshal(out)
		} else if err != nil {
			return nil, err
		}
		out = append(out, line)
	}
}
