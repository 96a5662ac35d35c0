package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// folder is a row of the import table: which packages of this module the package in a
// folder may import. "x/..." is x and everything below it; the first row that matches a
// folder counts, so the narrow ones stand first.
type folder struct {
	in  string
	may []string
	why string
}

// anything lets a row import the whole module.
const anything = "..."

var importTable = []folder{
	{".", []string{"internal/cli"}, "main hands over to the command line and does nothing else"},
	{"config/...", []string{"config/..."}, "configuration knows no part that it configures"},
	{"internal/failpoint", nil, "it is empty in the product"},
	{"dispatch/...", []string{"config/...", "dispatch/...", "internal/failpoint"}, "dispatch knows neither HTTP server, nor policies, nor storage"},
	{"policies/body", []string{"config/...", "policies", "policies/schema"}, "the body is decoded once, and checked by the schema there"},
	{"policies", []string{"config/..."}, "what a policy is does not depend on any one policy"},
	{"policies/...", []string{"config/...", "policies"}, "a policy stands alone: no sibling, no target, no route"},
	{"recipes", []string{"config/..."}, "a recipe is a tree with parameters: what its keys mean is known where targets are compiled"},
	{"routes/...", []string{"config/...", "dispatch/...", "policies", "recipes", "routes/..."}, "routes knows policies, targets and recipes, and names no single one"},
	{"gateway/...", []string{"config/...", "dispatch/...", "gateway/...", "internal/obs/...", "policies", "routes"}, "the gateway reaches storage and queue through interfaces only"},
	{"internal/queue/...", []string{"config/...", "dispatch/...", "internal/obs/...", "internal/queue/..."}, "the queue carries deliveries and knows no HTTP"},
	{"internal/flow/...", []string{"config/...", "dispatch/...", "internal/flow/..."}, "what holds targets back knows neither queue nor Redis"},
	{"internal/redisstore/...", []string{"config/...", "dispatch/...", "internal/flow", "internal/redisstore/..."}, "the store implements interfaces that are declared elsewhere"},
	{"internal/obs/...", []string{"config/...", "dispatch/...", "internal/obs/..."}, "what is observed does not depend on who serves it"},
	{"internal/simulate/...", []string{"config/...", "dispatch/...", "internal/simulate/..."}, "simulated backends do not know the gateway"},
	{"internal/embedded/...", []string{"config/...", "internal/embedded/..."}, "the private Redis is a process and nothing more"},
	{"internal/watch", nil, "whether files have changed does not depend on what they mean"},
	{"internal/testenv", nil, "every package's tests can use it only if it uses none"},
	{"internal/app/...", []string{"config/...", "dispatch/...", "gateway/...", "internal/app/...", "internal/embedded/...", "internal/flow/...", "internal/obs/...", "internal/queue/...", "internal/redisstore/...", "internal/simulate/...", "internal/watch", "policies/...", "routes/..."}, "the wiring may use all but the command line"},
	{"chaos/ledger", nil, "who judges knows nobody"},
	{"chaos/load", []string{"chaos/ledger"}, "clients know the contract and nothing else of the product"},
	{"chaos/world", []string{"chaos/ledger", "internal/simulate"}, "what is put to the test runs in processes of its own"},
	{"bench", []string{"chaos/world"}, "what is measured runs in processes of its own"},
	{"chaos", []string{"chaos/..."}, "faults come from outside; only processes, networks and Redis are touched"},
	{"internal/routetests", []string{"config/...", "dispatch/...", "gateway", "policies", "routes"}, "what routes and targets do is shown without server, store and queue"},
	{"internal/cli/...", []string{anything}, "commands may use everything"},
}

// testsMay is what the tests of every folder may import besides the packages that are
// made for tests.
var testsMay = []string{"dispatch/tracking/memory", "examples/quickstart"}

// forTests reports whether a folder holds what only tests use: a conformance suite, a
// fixture. Its files count as tests.
func forTests(folder string) bool {
	return folder == "internal/testenv" || strings.HasSuffix(folder, "test")
}

