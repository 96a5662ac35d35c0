// Package deploy holds what is made for others' programs to the code: dashboards, alerts and run-books
// speak of metrics and commands that exist, and of each other.
package deploy

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// metric is a row of docs/reference/metrics.md, a page that a test of its own holds to the code.
type metric struct {
	kind   string // counter, gauge or histogram
	labels []string
}

// foreign are series that are used and made by others: the Go runtime and the process, and Prometheus.
var foreign = map[string]metric{
	"go_gc_duration_seconds":        {"summary", []string{"quantile"}},
	"go_goroutines":                 {"gauge", nil},
	"go_memstats_heap_inuse_bytes":  {"gauge", nil},
	"process_cpu_seconds_total":     {"counter", nil},
	"process_resident_memory_bytes": {"gauge", nil},
	"up":                            {"gauge", nil},
	"ALERTS":                        {"gauge", []string{"alertname", "alertstate", "severity", "target"}},
	"ALERTS_FOR_STATE":              {"gauge", []string{"alertname", "severity", "target"}},
}

// scraped are labels that Prometheus gives to whatever it reads.
var scraped = []string{"job", "instance"}

var (
	metricRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (counter|gauge|histogram) \\|([^|]*)\\|")
	quoted    = regexp.MustCompile("`([^`]+)`")
)

// vocabulary reads the metrics there are, each under all names that its series have.
func vocabulary(t *testing.T) map[string]metric {
	t.Helper()
	rows := metricRow.FindAllStringSubmatch(read(t, "../docs/reference/metrics.md"), -1)
	if len(rows) < 5 {
		t.Fatalf("docs/reference/metrics.md has %d rows that can be read", len(rows))
	}
	known := map[string]metric{}
	add := func(name string, m metric) {
		if m.kind != "histogram" {
			known[name] = m
			return
		}
		bucket := metric{m.kind, append([]string{"le"}, m.labels...)}
		known[name+"_bucket"], known[name+"_sum"], known[name+"_count"] = bucket, m, m
	}
	for name, m := range foreign {
		add(name, m)
	}
	for _, row := range rows {
		m := metric{kind: row[2]}
		for _, label := range quoted.FindAllStringSubmatch(row[3], -1) {
			m.labels = append(m.labels, label[1])
		}
		add(row[1], m)
	}
	return known
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// runbook is the address of an alert's page, below whatever base: two words, page and base.
func runbook(url string) (page, base string, ok bool) {
	base, page, ok = strings.Cut(url, "/runbooks/")
	page, md := strings.CutSuffix(page, ".md")
	return page, base, ok && md && !strings.Contains(page, "/")
}
