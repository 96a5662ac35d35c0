package queue

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// asynq takes each task that has been run off its queue by a script of its own. Those that
// end while such a script is under way are taken off together, by the next one.

// dones are the tasks of a server that have ended and are to be taken off.
type dones struct {
	mu      sync.Mutex
	waiting map[doneKind][]*ended // a kind is there while its scripts are being sent
}

func newDones() *dones { return &dones{waiting: map[doneKind][]*ended{}} }

// doneKind is what tasks have in common that share a script: a queue, and the day for which
// they count.
type doneKind struct{ active, lease, today, total string }

// ended is a task that waits for being taken off.
type ended struct {
	id, key string
	expire  any // when the day's count goes
	err     error
	done    chan struct{}
}

// doneAtOnce bounds what one script does, for it stops everybody else.
const doneAtOnce = 100

// donePatience bounds one script; asynq tries again what it does not know to be done.
const donePatience = 5 * time.Second

// errNotFound is what asynq's own script says of a task that is not there.
var errNotFound = errors.New("NOT FOUND")

// doneScript does for each task what asynq's own script does.
//
// KEYS are active, lease, the day's count, the total, and each task; ARGV are the end of the
// day's count (Unix s), and each ID. It returns 1 for each task that was there.
var doneScript = redis.NewScript(`
local found, n = {}, 0
for i = 2, #ARGV do
  found[i - 1] = 0
  if redis.call('LREM', KEYS[1], 0, ARGV[i]) > 0 and redis.call('ZREM', KEYS[2], ARGV[i]) == 1 and redis.call('DEL', KEYS[i + 3]) == 1 then
    found[i - 1], n = 1, n + 1
  end
end
if n > 0 then
  if redis.call('INCRBY', KEYS[3], n) == n then redis.call('EXPIREAT', KEYS[3], ARGV[1]) end
  if not tonumber(redis.pcall('INCRBY', KEYS[4], n)) then redis.call('SET', KEYS[4], n) end
end
return found`)

// isDone recognises asynq's script that takes a task off, by its keys.
func isDone(keys []string) bool {
	return len(keys) == 5 && strings.HasSuffix(keys[0], "}:active") && strings.HasSuffix(keys[1], "}:lease") &&
		strings.Contains(keys[2], "}:t:") && strings.Contains(keys[3], "}:processed:")
}

// take takes a task off the queue that the keys and arguments of asynq's script name.
func (d *dones) take(ctx context.Context, rdb redis.UniversalClient, keys []string, args []any) *redis.Cmd {
	id, _ := args[0].(string)
	e := &ended{id: id, key: keys[2], expire: args[1], done: make(chan struct{})}
	kind := doneKind{keys[0], keys[1], keys[3], keys[4]}
	d.mu.Lock()
	queue, sending := d.waiting[kind]
	d.waiting[kind] = append(queue, e)
	d.mu.Unlock()
	if !sending {
		go d.send(context.WithoutCancel(ctx), rdb, kind)
	}
	cmd := redis.NewCmd(ctx)
	select {
	case <-e.done:
	case <-ctx.Done():
		cmd.SetErr(ctx.Err())
		return cmd
	}
	if e.err != nil {
		cmd.SetErr(e.err)
	} else {
		cmd.SetVal("OK")
	}
	return cmd
}

// send sends until no task of the kind waits.
func (d *dones) send(ctx context.Context, rdb redis.UniversalClient, kind doneKind) {
	for {
		d.mu.Lock()
		queue := d.waiting[kind]
		lot := queue[:min(len(queue), doneAtOnce)]
		if len(lot) == 0 {
			delete(d.waiting, kind)
			d.mu.Unlock()
			return
		}
		d.waiting[kind] = queue[len(lot):]
		d.mu.Unlock()
		kind.takeOff(ctx, rdb, lot)
		for _, e := range lot {
			close(e.done)
		}
	}
}

func (k doneKind) takeOff(ctx context.Context, rdb redis.UniversalClient, lot []*ended) {
	ctx, cancel := context.WithTimeout(ctx, donePatience)
	defer cancel()
	keys := append(make([]string, 0, 4+len(lot)), k.active, k.lease, k.today, k.total)
	args := append(make([]any, 0, 1+len(lot)), lot[0].expire)
	for _, e := range lot {
		keys, args = append(keys, e.key), append(args, e.id)
	}
	found, err := doneScript.Run(ctx, rdb, keys, args...).Int64Slice()
	for i, e := range lot {
		if e.err = err; err == nil && found[i] == 0 {
			e.err = errNotFound
		}
	}
}
