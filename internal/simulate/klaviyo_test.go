package simulate_test

import (
	"strings"
	"testing"
	"time"

	"headgate/internal/simulate"
)

const klaviyoJobs = "/api/profile-bulk-import-jobs"

func klaviyoHeader(key string) []string {
	return []string{"Authorization", "Klaviyo-API-Key " + key, "revision", "2026-01-15", "Content-Type", "application/vnd.api+json"}
}

// klaviyoBody is an import of profiles with these attributes, in which | stands for a comma.
func klaviyoBody(attributes ...string) string {
	for i, a := range attributes {
		attributes[i] = `{"type":"profile","attributes":` + strings.ReplaceAll(a, "|", ",") + "}"
	}
	return `{"data":{"type":"profile-bulk-import-job","attributes":{"profiles":{"data":[` + strings.Join(attributes, ",") + "]}}}}"
}

// everyMinute is a clock that is a minute ahead each time: nobody who goes by it is too fast.
func everyMinute() func() time.Time {
	clock := newClock()
	return func() time.Time {
		clock.advance(time.Minute)
		return clock.Now()
	}
}

func TestKlaviyoThrottles(t *testing.T) {
	clock := newClock()
	c := serve(t, simulate.NewKlaviyo(simulate.VendorOptions{Now: clock.Now}))
	ask := func(status int) reply { return c.do(status, "GET", klaviyoJobs+"/x", "", klaviyoHeader("s")...) }
	for range 15 {
		for range 10 {
			ask(404)
		}
		ask(429)
		clock.advance(time.Second)
	}
	equal(t, "Retry-After", ask(429).header.Get("Retry-After"), "45")
	clock.advance(44 * time.Second)
	ask(429)
	clock.advance(time.Second)
	for range 10 {
		ask(404)
	}
	equal(t, "Retry-After", ask(429).header.Get("Retry-After"), "1")
}
