package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// userHZ is the unit of times in /proc/<pid>/stat: a hundredth of a second on every
// Linux that Go runs on.
const userHZ = 100

// cpuOf gives the processor time that a process has used so far.
func cpuOf(pid int) (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold anything; utime and stime are the 14th and 15th.
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(fields))
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / userHZ, nil
}

// load is what processes use over a span: cores, and Redis's commands a second.
type load struct{ worker, redis, commands float64 }

// loadOver measures for d.
func loadOver(ctx context.Context, worker, server int, rdb *redis.Client, d time.Duration) (out load, err error) {
	read := func() (w, r time.Duration, commands float64, err error) {
		if w, err = cpuOf(worker); err != nil {
			return
		}
		if r, err = cpuOf(server); err != nil {
			return
		}
		info, err := rdb.InfoMap(ctx, "stats").Result()
		if err != nil {
			return
		}
		commands, err = strconv.ParseFloat(info["Stats"]["total_commands_processed"], 64)
		return
	}
	w0, r0, c0, err := read()
	if err != nil {
		return out, err
	}
	began := time.Now()
	if err := sleep(ctx, d); err != nil {
		return out, err
	}
	w1, r1, c1, err := read()
	s := time.Since(began).Seconds()
	return load{worker: (w1 - w0).Seconds() / s, redis: (r1 - r0).Seconds() / s, commands: (c1 - c0) / s}, err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