// owner is a row for a module from outside, or a package of the standard library: the
// folders that may import it.
type owner struct {
	module string
	in     []string
	tests  bool // the tests of all folders may, too
	why    string
}

var ownerTable = []owner{
	{"github.com/gofiber/fiber", []string{"bench", "gateway/..."}, false, "only the gateway knows Fiber: its values change once a handler has returned; baselines of bench are built with it"},
	{"github.com/valyala/fasthttp", []string{"bench", "gateway/..."}, false, "it comes with Fiber"},
	{"github.com/hibiken/asynq", []string{"bench", "chaos", "internal/queue/..."}, false, "only the queue knows asynq; chaos deletes tasks the way its dashboard does, a baseline of bench uses nothing else"},
	{"github.com/hibiken/asynqmon", []string{"gateway/admin", "internal/queue/..."}, false, "the dashboard is on the admin listener and needs the queue's connection"},
	{"github.com/redis/go-redis", []string{"bench", "chaos/...", "internal/app/...", "internal/embedded", "internal/queue/...", "internal/redisstore/...", "internal/testenv"}, false, "all keys and scripts are in one place"},
	{"github.com/alicebob/miniredis", []string{"internal/embedded"}, true, "the emulation is for the demo and for tests"},
	{"github.com/ulule/limiter", []string{"internal/app/...", "internal/redisstore/...", "policies/ratelimit"}, false, "policies count through the function they are given"},
	{"github.com/itchyny/gojq", []string{"dispatch/transform/..."}, false, "one package bounds what expressions may do"},
	{"github.com/golang-jwt/jwt", []string{"bench", "dispatch/target", "policies/jwt"}, true, "tokens are checked in one place; targets sign assertions, bench signs some"},
	{"github.com/aws/aws-sdk-go-v2", []string{"dispatch/target"}, true, "only calls to targets are signed"},
	{"github.com/MicahParks/keyfunc", []string{"policies/jwt"}, false, "keys are fetched in one place"},
	{"github.com/failsafe-go/failsafe-go", []string{"internal/flow"}, false, "there is one breaker for each target"},
	{"github.com/spf13/cobra", []string{"internal/cli/..."}, false, "only the command line has flags"},
	{"github.com/fsnotify/fsnotify", []string{"internal/watch"}, false, "there is one watcher"},
	{"github.com/Shopify/toxiproxy", []string{"chaos/world"}, false, "it is no part of the product"},
	{"github.com/rs/zerolog", []string{"chaos/world"}, false, "it comes with toxiproxy; the product logs with log/slog"},
	{"github.com/getkin/kin-openapi", nil, true, "it is for tests"},
	{"go.opentelemetry.io/otel", []string{"internal/obs"}, false, "what a span may say stands in dispatch/trace; who it is told to is known in one place"},
	{"go.opentelemetry.io/proto/otlp", nil, true, "it is for tests: what was exported is read there"},
	{"go.uber.org/goleak", nil, true, "it is for tests"},
	{"pgregory.net/rapid", nil, true, "it is for tests"},
	{"testing", nil, true, "it is for tests"},
}

// exception is an import that the tables forbid and that is right all the same.
type exception struct {
	in, imports string
	testsOnly   bool
	why         string
}

var exceptions = []exception{}

// goFile is a Go file of this module with what it imports.
type goFile struct {
	path    string // slash-separated, from the root
	test    bool   // a test, or in a folder made for tests
	imports []string
}

func newFile(p string) goFile {
	return goFile{path: p, test: strings.HasSuffix(p, "_test.go") || forTests(path.Dir(p))}
}

func (f goFile) folder() string { return path.Dir(f.path) }

// skipped are folders whose content is made, fetched or not ours.
var skipped = []string{".git", ".tools", "bin", "data", "dist", "node_modules", "testdata", "vendor"}

