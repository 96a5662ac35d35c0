// Package unit owns the written forms of durations, sizes and rates in the YAML
// files. It knows no configuration.
package unit

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"headgate/config/yamlsrc"
)

// Duration is a time span written as 500ms, 30s, 5m, 24h or 7d.
type Duration time.Duration

// D gives the standard library's form.
func (d Duration) D() time.Duration { return time.Duration(d) }

// String writes the span in its shortest form.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalJSON writes the span as a string.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// ParseDuration reads a span; days are 24 hours. Negative spans are refused.
func ParseDuration(s string) (Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err == nil && n >= 0 && n < 36500 {
			return Duration(n * 24 * float64(time.Hour)), nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration such as 500ms, 30s, 5m, 24h or 7d", s)
	}
	return Duration(d), nil
}

// DecodeYAML implements yamlsrc.Decoder.
func (d *Duration) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	parsed, err := ParseDuration(n.Text)
	if n.Kind != yamlsrc.Scalar || err != nil {
		n.Wrong("a duration such as 500ms, 30s, 5m, 24h or 7d", report)
		return
	}
	*d = parsed
}

// Size is a number of bytes written as 512, 256KB, 6MB or 1GB (powers of 1024).
type Size int64

// String writes the size with the largest unit that divides it.
func (s Size) String() string {
	for _, u := range sizes {
		if s >= Size(u.bytes) && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalJSON writes the size as a string.
func (s Size) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

var sizes = []struct {
	name  string
	bytes int64
}{{"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}, {"B", 1}}

// ParseSize reads a size.
func ParseSize(s string) (Size, error) {
	number, factor := s, int64(1)
	for _, u := range sizes {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			number, factor = rest, u.bytes
			break
		}
	}
	number = strings.TrimSpace(number)
	n, err := strconv.ParseFloat(number, 64)
	// Signs, exponents, underscores and words such as Inf are numbers to ParseFloat.
	if err != nil || strings.Trim(number, "0123456789.") != "" || n*float64(factor) > math.MaxInt64/2 {
		return 0, fmt.Errorf("%q is not a size such as 512, 256KB or 6MB", s)
	}
	return Size(n * float64(factor)), nil
}

// DecodeYAML implements yamlsrc.Decoder.
func (s *Size) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	parsed, err := ParseSize(n.Text)
	if n.Kind != yamlsrc.Scalar || err != nil {
		n.Wrong("a size such as 512, 256KB or 6MB", report)
		return
	}
	*s = parsed
}

// Rate is a number of events in a span of time, written as 100/s, 600/m or 5000/h.
type Rate struct {
	Events int
	Per    time.Duration
}

// String writes the rate.
func (r Rate) String() string {
	for name, per := range rateUnits {
		if per == r.Per {
			return fmt.Sprintf("%d/%s", r.Events, name)
		}
	}
	return fmt.Sprintf("%d/%s", r.Events, r.Per)
}

// MarshalJSON writes the rate as a string.
func (r Rate) MarshalJSON() ([]byte, error) { return json.Marshal(r.String()) }

var rateUnits = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}

// DecodeYAML implements yamlsrc.Decoder.
func (r *Rate) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	number, unitName, ok := strings.Cut(n.Text, "/")
	events, err := strconv.Atoi(number)
	per, known := rateUnits[unitName]
	if n.Kind != yamlsrc.Scalar || !ok || err != nil || !known || events <= 0 {
		n.Wrong("a rate such as 100/s, 600/m or 5000/h", report)
		return
	}
	*r = Rate{Events: events, Per: per}
}
