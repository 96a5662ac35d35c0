package deploy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	// series finds a selector: a name of ours or of others with what stands in its braces.
	series = regexp.MustCompile(`([A-Za-z_:][A-Za-z0-9_:]*)(?:\{([^}]*)\})?`)
	// matcher finds the labels in braces.
	matcher = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)`)
	// grouping finds the labels that an aggregation or a join names.
	grouping = regexp.MustCompile(`\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	// literal finds strings, which are neither names nor labels.
	literal = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	word    = regexp.MustCompile(`[a-z_]+`)
)

// usage is what a PromQL expression uses of metrics. promtool parses expressions in full; this knows as
// much of them as it takes to find names.
type usage struct {
	metrics map[string][]string // the labels that are asked for, by series
	groups  []string            // the labels of aggregations and joins
}

func uses(expr string) usage {
	expr = literal.ReplaceAllString(expr, `""`)
	u := usage{metrics: map[string][]string{}}
	for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
		u.groups = append(u.groups, word.FindAllString(g[2], -1)...)
	}
	for _, s := range series.FindAllStringSubmatch(grouping.ReplaceAllString(expr, " "), -1) {
		name := s[1]
		if (!strings.ContainsAny(name, "_:") && name != "ALERTS") || function(expr, name) {
			continue
		}
		labels := u.metrics[name]
		for _, l := range matcher.FindAllStringSubmatch(s[2], -1) {
			labels = append(labels, l[1])
		}
		u.metrics[name] = labels
	}
	return u
}

// function reports whether name is called in expr: no series is.
func function(expr, name string) bool {
	return regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\(`).MatchString(expr)
}

// faults says what of an expression does not exist, and which labels its result may have.
func (u usage) faults(known map[string]metric) (faults, labels []string) {
	labels = slices.Clone(scraped)
	for _, name := range slices.Sorted(maps.Keys(u.metrics)) {
		m, ok := known[name]
		if !ok {
			faults = append(faults, "there is no metric "+name)
			continue
		}
		labels = append(labels, m.labels...)
		for _, l := range u.metrics[name] {
			if !slices.Contains(m.labels, l) && !slices.Contains(scraped, l) {
				faults = append(faults, fmt.Sprintf("%s has no label %s", name, l))
			}
		}
	}
	for _, l := range u.groups {
		if !slices.Contains(labels, l) {
			faults = append(faults, "no metric of it has the label "+l)
		}
	}
	if len(u.metrics) == 0 {
		faults = append(faults, "it has no metric")
	}
	return faults, labels
}

func TestUses(t *testing.T) {
	known := map[string]metric{"a_total": {"counter", []string{"target"}}, "b_bucket": {"histogram", []string{"le", "route"}}}
	for expr, want := range map[string]string{
		`sum by (job, target) (rate(a_total{target="x_y"}[5m])) > 0`:         "",
		`histogram_quantile(0.9, sum by (le, route) (rate(b_bucket[5m])))`:   "",
		`label_replace(a_total * 4, "of_it", "paused", "", "") or vector(0)`: "",
		`rate(c_total[5m])`:               "there is no metric c_total",
		`a_total{reason!=""}`:             "a_total has no label reason",
		`sum by (route) (a_total)`:        "no metric of it has the label route",
		`a_total and on (path) b_bucket`:  "no metric of it has the label path",
		`vector(1)`:                       "it has no metric",
		`max_over_time(a_total[3m]) == 2`: "",
	} {
		faults, _ := uses(expr).faults(known)
		if got := strings.Join(faults, "; "); got != want {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}
