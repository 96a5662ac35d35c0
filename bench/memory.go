package main

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"

	"headgate/chaos/world"
)

// memoryDispatches are as many as are pending while their memory is measured. Half as many
// fill the tables of Redis to the same degree: enough for what has no bound.
const memoryDispatches = 20_000

// redisMemory measures what a delivery that is pending takes of Redis: record, task and
// index, without the payload.
func redisMemory(ctx context.Context, o options, binaries world.Binaries) ([]Figure, error) {
	s, err := newStage(ctx, o, binaries)
	if err != nil {
		return nil, err
	}
	defer s.close()
	ours, err := s.deploy("headgate", world.Spec{NoWorker: true})
	if err != nil {
		return nil, err
	}
	naive, err := s.baseline("naive", "naive", false)
	if err != nil {
		return nil, err
	}
	const rounds = 5
	say("memory: %d rounds of %d dispatches", rounds, memoryDispatches)
	var without, with, theirs []float64
	err = takeTurns(rounds, []func() error{
		func() error { return s.bytesPending(ours, memoryDispatches, true, &without) },
		func() error { return s.bytesPending(ours, memoryDispatches/2, false, &with) },
		func() error { return s.bytesPending(naive, memoryDispatches/2, true, &theirs) },
	}, func(_ int, one func() error) error { return one() })
	if err != nil {
		return nil, err
	}
	payload, err := s.payloadBytes()
	if err != nil {
		return nil, err
	}
	return []Figure{
		figureOf("Redis' bytes per pending delivery without its payload", "B", minus(without, payload/3)...).atMost(1000),
		figureOf("Redis' bytes per pending delivery, with an Idempotency-Key for each request", "B", minus(with, payload/3)...),
		figureOf("Redis' bytes per pending task without its payload, naive", "B", minus(theirs, float64(len(benchBody)))...),
	}, nil
}

func minus(list []float64, n float64) []float64 {
	out := make([]float64, len(list))
	for i, v := range list {
		out[i] = v - n
	}
	return out
}

// bytesPending gives how many bytes one pending delivery takes, payload and all.
func (s *stage) bytesPending(c *contender, dispatches int64, keyless bool, to *[]float64) error {
	if err := s.empty(c); err != nil {
		return err
	}
	// What there is once, such as connections and the names of queues, is there before.
	if _, err := s.flood(c, flooding{Count: 100, For: time.Minute, Keyless: keyless}); err != nil {
		return err
	}
	before, err := s.usedMemory(c)
	if err != nil {
		return err
	}
	got, err := s.flood(c, flooding{Count: dispatches, For: 2 * time.Minute, Keyless: keyless})
	if err != nil {
		return err
	}
	after, err := s.usedMemory(c)
	*to = append(*to, (after-before)/float64(3*got.Done))
	return err
}

// usedMemory waits until the memory of a contender's Redis does not change any more.
func (s *stage) usedMemory(c *contender) (float64, error) {
	const enough = 32 << 10 // buffers of clients come and go
	last, same := 0.0, 0
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		info, err := c.world.Redis.Client.InfoMap(s.ctx, "memory").Result()
		if err != nil {
			return 0, err
		}
		now, err := strconv.ParseFloat(info["Memory"]["used_memory"], 64)
		if err != nil {
			return 0, err
		}
		if same++; math.Abs(now-last) > enough {
			last, same = now, 0
		}
		if same == 3 {
			return now, nil
		}
		if err := sleep(s.ctx, 200*time.Millisecond); err != nil {
			return 0, err
		}
	}
	return 0, errors.New("the memory of Redis does not come to rest")
}

// payloadBytes gives how long the three payloads of a dispatch are together: what the
// backends get is what was mapped. All dispatches have equally long ones.
func (s *stage) payloadBytes() (float64, error) {
	c, err := s.headgate("delivering", true)
	if err != nil {
		return 0, err
	}
	const n = 10
	if _, err := s.flood(c, flooding{Count: n, For: time.Minute}); err != nil {
		return 0, err
	}
	if err := s.awaitArrivals(c.name, 3*n); err != nil {
		return 0, err
	}
	total, err := s.told("bytes")
	return float64(total) / n, err
}
