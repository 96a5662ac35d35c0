package redisstore

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

func benchStore(b *testing.B, auto bool) *Store {
	b.Helper()
	server := testenv.Redis(b)
	s, _ := open(b, Options{Network: "tcp", Addr: server.Addr(), AutoPipeline: auto})
	if err := s.Prepare(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	return s
}

// reportProcessor reports how much of its processor Redis has used for each operation.
func reportProcessor(b *testing.B, s *Store) func() {
	b.Helper()
	used := func() (sum float64) {
		info := s.base.(*redis.Client).InfoMap(context.Background(), "cpu").Item("CPU", "used_cpu_user")
		user, err := strconv.ParseFloat(info, 64)
		if err != nil {
			b.Fatal(err)
		}
		info = s.base.(*redis.Client).InfoMap(context.Background(), "cpu").Item("CPU", "used_cpu_sys")
		system, err := strconv.ParseFloat(info, 64)
		if err != nil {
			b.Fatal(err)
		}
		return user + system
	}
	before := used()
	return func() { b.ReportMetric((used()-before)*1e6/float64(b.N), "redis-µs/op") }
}

func BenchmarkAccept(b *testing.B) {
	for name, auto := range faces {
		b.Run("sequential/"+name, func(b *testing.B) {
			s := benchStore(b, auto)
			for b.Loop() {
				accept(b, s, request(b, "", "crm", "mail", "stats"))
			}
		})
		b.Run("parallel-64/"+name, func(b *testing.B) {
			s := benchStore(b, auto)
			defer reportProcessor(b, s)()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.Accept(b.Context(), request(b, "", "crm", "mail", "stats")); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// BenchmarkRequest is what the other benchmarks spend on building their requests.
func BenchmarkRequest(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		request(b, "", "crm", "mail", "stats")
	}
}

// BenchmarkClaimApply is one run of a step that says "not yet", over and over.
func BenchmarkClaimApply(b *testing.B) {
	run := func(b *testing.B, s *Store, next func() bool) {
		a := request(b, "", "crm")
		if _, err := s.Accept(b.Context(), a); err != nil {
			b.Error(err)
			return
		}
		ref := tracking.Ref{Tracking: a.Dispatch.ID, Target: "crm"}
		for seq := 1; next(); seq++ {
			c, err := s.Claim(b.Context(), ref, seq, strconv.Itoa(seq), time.Minute)
			if err == nil {
				err = s.Apply(b.Context(), ref, c.Delivery.Fence, tracking.Apply(c.Delivery, tracking.NotYet{After: time.Minute}, c.Now))
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	}
	for name, auto := range faces {
		b.Run("sequential/"+name, func(b *testing.B) { run(b, benchStore(b, auto), b.Loop) })
		b.Run("parallel-64/"+name, func(b *testing.B) {
			s := benchStore(b, auto)
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) { run(b, s, pb.Next) })
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	for name, auto := range faces {
		b.Run("sequential/"+name, func(b *testing.B) {
			s := benchStore(b, auto)
			a := request(b, "", "crm", "mail", "stats")
			accept(b, s, a)
			for b.Loop() {
				if _, err := s.Load(b.Context(), a.Dispatch.ID); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("parallel-64/"+name, func(b *testing.B) {
			s := benchStore(b, auto)
			a := request(b, "", "crm", "mail", "stats")
			accept(b, s, a)
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.Load(b.Context(), a.Dispatch.ID); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// BenchmarkOverdue is the reconciler's look when nothing is overdue.
func BenchmarkOverdue(b *testing.B) {
	s := benchStore(b, false)
	for b.Loop() {
		if _, err := s.Overdue(b.Context(), 0, 500); err != nil {
			b.Fatal(err)
		}
	}
}
