package redisstore

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// pendingBench is how many dispatches BenchmarkPending accepts: enough that the rows of a
// shard are many.
const pendingBench = 20000

// BenchmarkPending measures what a delivery that waits takes in Redis: three for each
// dispatch, without an idempotency key, payloads left out. Tasks are asynq's and not in
// it. Reported are the difference of used_memory, and where it goes by kind of key.
func BenchmarkPending(b *testing.B) {
	server := testenv.Redis(b)
	s, conn := open(b, Options{Network: "tcp", Addr: server.Addr(), AutoPipeline: true})
	for b.Loop() {
		if err := conn.Base.FlushAll(b.Context()).Err(); err != nil {
			b.Fatal(err)
		}
		before := memoryUsed(b, conn.Base)
		for range pendingBench {
			accept(b, s, pendingRequest(b))
		}
		b.ReportMetric(float64(memoryUsed(b, conn.Base)-before)/(3*pendingBench), "B/delivery")
		for kind, size := range sizesByKind(b, conn.Base) {
			b.ReportMetric(float64(size)/(3*pendingBench), "B-"+kind)
		}
	}
}

// pendingRequest is a request as the product makes it: from a client that traces, of a
// route with a parameter.
func pendingRequest(b *testing.B) *tracking.Acceptance {
	a := request(b, "", "crm", "mail", "analytics")
	a.Dispatch.Params = map[string]string{"id": "4711-0815"}
	a.Dispatch.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for name, d := range a.Dispatch.Deliveries {
		d.Plan = "5f2b6a7c0d9e4f1a"
		a.Dispatch.Deliveries[name] = d
	}
	a.Payloads = nil
	return a
}

func memoryUsed(b testing.TB, rdb redis.UniversalClient) int64 {
	b.Helper()
	info, err := rdb.Info(b.Context(), "memory").Result()
	if err != nil {
		b.Fatal(err)
	}
	return atoi64(parseInfo(info)["used_memory"])
}

// sizesByKind adds up what Redis says that keys take, by what their name begins with.
func sizesByKind(b *testing.B, rdb redis.UniversalClient) map[string]int64 {
	b.Helper()
	out := map[string]int64{}
	keys := rdb.Scan(b.Context(), 0, prefix+"{*", 1000).Iterator()
	for keys.Next(b.Context()) {
		_, kind, _ := strings.Cut(keys.Val(), "}:")
		kind, _, _ = strings.Cut(kind, ":")
		size, err := rdb.MemoryUsage(b.Context(), keys.Val(), 0).Result()
		if err != nil {
			b.Fatal(err)
		}
		out[kind] += size
	}
	if err := keys.Err(); err != nil {
		b.Fatal(err)
	}
	return out
}

// BenchmarkKept measures what a dispatch takes once its three deliveries have ended: while
// it can be looked up, with an idempotency key besides, and with three dead letters, whose
// payloads of 250 bytes each are counted.
func BenchmarkKept(b *testing.B) {
	payload := []byte(`"` + strings.Repeat("x", 248) + `"`)
	for name, c := range map[string]struct {
		state tracking.State
		keyed bool
	}{
		"succeeded":            {tracking.Succeeded, false},
		"succeeded, with idem": {tracking.Succeeded, true},
		"failed":               {tracking.Failed, false},
	} {
		b.Run(name, func(b *testing.B) {
			server := testenv.Redis(b)
			s, conn := open(b, Options{Network: "tcp", Addr: server.Addr(), AutoPipeline: true})
			for b.Loop() {
				if err := conn.Base.FlushAll(b.Context()).Err(); err != nil {
					b.Fatal(err)
				}
				before := memoryUsed(b, conn.Base)
				for i := range keptBench {
					a := pendingRequest(b)
					if c.keyed {
						idem := fmt.Sprintf("%064d", i) // as long as the hash of a key
						a.Dispatch.IdemHash, a.Dispatch.ID = idem, newID(b, idem)
						a.Idem = &tracking.IdemRow{Fingerprint: idem, ID: a.Dispatch.ID}
					}
					a.Payloads = map[string]json.RawMessage{"crm": payload, "mail": payload, "analytics": payload}
					accept(b, s, a)
					for _, target := range a.Dispatch.Targets {
						finish(b, s, a.Dispatch.ID, target.Name, c.state)
					}
				}
				b.ReportMetric(float64(memoryUsed(b, conn.Base)-before)/keptBench, "B/dispatch")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

// keptBench is how many dispatches BenchmarkKept keeps.
const keptBench = 5000
