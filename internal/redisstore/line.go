package redisstore

import (
	"context"
	_ "embed" // the scripts
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
)

var (
	//go:embed line.lua
	lineSource string
	//go:embed left.lua
	leftSource string

	lineScript = redis.NewScript(lineSource)
	leftScript = redis.NewScript(leftSource)
)

// seenOfLine is how many of each end of a line a place tells of.
const seenOfLine = 16

// lineTTL is how long a line is kept after somebody entered it, or looked whether it is first. It is far
// longer than anybody waits without looking.
const lineTTL = 90 * 24 * time.Hour

// Enter implements tracking.Store.
func (s *Store) Enter(ctx context.Context, line, id string) (tracking.Place, error) {
	return s.inLine(ctx, "enter", line, id)
}

// Place implements tracking.Store.
func (s *Store) Place(ctx context.Context, line, id string) (tracking.Place, error) {
	return s.inLine(ctx, "look", line, id)
}

// Leave implements tracking.Store.
func (s *Store) Leave(ctx context.Context, line, id string) (tracking.Place, error) {
	return s.inLine(ctx, "leave", line, id)
}

func (s *Store) inLine(ctx context.Context, what, line, id string) (tracking.Place, error) {
	key, ok := lineKey(line)
	if !ok {
		return tracking.Place{}, fmt.Errorf("%w: %q is no line", tracking.ErrInvalid, line)
	}
	answer, err := s.run(ctx, lineScript, []string{key}, id, what, seenOfLine, millis(lineTTL)).StringSlice()
	if err != nil {
		return tracking.Place{}, unavailable(what+" a line", err)
	}
	return placeOf(answer), nil
}

// placeOf reads what the script answers.
func placeOf(answer []string) tracking.Place {
	now, entered := atoi64(answer[0]), scoreOf(answer[2])
	p := tracking.Place{Before: int(atoi64(answer[1]))}
	if p.Before >= 0 {
		p.At = time.UnixMilli(min(entered, now)).UTC() // many at a time enter as if it were later
	}
	front, last := answer[4:], 2*int(atoi64(answer[3]))
	for i := 0; i < last; i += 2 {
		p.Front = append(p.Front, tracking.Standee{
			Tracking: front[i], Age: time.Duration(now-scoreOf(front[i+1])) * time.Millisecond,
		})
	}
	p.Last = front[last:]
	return p
}

// scoreOf reads a score, which some versions of Redis write as a fraction.
func scoreOf(text string) int64 {
	f, _ := strconv.ParseFloat(text, 64) // written by our own script; a foreign value counts as zero
	return int64(f)
}

// HasLeft implements tracking.Store.
func (s *Store) HasLeft(ctx context.Context, ref tracking.Ref) error {
	shard, err := keysOf(ref.Tracking)
	if err != nil {
		return err
	}
	keys := []string{recordKey(shard, ref.Tracking), dueKey(shard)}
	return unavailable("leave a line", s.run(ctx, leftScript, keys, ref.Tracking, ref.Target).Err())
}