// walk calls see for every file of the module, nested modules left out.
func walk(t *testing.T, see func(path string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.Type().IsRegular():
			see(filepath.ToSlash(p))
		case d.IsDir() && p != ".":
			_, nested := os.Stat(filepath.Join(p, "go.mod"))
			if nested == nil || slices.Contains(skipped, d.Name()) {
				return fs.SkipDir
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func parseAll(t *testing.T) []goFile {
	t.Helper()
	var files []goFile
	walk(t, func(p string) {
		if !strings.HasSuffix(p, ".go") {
			return
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
		if err != nil {
			t.Errorf("%v", err)
			return
		}
		f := newFile(p)
		for _, spec := range parsed.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Errorf("%s: import %s: %v", p, spec.Path.Value, err)
			}
			f.imports = append(f.imports, name)
		}
		files = append(files, f)
	})
	if len(files) == 0 {
		t.Fatal("no Go files found")
	}
	return files
}

// matches reports whether the folder is one of the patterns.
func matches(folder string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if p == anything {
			return true
		}
		if root, below := strings.CutSuffix(p, "/..."); below {
			return folder == root || strings.HasPrefix(folder, root+"/")
		}
		return folder == p
	})
}

// ofModule reports whether an import path belongs to a module or package, whatever its
// major version: but asynqmon is not asynq.
func ofModule(imported, module string) bool {
	return imported == module || strings.HasPrefix(imported, module+"/")
}

// violation says why a file may not import a package; empty: it may.
func violation(f goFile, imported string) string {
	in := f.folder()
	if slices.ContainsFunc(exceptions, func(e exception) bool {
		return e.in == in && e.imports == imported && (f.test || !e.testsOnly)
	}) {
		return ""
	}
	if own, ours := strings.CutPrefix(imported, "headgate/"); ours {
		return ownViolation(f, own)
	}
	for _, o := range ownerTable {
		if ofModule(imported, o.module) && !matches(in, o.in) && (!f.test || !o.tests) {
			who := append(slices.Clone(o.in), "tests")
			if !o.tests {
				who = o.in
			}
			return "only " + strings.Join(who, ", ") + " may: " + o.why
		}
	}
	return ""
}

func ownViolation(f goFile, own string) string {
	in := f.folder()
	switch {
	case f.test && (own == in || forTests(own) && in != "internal/testenv" || matches(own, testsMay)):
		return ""
	case !f.test && forTests(own):
		return "only tests may: it is made for them"
	}
	i := slices.IndexFunc(importTable, func(row folder) bool { return matches(in, []string{row.in}) })
	if i < 0 {
		return "the folder has no row in importTable of arch_test.go; give it one"
	}
	row := importTable[i]
	if matches(own, row.may) {
		return ""
	}
	if len(row.may) == 0 {
		return row.in + " may import nothing of this module: " + row.why
	}
	return row.in + " may import only " + strings.Join(row.may, ", ") + ": " + row.why
}

func TestImports(t *testing.T) {
	for _, f := range parseAll(t) {
		for _, imported := range f.imports {
			if rule := violation(f, imported); rule != "" {
				t.Errorf("%s imports %s, but %s", f.path, imported, rule)
			}
		}
	}
}

func TestExceptionsAreNeeded(t *testing.T) {
	files := parseAll(t)
	for _, e := range exceptions {
		if e.why == "" {
			t.Errorf("the exception for %s in %s has no reason", e.imports, e.in)
		}
		if !slices.ContainsFunc(files, func(f goFile) bool {
			return f.folder() == e.in && slices.Contains(f.imports, e.imports)
		}) {
			t.Errorf("no file in %s imports %s any more; take the exception out", e.in, e.imports)
		}
	}
}

