package redisstore

import (
	"testing"
	"time"

	"headgate/internal/testenv"
)

// BenchmarkAck compares what a request costs with and without a replica to wait for.
func BenchmarkAck(b *testing.B) {
	master := testenv.Redis(b)
	master.Replica(b)
	for name, start := range map[string]func() *Store{
		"master alone": func() *Store { s, _ := open(b, Options{Network: "tcp", Addr: master.Addr()}); return s },
		"master, auto-pipelining": func() *Store {
			s, _ := open(b, Options{Network: "tcp", Addr: master.Addr(), AutoPipeline: true})
			return s
		},
		"with a replica": func() *Store {
			s, conn := open(b, Options{Network: "tcp", Addr: master.Addr(), AutoPipeline: true})
			own := conn.Another(64)
			b.Cleanup(func() { _ = own.Close() })
			s.Acknowledge(own, Ack{Replicas: 1, Timeout: time.Second})
			return s
		},
	} {
		b.Run(name, func(b *testing.B) {
			s := start()
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					accept(b, s, request(b, "", "crm", "mail"))
				}
			})
		})
		b.Run(name+", one at a time", func(b *testing.B) {
			s := start()
			for b.Loop() {
				accept(b, s, request(b, "", "crm", "mail"))
			}
		})
	}
}
