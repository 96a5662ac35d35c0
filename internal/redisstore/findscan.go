package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
)

// scanPlace is how far going through all records has come. Servers are gone through one
// after the other, and what counts are the shards: a slot that moves between two servers, or
// a fail-over, may show a record twice and hides none.
type scanPlace struct {
	done uint64 // a bit for each shard that was gone through
	held uint64 // those that the server at hand had when it was begun with, but for done
	run  string // that server's run ID: its cursors mean nothing to any other process
	at   uint64 // its cursor
}

const allShards = 1<<tracking.Shards - 1

func (p scanPlace) String() string {
	return fmt.Sprintf("%x %x %s %d", p.done, p.held, p.run, p.at)
}

func parseScanPlace(text string) (p scanPlace, err error) {
	parts := strings.Split(text, " ")
	if len(parts) != 4 {
		return p, errBadCursor
	}
	p.run = parts[2]
	for i, to := range map[int]*uint64{0: &p.done, 1: &p.held} {
		if *to, err = strconv.ParseUint(parts[i], 16, 64); err != nil {
			return p, errBadCursor
		}
	}
	if p.at, err = strconv.ParseUint(parts[3], 10, 64); err != nil {
		return p, errBadCursor
	}
	return p, nil
}

// scan goes through all records from a place on.
func (f *finding) scan(ctx context.Context, text string) error {
	var p scanPlace
	var err error
	if text != "" {
		if p, err = parseScanPlace(text); err != nil {
			return err
		}
	}
	for p.done != allShards {
		// The first shard that is left says with which server to go on.
		first := bits.TrailingZeros64(^p.done)
		rdb, held, err := f.server(ctx, first)
		if err != nil {
			return unavailable("find dispatches", err)
		}
		if run := runID(ctx, rdb); p.run != run || p.held>>first&1 == 0 {
			p = scanPlace{done: p.done, held: held &^ p.done, run: run}
		}
		if err := f.scanServer(ctx, rdb, &p); err != nil {
			return err
		}
		if p.at != 0 || p.done != allShards && f.enough() {
			f.page.Next = makeCursor(tracking.FindByScan, p.String())
			return nil
		}
	}
	return nil
}

// scanServer goes on with one server. It ends with p.at zero when the server is done.
func (f *finding) scanServer(ctx context.Context, rdb redis.UniversalClient, p *scanPlace) error {
	// A round cannot be left half-way. One that finds more than the page has room for is made
	// again with fewer keys, so the first has as many as would fill the page.
	count := min(int64(f.size-len(f.page.Dispatches)), findRound)
	for {
		keys, next, err := rdb.Scan(ctx, p.at, recordGlob, count).Result()
		if err != nil {
			return unavailable("find dispatches", reveal(err))
		}
		ids := make([]string, 0, len(keys))
		for _, key := range keys {
			_, id, _ := strings.Cut(key, ":rec:")
			if shard, ok := tracking.Shard(id); ok && p.held>>shard&1 == 1 && f.q.MayFit(id) && !f.has(id) {
				ids = append(ids, id)
			}
		}
		found, err := f.load(ctx, ids)
		if err != nil {
			return err
		}
		if len(f.page.Dispatches)+len(found) > f.size && count > 1 {
			count /= 2
			continue
		}
		f.page.Looked += len(keys)
		f.page.Dispatches = append(f.page.Dispatches, found...)
		if p.at = next; next == 0 {
			held, err := f.held(ctx, rdb)
			if err != nil {
				return unavailable("find dispatches", err)
			}
			p.done |= p.held & held // a shard that has left meanwhile is looked for at its new place
			p.held = 0
			return f.breathe(ctx)
		}
		count = min(2*count, findRound)
		if err := f.breathe(ctx); err != nil || f.enough() {
			return err
		}
	}
}

// server gives the server that has a shard, with all that it has.
func (f *finding) server(ctx context.Context, shard int) (found redis.UniversalClient, has uint64, err error) {
	// A command with a key is redirected when the slot has moved, and that is how the client
	// learns of a server that it does not know.
	if f.s.cluster {
		if err := f.s.base.Exists(ctx, openKey(shardPrefix[shard])).Err(); err != nil {
			return nil, 0, err
		}
	}
	var mu sync.Mutex
	err = eachMaster(ctx, f.s.base, func(ctx context.Context, _ string, rdb redis.UniversalClient) error {
		held, err := f.held(ctx, rdb)
		if held>>shard&1 == 1 {
			mu.Lock()
			defer mu.Unlock()
			found, has = rdb, held
		}
		return err
	})
	switch {
	case found != nil:
		return found, has, nil // whoever is away is not needed now
	case err == nil:
		err = errors.New("no server of the cluster says that it has the next slot")
	}
	return nil, 0, err
}

// held gives the shards that a server has, as it says itself: the client's picture of a
// cluster is put right only by commands that are redirected, and SCAN is not.
func (f *finding) held(ctx context.Context, rdb redis.UniversalClient) (out uint64, err error) {
	if !f.s.cluster {
		return allShards, nil
	}
	pipe := rdb.Pipeline()
	nodes := pipe.ClusterNodes(ctx)
	var slots [tracking.Shards]*redis.IntCmd
	for i, shard := range shardPrefix {
		slots[i] = pipe.ClusterKeySlot(ctx, shard)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, reveal(err)
	}
	own := slotsOf(nodes.Val())
	for i, slot := range slots {
		for _, r := range own {
			if r[0] <= slot.Val() && slot.Val() <= r[1] {
				out |= 1 << i
			}
		}
	}
	return out, nil
}

// slotsOf gives the ranges of slots that a node says in CLUSTER NODES to have itself. One that
// is on its way to another node is still its own: what of it has arrived there is not seen.
func slotsOf(nodes string) (out [][2]int64) {
	for line := range strings.Lines(nodes) {
		fields := strings.Fields(line)
		if len(fields) < 8 || !strings.Contains(fields[2], "myself") {
			continue
		}
		for _, text := range fields[8:] {
			first, last, isRange := strings.Cut(text, "-")
			if !isRange {
				last = first
			}
			if !strings.HasPrefix(text, "[") { // those are on their way
				out = append(out, [2]int64{atoi64(first), atoi64(last)})
			}
		}
	}
	return out
}

// runID names a server's process; "-" where it does not tell.
func runID(ctx context.Context, rdb redis.UniversalClient) string {
	return orDash(parseInfo(rdb.Info(ctx, "server").Val())["run_id"])
}
