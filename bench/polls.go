package main

import (
	"context"
	"fmt"
	"time"

	"headgate/chaos/world"
)

const pollRoutes = benchAuth + `
targets:
  jobs:
    url: ${BACKENDS_URL}
    steps:
      - name: begin
        post: /jobs/${{ .params.id }}
        json: ${{ .payload }}
        save: {job: "${{ .response.body.id }}"}
      - name: finish
        get: /jobs/${{ .saved.job }}
        until:
          state: ${{ .response.body.state }}
          running: [running]
          succeeded: [done]
          every: {first: %[1]s, factor: 1, max: %[1]s}
routes:
- name: jobs
  match: POST /jobs/:id
  auth: {any: [bench]}
  targets: {jobs: {transform: {id: "${{ .params.id }}", email: "${{ .body.email | ascii_downcase }}"}}}
`

// polls measures what a hundred thousand jobs that are polled every five minutes cost.
func polls(ctx context.Context, o options, binaries world.Binaries) ([]Figure, error) {
	s, err := newStage(ctx, o, binaries)
	if err != nil {
		return nil, err
	}
	defer s.close()
	// With less time there are less jobs: polls a second stay as many.
	jobs, every := scaled(o, int64(100_000)), scaled(o, 5*time.Minute)
	c, err := s.deploy("headgate", world.Spec{Routes: fmt.Sprintf(pollRoutes, every)})
	if err != nil {
		return nil, err
	}
	say("polls: %d jobs are begun in %v", jobs, every)
	rate := float64(jobs) / every.Seconds()
	if _, err := s.flood(c, flooding{Path: "/jobs/", Count: jobs, Rate: rate, For: every + time.Minute, Conns: 16}); err != nil {
		return nil, err
	}
	// The first poll of the last comes after all of its time, and up to a tenth later.
	if err := sleep(ctx, every/10); err != nil {
		return nil, err
	}
	return s.pollRounds(c, jobs, every)
}

// pollRounds measures while all jobs are polled, for two fifths of the time from one poll
// to the next.
func (s *stage) pollRounds(c *contender, jobs int64, every time.Duration) ([]Figure, error) {
	const rounds = 6
	span := every / 15
	say("polls: %d rounds of %v", rounds, span)
	var worker, server, perSecond, commands []float64
	for range rounds {
		before, err := s.told("polls")
		if err != nil {
			return nil, err
		}
		got, err := loadOver(s.ctx, c.world.Workers[0].PID(), c.world.Redis.PID(), c.world.Redis.Client, span)
		if err != nil {
			return nil, err
		}
		after, err := s.told("polls")
		if err != nil {
			return nil, err
		}
		worker, server = append(worker, got.worker), append(server, got.redis)
		perSecond, commands = append(perSecond, float64(after-before)/span.Seconds()), append(commands, got.commands)
	}
	if want := float64(jobs) / every.Seconds(); median(perSecond) < 0.8*want {
		return nil, fmt.Errorf("%.0f polls a second instead of %.0f", median(perSecond), want)
	}
	return []Figure{
		figureOf(fmt.Sprintf("worker's processor with %d jobs polled every %v", jobs, every), "cores", worker...).atMost(0.25),
		figureOf("Redis' processor meanwhile", "cores", server...),
		figureOf("Redis' commands meanwhile", "1/s", commands...),
		figureOf("polls meanwhile", "1/s", perSecond...),
	}, nil
}
