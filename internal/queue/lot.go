package queue

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// A look takes out a lot: as many tasks as there are free slots, in one round trip. asynq
// asks for one at a time, and one after the other; it is given the rest of the lot from
// here before anything else is taken out. Since slots were free for all of it, nothing
// waits here for longer than asynq needs to ask.

// maxLot bounds a lot, so that the tasks of a burst spread over all workers.
const maxLot = 16

// taken is one task that was taken out of a lane.
type taken struct{ lane, id, message string }

// stock is what was taken out and not yet given to asynq.
type stock struct {
	mu     sync.Mutex
	tasks  []taken
	closed bool
}

// give gives the oldest task of a lane; false when there is none. some tells whether there
// is any, of whatever lane: what was taken out goes first.
func (s *stock) give(lane string) (message string, ok, some bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.tasks, func(t taken) bool { return t.lane == lane })
	if i < 0 {
		return "", false, len(s.tasks) > 0
	}
	message = s.tasks[i].message
	s.tasks = slices.Delete(s.tasks, i, i+1)
	return message, true, true
}

// keep takes in a lot; false when the server stops and none will be asked for any more.
func (s *stock) keep(lot []taken) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.tasks = append(s.tasks, lot...)
	}
	return !s.closed
}

func (s *stock) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tasks)
}

// close ends the giving. What is returned has to be put back.
func (s *stock) close() []taken {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := s.tasks
	s.tasks, s.closed = nil, true
	return left
}

// takeScript takes up to ARGV[3] tasks out of a queue, each as asynq's own script does.
// Only an entry without a task, of which asynq would make half a one, is dropped.
//
// KEYS are pending, paused, active and lease; ARGV are the end of the lease (Unix s), the
// prefix of tasks' keys, and how many at most.
var takeScript = redis.NewScript(`
if redis.call('EXISTS', KEYS[2]) == 1 then return {} end
local lot = {}
for _ = 1, tonumber(ARGV[3]) do
  local id = redis.call('RPOPLPUSH', KEYS[1], KEYS[3])
  if not id then break end
  local key = ARGV[2] .. id
  local msg = redis.call('HGET', key, 'msg')
  if msg then
    redis.call('HSET', key, 'state', 'active')
    redis.call('HDEL', key, 'pending_since')
    redis.call('ZADD', KEYS[4], ARGV[1], id)
    lot[#lot + 1] = id
    lot[#lot + 1] = msg
  else
    redis.call('LREM', KEYS[3], 1, id)
  end
end
return lot`)

// take takes up to n tasks out of the queue that the keys and arguments of asynq's dequeue
// script name.
func take(ctx context.Context, rdb redis.UniversalClient, keys []string, args []any, n int) ([]taken, error) {
	flat, err := takeScript.Run(ctx, rdb, keys, args[0], args[1], n).StringSlice()
	if err != nil {
		return nil, err
	}
	lot := make([]taken, 0, len(flat)/2)
	for i := 0; i+1 < len(flat); i += 2 {
		lot = append(lot, taken{lane: laneOf(keys), id: flat[i], message: flat[i+1]})
	}
	return lot, nil
}

// putBackScript puts tasks back to where they were taken out, the last one first. What
// somebody else has made of one in the meantime is left alone.
//
// KEYS are pending, active and lease; ARGV are the prefix of tasks' keys, and IDs.
var putBackScript = redis.NewScript(`
for i = #ARGV, 2, -1 do
  if redis.call('LREM', KEYS[2], 1, ARGV[i]) == 1 and redis.call('ZREM', KEYS[3], ARGV[i]) == 1 then
    redis.call('HSET', ARGV[1] .. ARGV[i], 'state', 'pending')
    redis.call('RPUSH', KEYS[1], ARGV[i])
  end
end
return 1`)

// putBackFor bounds how long stopping tries to put tasks back. What could not be put
// back is found by the reconciler once its lease has ended.
const putBackFor = time.Second

// putBack puts tasks back that were taken out and not given, and wakes other workers.
func putBack(ctx context.Context, rdb redis.UniversalClient, tasks []taken) error {
	ctx, cancel := context.WithTimeout(ctx, putBackFor)
	defer cancel()
	byLane := map[string][]any{}
	for _, t := range tasks {
		byLane[t.lane] = append(byLane[t.lane], t.id)
	}
	for lane, ids := range byLane {
		prefix := "asynq:{" + lane + "}:"
		keys := []string{prefix + "pending", prefix + "active", prefix + "lease"}
		if err := putBackScript.Run(ctx, rdb, keys, append([]any{prefix + "t:"}, ids...)...).Err(); err != nil {
			return err
		}
		if err := rdb.Publish(ctx, wakeChannel, TargetOf(lane)).Err(); err != nil {
			return err
		}
	}
	return nil
}
