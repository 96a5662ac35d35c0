package queue

import (
	"context"
	_ "embed" // the script
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/encoding/protowire"

	"headgate/dispatch"
)

// feed queues tasks that may run at once: those that gather while a round trip is under
// way travel together in the next. asynq has no call for many tasks, so what its own
// client would write is written here; a test holds the two against each other.
type feed struct {
	rdb   redis.UniversalClient // plain
	nodes *redis.ClusterClient  // the same, when it is one
	log   *slog.Logger

	mu      sync.Mutex
	waiting map[string][]item    // by queue
	count   int                  // of all that wait
	turned  int                  // tasks that found no room since that was last told
	running bool                 // somebody is sending
	idle    *sync.Cond           // running has ended
	known   map[string]time.Time // when asynq was told of a queue
}

// item is a task with who wants to know of it; nobody when it is nil.
type item struct {
	dispatch.Task
	done *wait
}

// wait is what somebody waits for.
type wait struct {
	left sync.WaitGroup
	mu   sync.Mutex
	err  error
}

func (w *wait) end(err error) {
	if err != nil {
		w.mu.Lock()
		w.err = errors.Join(w.err, err)
		w.mu.Unlock()
	}
	w.left.Done()
}

// feedRoom is how many tasks may wait, as many as a gateway takes in within about a second.
// What comes on top is left to the reconciler: who brings it must not be held up by a Redis,
// or a node of a cluster, that stands still.
const feedRoom = 1 << 15

var errNoRoom = errors.New("too many tasks wait to be queued")

// feedLot bounds the tasks of one script, which nobody else's commands can interrupt.
const feedLot = 200

// feedPatience bounds one round trip; what it did not do is the reconciler's.
const feedPatience = 5 * time.Second

func newFeed(rdb redis.UniversalClient, log *slog.Logger) *feed {
	nodes, _ := rdb.(*redis.ClusterClient)
	f := &feed{rdb: rdb, log: log, nodes: nodes, waiting: map[string][]item{}, known: map[string]time.Time{}}
	f.idle = sync.NewCond(&f.mu)
	return f
}

// add takes tasks over.
func (f *feed) add(tasks []dispatch.Task, done *wait) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count >= feedRoom {
		f.turned += len(tasks)
		for range tasks {
			if done != nil {
				done.end(errNoRoom)
			}
		}
		return
	}
	for _, t := range tasks {
		q := lane(t)
		f.waiting[q] = append(f.waiting[q], item{t, done})
	}
	f.count += len(tasks)
	if !f.running {
		f.running = true
		go f.run()
	}
}

// run sends until nothing is left.
func (f *feed) run() {
	for {
		f.mu.Lock()
		if f.count == 0 {
			f.running = false
			f.idle.Broadcast()
			f.mu.Unlock()
			return
		}
		lots, turned := f.take(), f.turned
		f.turned = 0
		f.mu.Unlock()
		if turned > 0 {
			f.log.Warn("too many tasks wait to be queued; the reconciler will queue the others", "tasks", turned)
		}
		f.send(lots)
	}
}

// drained waits until nothing is waiting or on its way. When ctx ends before, what still
// waits is given up: the due rows have it.
func (f *feed) drained(ctx context.Context) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.mu.Lock()
		defer f.mu.Unlock()
		for f.running {
			f.idle.Wait()
		}
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	f.giveUp(ctx.Err())
	<-ended // one round trip more at most
	return ctx.Err()
}

func (f *feed) giveUp(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, items := range f.waiting {
		for _, it := range items {
			if it.done != nil {
				it.done.end(err)
			}
		}
	}
	f.waiting, f.count = map[string][]item{}, 0
}

// lot is some tasks of one queue.
type lot struct {
	queue string
	items []item
}

// take is called with mu held.
func (f *feed) take() []lot {
	lots := make([]lot, 0, len(f.waiting))
	for q, items := range f.waiting {
		n := min(len(items), feedLot)
		lots = append(lots, lot{q, items[:n:n]})
		f.count -= n
		if n < len(items) {
			f.waiting[q] = items[n:]
		} else {
			delete(f.waiting, q)
		}
	}
	return lots
}

// send queues what it is given, wakes the workers and tells who waits.
func (f *feed) send(lots []lot) {
	ctx, cancel := context.WithTimeout(context.Background(), feedPatience)
	defer cancel()
	errs := make([]error, len(lots))
	if err := f.publish(ctx, lots); err != nil {
		for i := range errs {
			errs[i] = err
		}
	} else {
		f.write(ctx, lots, errs)
	}
	for i, l := range lots {
		if errs[i] != nil {
			f.log.Warn("tasks could not be queued; the reconciler will", "queue", l.queue, "tasks", len(l.items), "error", errs[i])
		}
		for _, it := range l.items {
			if it.done != nil {
				it.done.end(errs[i])
			}
		}
	}
}

