package app

import (
	"reflect"
	"strings"

	"headgate/config"
	"headgate/config/yamlsrc"
)

// needRestart names the keys of the operator's file that differ and that a reload does
// not apply: all but those that say which route files there are and what they may read.
func needRestart(running, read *config.Config) []string {
	var out []string
	was, is := reflect.ValueOf(*running), reflect.ValueOf(*read)
	for i := range was.NumField() {
		key, _, _ := strings.Cut(was.Type().Field(i).Tag.Get("yaml"), ",")
		switch key {
		case "", "-", "routes", "routes_may_read":
			continue
		case "tracking":
			// Its positions in the file differ without a change.
			a, b := running.Tracking, read.Tracking
			if a.Retention != b.Retention || a.MaxWaiters != b.MaxWaiters {
				out = append(out, key)
			}
			continue
		}
		if key == "callbacks" { // as above
			a, b := running.Callbacks.RateLimit, read.Callbacks.RateLimit
			if (a == nil) != (b == nil) || (a != nil && !reflect.DeepEqual(a.Value(), b.Value())) {
				out = append(out, key)
			}
			continue
		}
		if key == "redis" {
			a, b := running.Redis, read.Redis
			for _, r := range []*config.Redis{&a, &b} {
				r.TLS.CAPos, r.TLS.CertPos = yamlsrc.Pos{}, yamlsrc.Pos{}
			}
			if !reflect.DeepEqual(a, b) {
				out = append(out, key)
			}
			continue
		}
		if key == "telemetry" { // the level is applied
			a, b := running.Telemetry, read.Telemetry
			if a.Log.Level = b.Log.Level; a != b {
				out = append(out, key)
			}
			continue
		}
		if !reflect.DeepEqual(was.Field(i).Interface(), is.Field(i).Interface()) {
			out = append(out, key)
		}
	}
	return out
}
