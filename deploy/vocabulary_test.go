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

// toCome are metrics that are agreed and not yet in the page. TO DELETE, with its use below, when the page has
// them: what it then lacks is an error of whoever uses the name.
var toCome = map[string]metric{
	"headgate_accept_duration_seconds":                      {"histogram", []string{"route"}},
	"headgate_attempts_total":                               {"counter", []string{"outcome", "reason", "target"}},
	"headgate_polls_total":                                  {"counter", []string{"outcome", "target"}},
	"headgate_attempt_duration_seconds":                     {"histogram", []string{"target"}},
	"headgate_deliveries_total":                             {"counter", []string{"reason", "state", "target"}},
	"headgate_attempts_in_flight":                           {"gauge", []string{"target"}},
	"headgate_batch_records":                                {"histogram", []string{"target"}},
	"headgate_target_draining":                              {"gauge", []string{"target"}},
	"headgate_pending_deliveries":                           {"gauge", []string{"target"}},
	"headgate_oldest_pending_age_seconds":                   {"gauge", []string{"target"}},
	"headgate_waiting_jobs":                                 {"gauge", []string{"target"}},
	"headgate_oldest_waiting_age_seconds":                   {"gauge", []string{"target"}},
	"headgate_dead_letters":                                 {"gauge", []string{"target"}},
	"headgate_workers":                                      {"gauge", nil},
	"headgate_redis_up":                                     {"gauge", nil},
	"headgate_redis_duration_seconds":                       {"histogram", []string{"kind"}},
	"headgate_redis_errors_total":                           {"counter", []string{"kind"}},
	"headgate_redis_pool_connections":                       {"gauge", []string{"state"}},
	"headgate_redis_pool_timeouts_total":                    {"counter", nil},
	"headgate_redis_pool_waits_total":                       {"counter", nil},
	"headgate_redis_memory_used_bytes":                      {"gauge", []string{"node"}},
	"headgate_redis_memory_max_bytes":                       {"gauge", []string{"node"}},
	"headgate_config_last_reload_successful":                {"gauge", nil},
	"headgate_config_last_reload_success_timestamp_seconds": {"gauge", nil},
	"headgate_build_info":                                   {"gauge", []string{"go_version", "version"}},
}

// foreign are series that are used and made by others: the Go runtime and the process, and Prometheus.
var foreign = map[string]metric{
	"go_gc_duration_seconds":        {"summary", []string{"quantile"}},
	"go_goroutines":                 {"gauge", nil},
	"go_memstats_heap_inuse_bytes":  {"gauge", nil},
	"process_cpu_seconds_total":     {"counter", nil},
	"process_resident_memory_bytes": {"gauge", nil},
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
	for name, m := range toCome {
		add(name, m)
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