//go:embed enqueue.lua
var enqueueSource string

var enqueueScript = redis.NewScript(enqueueSource)

// write sends one script for each lot, and then the signal to look at the queues: in one
// round trip, but for a cluster.
func (f *feed) write(ctx context.Context, lots []lot, errs []error) {
	now := time.Now().UnixNano()
	targets := targetsOf(lots)
	if f.nodes != nil {
		for i, l := range lots { // there is one
			errs[i] = f.writeTo(ctx, l, now)
		}
		return
	}
	pipe := f.rdb.Pipeline()
	commands := make([]*redis.Cmd, len(lots))
	for i, l := range lots {
		keys, args := l.call(now)
		commands[i] = enqueueScript.EvalSha(ctx, pipe, keys, args...)
	}
	pipe.Publish(ctx, wakeChannel, targets)
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, cmd := range commands {
		if errs[i] = cmd.Err(); redis.HasErrorPrefix(errs[i], "NOSCRIPT") {
			keys, args := lots[i].call(now)
			errs[i] = errors.Join(enqueueScript.Eval(ctx, f.rdb, keys, args...).Err(), wake(ctx, f.rdb, targets))
		}
	}
}

// writeTo queues a lot in a cluster. The signal goes out by the node that has the queue: any
// node tells all others, but the one that would be chosen by the channel may stand still.
func (f *feed) writeTo(ctx context.Context, l lot, now int64) error {
	keys, args := l.call(now)
	if err := enqueueScript.Run(ctx, f.rdb, keys, args...).Err(); err != nil {
		return err
	}
	if node, err := f.nodes.MasterForKey(ctx, keys[0]); err == nil {
		_ = node.Publish(ctx, wakeChannel, TargetOf(l.queue)).Err() // a worker that is not woken looks within idleLook
	}
	return nil
}

// wake makes workers look at the queues of targets, which stand separated by spaces.
func wake(ctx context.Context, rdb redis.UniversalClient, targets string) error {
	if err := rdb.Publish(ctx, wakeChannel, targets).Err(); err != nil {
		return fmt.Errorf("wake workers: %w", err)
	}
	return nil
}

// call gives the keys and arguments of the script.
func (l *lot) call(now int64) (keys []string, args []any) {
	prefix := "asynq:{" + l.queue + "}:"
	args = make([]any, 2, 2+2*len(l.items))
	args[0], args[1] = prefix+"t:", now
	for _, it := range l.items {
		id := taskID(it.Task)
		args = append(args, id, message(id, l.queue))
	}
	return []string{prefix + "pending"}, args
}

// message is a task as asynq's client encodes it: its TaskMessage in Protocol Buffers.
func message(id, queue string) []byte {
	out := make([]byte, 0, len(taskType)+len(id)+len(queue)+16)
	out = protowire.AppendString(protowire.AppendTag(out, 1, protowire.BytesType), taskType)
	out = protowire.AppendString(protowire.AppendTag(out, 3, protowire.BytesType), id)
	out = protowire.AppendString(protowire.AppendTag(out, 4, protowire.BytesType), queue)
	out = protowire.AppendVarint(protowire.AppendTag(out, 5, protowire.VarintType), infraRetries)
	return protowire.AppendVarint(protowire.AppendTag(out, 8, protowire.VarintType), uint64(taskTimeout.Seconds()))
}

// knownFor is how long a queue passes for known to asynq. Somebody may delete an empty one
// in the dashboard: it is served all the same, and shown again after this.
const knownFor = 30 * time.Second

// publish tells asynq of queues that it does not know yet, as its client does.
func (f *feed) publish(ctx context.Context, lots []lot) error {
	for _, l := range lots {
		if told, ok := f.known[l.queue]; ok && time.Since(told) < knownFor {
			continue
		}
		err := f.rdb.SAdd(ctx, allQueues, l.queue).Err()
		if isFull(err) {
			err = f.rdb.Eval(ctx, listScript, []string{allQueues}, l.queue).Err()
		}
		if err != nil {
			return fmt.Errorf("list queue %s: %w", l.queue, err)
		}
		f.known[l.queue] = time.Now() // only run's goroutine is here
	}
	return nil
}

// allQueues is asynq's set of queues.
const allQueues = "asynq:queues"

// targetsOf names the targets of lots, each once, separated by spaces.
func targetsOf(lots []lot) string {
	seen := make(map[string]bool, len(lots))
	var out strings.Builder
	for _, l := range lots {
		if t := TargetOf(l.queue); !seen[t] {
			seen[t] = true
			if out.Len() > 0 {
				out.WriteByte(' ')
			}
			out.WriteString(t)
		}
	}
	return out.String()
}
