package obs

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// tracesWanted reports whether the variables ask for traces. Without an endpoint or an
// exporter that is named there are none, unlike in the standard, whose default is to send them
// to localhost. The library reads what is not read here, and takes its default for a value
// that it cannot read: so what a person may get wrong is checked.
func tracesWanted(getenv func(string) string) (bool, error) {
	if strings.EqualFold(strings.TrimSpace(getenv("OTEL_SDK_DISABLED")), "true") {
		return false, nil
	}
	endpoints := []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"}
	switch named := strings.TrimSpace(getenv("OTEL_TRACES_EXPORTER")); named {
	case "none":
		return false, nil
	case "otlp":
	case "":
		if !slices.ContainsFunc(endpoints, func(name string) bool { return getenv(name) != "" }) {
			return false, nil
		}
	default:
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER: %q is not known; write otlp or none", named)
	}
	for _, name := range endpoints {
		if err := checkEndpoint(getenv(name)); err != nil {
			return false, fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if text := getenv(name); text != "" && text != "http/protobuf" {
			return false, fmt.Errorf("%s: %q is not spoken; write http/protobuf, whose port is usually 4318", name, text)
		}
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"} {
		for pair := range strings.SplitSeq(getenv(name), ",") {
			if strings.TrimSpace(pair) != "" && !strings.Contains(pair, "=") { // it may be a secret, and is not shown
				return false, fmt.Errorf("%s: write pairs such as name=value,name=value", name)
			}
		}
	}
	err := checkSampler(getenv)
	return err == nil, err
}

func checkEndpoint(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("not a URL; write one such as http://collector:4318")
	}
	return nil
}

func checkSampler(getenv func(string) string) error {
	const name = "OTEL_TRACES_SAMPLER"
	known := []string{"always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"}
	sampler := strings.ToLower(strings.TrimSpace(getenv(name)))
	if sampler != "" && !slices.Contains(known, sampler) {
		return fmt.Errorf("%s: %q is not known; write %s", name, sampler, strings.Join(known, ", "))
	}
	if share := strings.TrimSpace(getenv(name + "_ARG")); share != "" && strings.HasSuffix(sampler, "traceidratio") {
		if n, err := strconv.ParseFloat(share, 64); err != nil || !(n >= 0 && n <= 1) {
			return fmt.Errorf("%s_ARG: %q is not a share; write a number from 0 to 1", name, share)
		}
	}
	return nil
}
