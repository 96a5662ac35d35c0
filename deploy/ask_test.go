package deploy

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// asGrafana puts values in for Grafana's variables: all installations, and one target.
func asGrafana(expr, target string) string {
	return strings.NewReplacer(
		"$__rate_interval", "1m", "$__range", "1h", "$job", ".*", "$target", target,
	).Replace(expr)
}

// TestQueriesParse has promtool parse what the dashboards ask, as rules of a file made for that.
// scripts/alerts-check.sh sets PROMTOOL.
func TestQueriesParse(t *testing.T) {
	promtool := os.Getenv("PROMTOOL")
	if promtool == "" {
		t.Skip("PROMTOOL is not set: scripts/alerts-check.sh runs this")
	}
	type recorded struct{ Record, Expr string }
	type group struct {
		Name  string
		Rules []recorded
	}
	all := queries(t)
	var made []recorded
	name := func(i int) string { return "query_" + strconv.Itoa(i) }
	for i, q := range all {
		expr := asGrafana(q.expr, "crm")
		if strings.Contains(expr, "$") {
			t.Errorf("%v: a variable of it is not known here", q)
		}
		made = append(made, recorded{name(i), expr})
	}
	data, err := yaml.Marshal(map[string][]group{"groups": {{"dashboards", made}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", file).CombinedOutput()
	if err == nil {
		return
	}
	t.Errorf("promtool: %v\n%s", err, out)
	for i, q := range all {
		if strings.Contains(string(out), `"`+name(i)+`"`) {
			t.Errorf("%s is %v", name(i), q)
		}
	}
}

// TestQueriesHaveData asks a running Prometheus everything that the dashboards ask, and says what has no
// answer. PROMETHEUS_URL is its address, PROMETHEUS_TARGET the target to look at. An answer without series is
// an error for what each installation has, and is only told for what depends on what has happened.
func TestQueriesHaveData(t *testing.T) {
	base, target := os.Getenv("PROMETHEUS_URL"), os.Getenv("PROMETHEUS_TARGET")
	if base == "" || target == "" {
		t.Skip("PROMETHEUS_URL and PROMETHEUS_TARGET are not set: there is no Prometheus to ask")
	}
	known := vocabulary(t)
	for _, q := range queries(t) {
		n, err := ask(t, base, asGrafana(q.expr, target))
		switch {
		case err != "":
			t.Errorf("%v: %s", q, err)
		case n == 0 && always(q.expr, known):
			t.Errorf("%v: no data", q)
		case n == 0:
			t.Logf("%v: no data; has it happened?", q)
		}
	}
}

// always reports whether expr has an answer whatever has happened: it is of gauges only, and picks none by
// their values.
func always(expr string, known map[string]metric) bool {
	for name := range uses(expr).metrics {
		if known[name].kind != "gauge" || name == "ALERTS" {
			return false
		}
	}
	return !strings.Contains(expr, " > ")
}

// ask gives the number of series that an instant query has.
func ask(t *testing.T, base, expr string) (series int, fault string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/api/v1/query?query="+url.QueryEscape(expr), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("%s: %v: %s", base, err, body)
	}
	return len(answer.Data.Result), answer.Error
}
