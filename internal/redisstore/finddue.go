package redisstore

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
)

// duePlace is how far going through the rows of what is under way has come.
type duePlace struct {
	shard int
	key   string // without the shard: due, queued:<target>, …, running; in this order
	// mark is the last row of a sorted set that was looked at, tail how many rows at the end of
	// a list were. New rows are added at that end, so that they show others twice rather than hide them.
	mark tracking.DeadMark
	tail int64
}

func (p duePlace) String() string {
	return strings.Join([]string{
		strconv.Itoa(p.shard), p.key, strconv.FormatInt(p.mark.At, 10), strconv.FormatInt(p.tail, 10), p.mark.Member,
	}, " ")
}

func parseDuePlace(text string) (p duePlace, err error) {
	parts := strings.SplitN(text, " ", 5)
	if len(parts) != 5 {
		return p, errBadCursor
	}
	if p.shard, err = strconv.Atoi(parts[0]); err != nil || p.shard < 0 || p.shard >= tracking.Shards {
		return p, errBadCursor
	}
	if p.mark.At, err = strconv.ParseInt(parts[2], 10, 64); err != nil {
		return p, errBadCursor
	}
	if p.tail, err = strconv.ParseInt(parts[3], 10, 64); err != nil || p.tail < 0 {
		return p, errBadCursor
	}
	p.key, p.mark.Member = parts[1], parts[4]
	return p, nil
}

// due goes through the rows of what is under way from a place on.
func (f *finding) due(ctx context.Context, text string) error {
	p := duePlace{}
	if text != "" {
		var err error
		if p, err = parseDuePlace(text); err != nil {
			return err
		}
	}
	targets, err := f.openTargets(ctx)
	if err != nil {
		return err
	}
	for ; p.shard < tracking.Shards; p = (duePlace{shard: p.shard + 1}) {
		for _, key := range dueNames(targets[p.shard]) {
			if key < p.key {
				continue
			}
			if key > p.key {
				p = duePlace{shard: p.shard, key: key}
			}
			for more := true; more; {
				if f.enough() {
					f.page.Next = makeCursor(tracking.FindByDue, p.String())
					return nil
				}
				if more, err = f.rows(ctx, &p); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// openTargets gives the targets that have something under way, by shard.
func (f *finding) openTargets(ctx context.Context) (out [tracking.Shards][]string, err error) {
	pipe := f.s.base.Pipeline()
	var fields [tracking.Shards]*redis.StringSliceCmd
	for i, shard := range shardPrefix {
		fields[i] = pipe.HKeys(ctx, openKey(shard))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return out, unavailable("find dispatches", err)
	}
	for i, c := range fields {
		for _, field := range c.Val() {
			ref, ok := splitOpenField(field)
			if ok && (f.q.Target == "" || f.q.Target == ref.Target) && !slices.Contains(out[i], ref.Target) {
				out[i] = append(out[i], ref.Target)
			}
		}
	}
	return out, nil
}

// dueNames gives the keys of a shard in which rows of the targets stand, in their order.
func dueNames(targets []string) []string {
	if len(targets) == 0 {
		return nil
	}
	out := []string{dueKey(""), runningKey("")}
	for _, t := range targets {
		out = append(out, queuedKey("", t), bulkKey("", t), resumeKey("", t))
	}
	slices.Sort(out)
	return out
}

// rows looks at the next rows of a key and moves the place behind them; false at the end.
func (f *finding) rows(ctx context.Context, p *duePlace) (more bool, err error) {
	var refs []tracking.Ref
	var places []duePlace // behind each of refs
	key := shardPrefix[p.shard] + p.key
	if lane, ok := strings.CutPrefix(p.key, queuedKey("", "")); ok {
		ids, err := f.s.base.LRange(ctx, key, -p.tail-findLoad, -p.tail-1).Result()
		if err != nil {
			return false, unavailable("find dispatches", err)
		}
		target := strings.TrimSuffix(strings.TrimSuffix(lane, bulkSuffix), resumeSuffix)
		at := *p
		for _, id := range slices.Backward(ids) {
			at.tail++
			refs, places = append(refs, tracking.Ref{Tracking: id, Target: target}), append(places, at)
		}
		more = len(ids) == findLoad
	} else {
		run := deadRun{key: key, at: p.mark}
		for len(run.rows) == 0 && !run.ended {
			rows, err := f.s.base.ZRangeByScoreWithScores(ctx, key, &redis.ZRangeBy{
				Min: strconv.FormatInt(run.at.At, 10), Max: "+inf", Offset: run.skip, Count: deadChunk,
			}).Result()
			if err != nil {
				return false, unavailable("find dispatches", err)
			}
			run.take(rows)
		}
		at := *p
		for _, mark := range run.rows {
			at.mark = mark
			ref, _ := splitMember(mark.Member)
			refs, places = append(refs, ref), append(places, at)
		}
		more = !run.ended
	}
	return f.keep(ctx, p, refs, places, more)
}

// keep adds the dispatches of rows as long as the page has room, and moves the place.
func (f *finding) keep(ctx context.Context, p *duePlace, refs []tracking.Ref, places []duePlace, more bool) (bool, error) {
	var ids []string
	for _, ref := range refs {
		if (f.q.Target == "" || f.q.Target == ref.Target) && f.q.MayFit(ref.Tracking) {
			ids = append(ids, ref.Tracking)
		}
	}
	found, err := f.load(ctx, ids)
	if err != nil {
		return false, err
	}
	for i, ref := range refs {
		if len(f.page.Dispatches) >= f.size {
			return true, nil
		}
		*p = places[i]
		f.page.Looked++
		at := slices.IndexFunc(found, func(d *tracking.Dispatch) bool { return d.ID == ref.Tracking })
		if at >= 0 && f.stands(found[at]) == ref.Target && !f.has(ref.Tracking) {
			f.page.Dispatches = append(f.page.Dispatches, found[at])
		}
	}
	return more, f.breathe(ctx)
}

// stands names the delivery by whose row a dispatch is shown, so that one with several under
// way is shown once: the one that was asked for, or the first of the route.
func (f *finding) stands(d *tracking.Dispatch) string {
	if f.q.Target != "" {
		return f.q.Target
	}
	i := slices.IndexFunc(d.Targets, func(t tracking.TargetRef) bool { return !d.Deliveries[t.Name].State.Final() })
	if i < 0 {
		return ""
	}
	return d.Targets[i].Name
}
