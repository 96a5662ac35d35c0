package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// grid is how many columns Grafana has.
const grid = 24

type place struct{ X, Y, W, H int }

func (p place) overlaps(o place) bool {
	return p.X < o.X+o.W && o.X < p.X+p.W && p.Y < o.Y+o.H && o.Y < p.Y+p.H
}

type source struct{ Type, UID string }

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               source
	GridPos                  place
	Links                    []struct{ URL string }
	Targets                  []struct{ Expr, LegendFormat string }
	FieldConfig              struct{ Defaults struct{ Unit string } }
}

type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Panels        []panel
	Annotations   struct {
		List []struct {
			Name, Expr string
			Datasource source
		}
	}
	Templating struct {
		List []struct {
			Name, Type, Definition string
			Datasource             *source
			Multi, IncludeAll      bool
		}
	}
	raw string
}

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob("grafana/dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	out := map[string]dashboard{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.NewDecoder(bytes.NewReader(data)).Decode(&d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		d.raw = string(data)
		out[filepath.Base(file)] = d
	}
	return out
}

// query is one that a dashboard makes of Prometheus.
type query struct{ dashboard, panel, expr string }

func (q query) String() string { return fmt.Sprintf("%s, %s: %s", q.dashboard, q.panel, q.expr) }

// labelValues is the query of a variable.
var labelValues = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)

func queries(t *testing.T) []query {
	t.Helper()
	var out []query
	for file, d := range dashboards(t) {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				out = append(out, query{file, p.Title, target.Expr})
			}
		}
		for _, a := range d.Annotations.List {
			out = append(out, query{file, "annotation " + a.Name, a.Expr})
		}
		for _, v := range d.Templating.List {
			if m := labelValues.FindStringSubmatch(v.Definition); m != nil {
				out = append(out, query{file, "variable " + v.Name, "count by (" + m[2] + ") (" + m[1] + ")"})
			} else if v.Type == "query" {
				t.Errorf("%s: variable %s is no label_values(metric, label): %q", file, v.Name, v.Definition)
			}
		}
	}
	return out
}

var legend = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)

func TestDashboardsSpeakOfWhatThereIs(t *testing.T) {
	known := vocabulary(t) // a dashboard is imported without the rules: what those record is not there
	for _, q := range queries(t) {
		faults, _ := uses(asGrafana(q.expr, "crm")).faults(known)
		for _, f := range faults {
			t.Errorf("%v: %s", q, f)
		}
	}
	for file, d := range dashboards(t) {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				_, labels := uses(asGrafana(target.Expr, "crm")).faults(known)
				for _, l := range legend.FindAllStringSubmatch(target.LegendFormat, -1) {
					if !slices.Contains(labels, l[1]) {
						t.Errorf("%s, %s: the legend shows the label %s, which %s cannot have", file, p.Title, l[1], target.Expr)
					}
				}
			}
		}
	}
}

func TestPanels(t *testing.T) {
	for file, d := range dashboards(t) {
		ids := map[int]bool{}
		for i, p := range d.Panels {
			bad := func(what string) { t.Errorf("%s, panel %d (%s): %s", file, p.ID, p.Title, what) }
			if p.ID <= 0 || ids[p.ID] {
				bad("its id is not its own")
			}
			ids[p.ID] = true
			if g := p.GridPos; g.W <= 0 || g.H <= 0 || g.X < 0 || g.Y < 0 || g.X+g.W > grid {
				bad(fmt.Sprintf("it is not on the grid: %+v", g))
			}
			for _, o := range d.Panels[:i] {
				if p.GridPos.overlaps(o.GridPos) {
					bad("it overlaps " + o.Title)
				}
			}
			if p.Title == "" {
				bad("it has no title")
			}
			if p.Type == "row" {
				continue
			}
			if len(p.Description) < 10 {
				bad("it has no description")
			}
			if p.FieldConfig.Defaults.Unit == "" {
				bad("it has no unit")
			}
			if len(p.Targets) == 0 {
				bad("it asks nothing")
			}
		}
	}
}

// dataSource is how a dashboard names the data source that whoever looks at it has chosen.
const dataSource = "${datasource}"

