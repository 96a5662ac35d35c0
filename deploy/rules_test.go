package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// rule is one of rules.yaml; the rest of its format is promtool's to check.
type rule struct {
	Alert, Record, Expr string
	For                 string
	Labels, Annotations map[string]string
}

func rules(t *testing.T) (alerts, records []rule) {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal([]byte(read(t, "prometheus/rules.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" {
				records = append(records, r)
			} else {
				alerts = append(alerts, r)
			}
		}
	}
	if len(alerts) == 0 || len(records) == 0 {
		t.Fatal("there are no rules")
	}
	return alerts, records
}

// alertNames are those of rules.yaml, each once.
func alertNames(t *testing.T) []string {
	t.Helper()
	alerts, _ := rules(t)
	var names []string
	for _, a := range alerts {
		names = append(names, a.Alert)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// vocabularyOfRules is vocabulary and what the rules record.
func vocabularyOfRules(t *testing.T) map[string]metric {
	t.Helper()
	known := vocabulary(t)
	_, records := rules(t)
	for _, r := range records {
		level, _, _ := strings.Cut(r.Record, ":")
		faults, labels := uses(r.Expr).faults(known)
		for _, f := range faults {
			t.Errorf("rule %s: %s", r.Record, f)
		}
		m := metric{kind: "recorded"}
		for _, label := range strings.Split(level, "_") { // level:metric:operations
			if !slices.Contains(labels, label) {
				t.Errorf("rule %s: its name speaks of the label %s, which it cannot have", r.Record, label)
			}
			m.labels = append(m.labels, label)
		}
		known[r.Record] = m
	}
	return known
}

var (
	labelUse = regexp.MustCompile(`\$labels\.([a-z_]+)`)
	asked    = regexp.MustCompile("query \\(printf \"((?:[^\"\\\\]|\\\\.)*)\"")
)

func TestAlerts(t *testing.T) {
	known := vocabularyOfRules(t)
	alerts, _ := rules(t)
	bases := map[string]bool{}
	for _, a := range alerts {
		faults, _ := uses(a.Expr).faults(known)
		groups := uses(a.Expr).groups
		for name := range uses(a.Expr).metrics {
			if m := known[name]; m.kind == "recorded" { // its labels are all there are
				groups = append(groups, m.labels...)
			}
		}
		texts := a.Annotations["summary"] + " " + a.Annotations["description"]
		for _, l := range labelUse.FindAllStringSubmatch(texts, -1) {
			if !slices.Contains(groups, l[1]) {
				faults = append(faults, "its text shows the label "+l[1]+", by which it does not group")
			}
		}
		if slices.Contains(groups, "target") && !strings.Contains(a.Annotations["summary"], "$labels.target") {
			faults = append(faults, "its summary does not name the target")
		}
		for _, q := range asked.FindAllStringSubmatch(texts, -1) {
			wrong, _ := uses(strings.NewReplacer(`\"`, `"`, "%q", `""`).Replace(q[1])).faults(known)
			faults = append(faults, wrong...)
		}
		page, base, ok := runbook(a.Annotations["runbook_url"])
		if !ok || page != a.Alert {
			faults = append(faults, "its runbook_url is not …/runbooks/"+a.Alert+".md")
		}
		bases[base] = true
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			faults = append(faults, "it lacks a summary or a description")
		}
		if s := a.Labels["severity"]; s != "critical" && s != "warning" {
			faults = append(faults, "its severity is neither critical nor warning")
		}
		for _, f := range faults {
			t.Errorf("alert %s: %s", a.Alert, f)
		}
	}
	if len(bases) != 1 {
		t.Errorf("the run-books have several bases, so that it cannot be replaced: %v", bases)
	}
}

// TestEachAlertHasItsPage and no page is about an alert that there is not.
func TestEachAlertHasItsPage(t *testing.T) {
	files, err := filepath.Glob("../docs/runbooks/Headgate*.md")
	if err != nil {
		t.Fatal(err)
	}
	var pages []string
	for _, f := range files {
		pages = append(pages, strings.TrimSuffix(filepath.Base(f), ".md"))
	}
	if names := alertNames(t); !slices.Equal(pages, names) {
		t.Errorf("pages:\n%v\nalerts:\n%v", pages, names)
	}
}

// TestEachAlertIsTested: it is shown to fire and shown not to, in each of its severities.
func TestEachAlertIsTested(t *testing.T) {
	type expected struct {
		Labels map[string]string `yaml:"exp_labels"`
	}
	var file struct {
		Tests []struct {
			Cases []struct {
				Alertname string
				Expected  []expected `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	data, err := os.ReadFile("prometheus/rules_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, test := range file.Tests {
		for _, c := range test.Cases {
			for _, e := range c.Expected {
				shown[c.Alertname+" "+e.Labels["severity"]] = true
			}
			if len(c.Expected) == 0 {
				shown[c.Alertname+" silent"] = true
			}
		}
	}
	alerts, _ := rules(t)
	for _, a := range alerts {
		for _, what := range []string{a.Labels["severity"], "silent"} {
			if !shown[a.Alert+" "+what] {
				t.Errorf("rules_test.yaml does not show %s %s", a.Alert, what)
			}
		}
	}
}