// TestImportTableForbids holds the tables themselves: a row that got too wide fails here.
func TestImportTableForbids(t *testing.T) {
	cases := []struct{ file, imported string }{
		{"dispatch/runner.go", "headgate/policies"},
		{"dispatch/runner.go", "headgate/internal/obs"},
		{"dispatch/tracking/x.go", "github.com/redis/go-redis/v9"},
		{"dispatch/runner_test.go", "headgate/gateway"},
		{"policies/jwt/x_test.go", "headgate/dispatch"},
		{"policies/jwt/x.go", "headgate/policies/policytest"},
		{"dispatch/target/x.go", "github.com/itchyny/gojq"},
		{"dispatch/target/x.go", "headgate/recipes"},
		{"recipes/x.go", "headgate/dispatch/target"},
		{"policies/jwt/jwt.go", "headgate/policies/apikey"},
		{"policies/schema/x.go", "headgate/policies/body"},
		{"policies/ratelimit/x.go", "headgate/dispatch"},
		{"policies/ratelimit/x.go", "github.com/redis/go-redis/v9"},
		{"policies/x.go", "headgate/policies/jwt"},
		{"routes/x.go", "headgate/policies/jwt"},
		{"routes/x.go", "github.com/gofiber/fiber/v2"},
		{"gateway/x.go", "headgate/internal/redisstore"},
		{"gateway/admin/x.go", "headgate/internal/queue"},
		{"gateway/x.go", "github.com/hibiken/asynq"},
		{"gateway/x.go", "github.com/hibiken/asynqmon"},
		{"internal/queue/x.go", "github.com/gofiber/fiber/v2/middleware/adaptor"},
		{"internal/queue/x.go", "headgate/internal/redisstore"},
		{"internal/redisstore/x.go", "github.com/hibiken/asynq"},
		{"internal/redisstore/x.go", "headgate/internal/testenv"},
		{"internal/testenv/x.go", "headgate/config/unit"},
		{"internal/app/x.go", "headgate/internal/cli"},
		{"internal/routetests/x.go", "headgate/internal/app"},
		{"config/unit/x.go", "headgate/dispatch/fault"},
		{"config/unit/x.go", "testing"},
		{"dispatch/tracking/memory/x.go", "headgate/dispatch/tracking/trackingtest"},
		{"internal/testenv/x.go", "headgate/policies/policytest"},
		{"main.go", "headgate/internal/app"},
		{"elsewhere/x.go", "headgate/config/unit"},
		{"internal/app/x.go", "github.com/Shopify/toxiproxy/v2"},
		{"internal/app/x.go", "headgate/chaos/world"},
		{"chaos/x.go", "headgate/internal/app"},
		{"dispatch/runner.go", "go.opentelemetry.io/otel/trace"},
		{"gateway/x.go", "go.opentelemetry.io/otel/attribute"},
		{"internal/app/x_test.go", "go.opentelemetry.io/otel/sdk/trace"},
		{"internal/obs/x.go", "go.opentelemetry.io/proto/otlp/trace/v1"},
		{"chaos/load/x.go", "headgate/gateway"},
	}
	for _, c := range cases {
		f := newFile(c.file)
		if violation(f, c.imported) == "" {
			t.Errorf("the tables let %s import %s", c.file, c.imported)
		}
	}
}

func TestImportTableAllows(t *testing.T) {
	cases := []struct{ file, imported string }{
		{"main.go", "headgate/internal/cli"},
		{"policies/body/x.go", "headgate/policies/schema"},
		{"policies/ratelimit/x_test.go", "headgate/internal/testenv"},
		{"internal/queue/x.go", "github.com/hibiken/asynq"},
		{"internal/obs/x.go", "go.opentelemetry.io/otel/sdk/trace"},
		{"internal/app/x_test.go", "go.opentelemetry.io/proto/otlp/trace/v1"},
		{"gateway/admin/x.go", "github.com/hibiken/asynqmon"},
		{"gateway/x.go", "github.com/gofiber/fiber/v2/middleware/adaptor"},
		{"dispatch/x_test.go", "testing"},
		{"dispatch/tracking/trackingtest/x.go", "testing"},
		{"policies/jwt/x_test.go", "headgate/policies/policytest"},
		{"internal/cli/x.go", "headgate/internal/app"},
	}
	for _, c := range cases {
		f := newFile(c.file)
		if rule := violation(f, c.imported); rule != "" {
			t.Errorf("the tables keep %s from importing %s: %s", c.file, c.imported, rule)
		}
	}
}
