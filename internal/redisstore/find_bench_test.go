package redisstore

import (
	"sync"
	"testing"
	"time"

	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// BenchmarkFind says what going through all records costs: an operation is a page of a query
// that nothing fits, and redis-ms/1000 is what Redis was busy with 1,000 records.
func BenchmarkFind(b *testing.B) {
	server := testenv.Redis(b)
	s, conn := open(b, Options{Network: "unix", Addr: server.Socket(), AutoPipeline: true})
	const hands, each = 64, 1000
	var all sync.WaitGroup
	for range hands {
		all.Go(func() {
			for range each {
				if _, err := s.Accept(b.Context(), request(b, "", "crm", "mail", "old")); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	busy := func() time.Duration {
		info := parseInfo(conn.Base.Info(b.Context(), "cpu").Val())
		var out time.Duration
		for _, name := range []string{"used_cpu_user", "used_cpu_sys"} {
			d, err := time.ParseDuration(info[name] + "s")
			if err != nil {
				b.Fatal(err)
			}
			out += d
		}
		return out
	}
	for name, q := range map[string]tracking.FindQuery{
		"by time":   {Until: time.Now().Add(-3 * time.Hour)},
		"by tenant": {Tenant: "nobody"},
		"by state":  {State: "partial"},
	} {
		b.Run(name, func(b *testing.B) {
			looked, before := 0, busy()
			for b.Loop() {
				page, err := s.Find(b.Context(), q)
				if err != nil || len(page.Dispatches) > 0 {
					b.Fatalf("%+v, %v", page, err)
				}
				looked, q.Cursor = looked+page.Looked, page.Next
			}
			b.ReportMetric(float64(looked)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64((busy()-before).Milliseconds())/float64(looked)*1000, "redis-ms/1000")
		})
	}
}
