package main

import (
	"context"
	"fmt"
	"time"

	"headgate/chaos/world"
)

const batchRoutes = benchAuth + `
targets:
  hundred: {url: "${BACKENDS_URL}", post: /batch/hundred, batch: {max_records: 100, linger: 10s}, limits: {concurrency: 64}}
  thousands: {url: "${BACKENDS_URL}", post: /batch/thousands, batch: {max_records: 10000, linger: 10s}, limits: {concurrency: 64}}
routes:
- name: hundred
  match: POST /hundred/:id
  auth: {any: [bench]}
  targets: {hundred: {transform: {id: "${{ .params.id }}", email: "${{ .body.email | ascii_downcase }}", plan: "${{ .body.plan }}"}}}
- name: thousands
  match: POST /thousands/:id
  auth: {any: [bench]}
  targets: {thousands: {transform: {id: "${{ .params.id }}", email: "${{ .body.email | ascii_downcase }}", plan: "${{ .body.plan }}"}}}
`

// batchRecords are delivered in each round: they fill all batches.
const batchRecords = 20_000

// late is a contender whose deliveries wait until somebody is started who makes them.
type late struct {
	*contender

	path  string
	each  int64 // deliveries of one request
	start func() (stop func(), err error)
}

// batches measures how many records a second go through targets that take many at once.
// All are accepted before the first is delivered.
func batches(ctx context.Context, o options, binaries world.Binaries) ([]Figure, error) {
	s, err := newStage(ctx, o, binaries)
	if err != nil {
		return nil, err
	}
	defer s.close()
	all, err := s.lateContenders()
	if err != nil {
		return nil, err
	}
	const rounds = 5
	say("batches: %d rounds of %d records", rounds, batchRecords)
	perSecond := map[string][]float64{}
	err = takeTurns(rounds, all, func(_ int, l late) error {
		took, err := s.deliverLate(l)
		perSecond[l.path] = append(perSecond[l.path], batchRecords/took.Seconds())
		return err
	})
	if err != nil {
		return nil, err
	}
	naive := perSecond[all[2].path]
	return []Figure{
		ratioOf("records/s in batches of 100 ÷ naive's deliveries/s", perSecond[all[0].path], naive).atLeast(1),
		ratioOf("records/s in batches of 10,000 ÷ naive's deliveries/s", perSecond[all[1].path], naive).atLeast(1.5),
		figureOf("records/s in batches of 100", "1/s", perSecond[all[0].path]...),
		figureOf("records/s in batches of 10,000", "1/s", perSecond[all[1].path]...),
		figureOf("deliveries/s with nothing to accept, naive", "1/s", naive...),
	}, nil
}

func (s *stage) lateContenders() ([]late, error) {
	ours, err := s.deploy("headgate", world.Spec{Routes: batchRoutes, NoWorker: true})
	if err != nil {
		return nil, err
	}
	naive, err := s.baseline("naive", "naive", false)
	if err != nil {
		return nil, err
	}
	worker := func() (func(), error) {
		h, err := ours.world.AddArmed(s.ctx, nil)
		if err != nil {
			return nil, err
		}
		return h.Kill, nil
	}
	server := func() (func(), error) {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		p, err := naive.world.Run(s.ctx, "naive-late", "", s.self, "naive", port, naive.world.Redis.Addr(), s.sink, "deliver")
		if err != nil {
			return nil, err
		}
		return p.Kill, nil
	}
	return []late{
		{ours, "/hundred/", 1, worker}, {ours, "/thousands/", 1, worker},
		{naive, "/profiles/", int64(len(threeTargets)), server},
	}, nil
}

// deliverLate gives the time from the start of who delivers to the last arrival.
func (s *stage) deliverLate(l late) (time.Duration, error) {
	before, err := s.told("count")
	if err != nil {
		return 0, err
	}
	got, err := s.flood(l.contender, flooding{Path: l.path, Count: (batchRecords + l.each - 1) / l.each, For: 2 * time.Minute})
	if err != nil {
		return 0, err
	}
	if l.each*got.Done < batchRecords {
		return 0, fmt.Errorf("%s: only %d requests were accepted in time", l.name, got.Done)
	}
	began := time.Now()
	stop, err := l.start()
	if err != nil {
		return 0, err
	}
	defer stop()
	if err := s.awaitArrivals(l.name, before+batchRecords); err != nil {
		return 0, err
	}
	took := time.Since(began)
	stop() // before its Redis is emptied
	return took, s.empty(l.contender)
}