func TestDashboardsCanBeImported(t *testing.T) {
	uids := map[string]bool{}
	for file, d := range dashboards(t) {
		if want := "headgate-" + strings.TrimSuffix(file, ".json"); d.UID != want || uids[d.UID] {
			t.Errorf("%s: its uid is %q, not %q, which links lead to", file, d.UID, want)
		}
		uids[d.UID] = true
		if d.SchemaVersion < 39 { // Grafana 11
			t.Errorf("%s: schema %d", file, d.SchemaVersion)
		}
		var variables []string
		for _, v := range d.Templating.List {
			variables = append(variables, v.Name+" "+v.Type)
			if v.Type == "query" && (v.Datasource == nil || v.Datasource.UID != dataSource) {
				t.Errorf("%s: variable %s asks another data source", file, v.Name)
			}
		}
		for _, want := range []string{"datasource datasource", "job query", "docs constant"} {
			if !slices.Contains(variables, want) {
				t.Errorf("%s: there is no variable %s", file, want)
			}
		}
		for _, p := range d.Panels {
			if p.Type != "row" && p.Datasource.UID != dataSource {
				t.Errorf("%s, %s: it asks the data source %q", file, p.Title, p.Datasource.UID)
			}
		}
		for _, a := range d.Annotations.List {
			if a.Datasource.UID != dataSource {
				t.Errorf("%s, %s: it asks the data source %q", file, a.Name, a.Datasource.UID)
			}
		}
		if strings.Contains(d.raw, "__inputs") || strings.Contains(d.raw, "DS_PROMETHEUS") {
			t.Errorf("%s: an export for sharing has inputs, which provisioning does not fill", file)
		}
	}
}

var (
	toDashboard = regexp.MustCompile(`/d/([\w-]+)/`)
	toPage      = regexp.MustCompile(`\$\{docs\}(/[^"$]+\.md)`)
	docPath     = regexp.MustCompile(`docs/[\w/.-]+\.md`)
)

func TestLinksLeadSomewhere(t *testing.T) {
	all := dashboards(t)
	for file, d := range all {
		led := map[string]bool{}
		for _, m := range toDashboard.FindAllStringSubmatch(d.raw, -1) {
			led[m[1]] = true
			if _, ok := all[strings.TrimPrefix(m[1], "headgate-")+".json"]; !ok {
				t.Errorf("%s leads to the dashboard %s, which there is not", file, m[1])
			}
		}
		if len(led) != len(all)-1 {
			t.Errorf("%s leads to %v, and there are %d others", file, led, len(all)-1)
		}
		var pages []string
		for _, m := range toPage.FindAllStringSubmatch(d.raw, -1) {
			pages = append(pages, "docs"+m[1])
		}
		if len(pages) == 0 {
			t.Errorf("%s leads to no run-book", file)
		}
		for _, page := range append(pages, docPath.FindAllString(d.raw, -1)...) {
			if _, err := os.Stat(filepath.Join("..", page)); err != nil {
				t.Errorf("%s names %s, which there is not", file, page)
			}
		}
	}
}

// TestDashboardsAreOfOneInstallation: two may have a target of the same name, and sums over both are of neither.
func TestDashboardsAreOfOneInstallation(t *testing.T) {
	for file, d := range dashboards(t) {
		for _, v := range d.Templating.List {
			if v.Multi || v.IncludeAll {
				t.Errorf("%s: more than one %s can be chosen", file, v.Name)
			}
		}
	}
}

// TestTheTargetDashboardIsOfOneTarget: a query that forgot to say so would show the sum of all.
func TestTheTargetDashboardIsOfOneTarget(t *testing.T) {
	for _, q := range queries(t) {
		if strings.HasPrefix(q.panel, "annotation ") || strings.HasPrefix(q.panel, "variable ") || strings.Contains(q.expr, "ALERTS") {
			continue
		}
		if n := strings.Count(q.expr, `job=~"$job"`); n != strings.Count(q.expr, "{") {
			t.Errorf("%v: a metric of it is of all installations", q)
		}
		if q.dashboard == "target.json" && strings.Count(q.expr, `target="$target"`) != strings.Count(q.expr, "{") {
			t.Errorf("%v: a metric of it is of all targets", q)
		}
	}
}
