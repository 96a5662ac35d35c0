package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"headgate/dispatch"
)

// Handler runs one task. Its error is one of the infrastructure.
type Handler func(ctx context.Context, t dispatch.Task) error

// Options of a Worker.
type Options struct {
	Redis redis.UniversalClient // plain: looks at queues must not stand behind the commands of others
	// Shared is for what concurrent runs do to the queue, and may be an auto-pipelining
	// client; nil takes Redis.
	Shared  redis.UniversalClient
	Handler Handler
	Log     *slog.Logger
	// Valve gives what holds a target back; nil: nothing holds any.
	Valve func(target string) Valve
	// Grace is how long steps in flight may go on when the worker stops.
	Grace time.Duration
}

// Worker serves targets, each with an asynq server of its own: a backend that hangs
// fills its own slots and nobody else's.
type Worker struct {
	o      Options
	ctx    context.Context // of all runs; ended to hand back what is still running
	cancel context.CancelFunc
	sub    *redis.PubSub
	room   *room // shared by the servers
	done   sync.WaitGroup

	mu      sync.Mutex
	servers map[string]*server
	stopped bool           // no more targets are taken
	ended   bool           // no more runs begin
	runs    sync.WaitGroup // runs under way
	retired sync.WaitGroup // servers that were replaced or released and have not stopped
}

type server struct {
	asynq       *asynq.Server
	gate        *gate
	concurrency int
}

// handBack is the part of Grace that is kept for handing deliveries back: writing the
// record and queueing the task anew.
const handBack = 2 * time.Second

// CallGrace is how long calls in flight may go on when a worker with this Grace stops.
func CallGrace(grace time.Duration) time.Duration { return max(grace-handBack, 0) }

// ShutdownFor is the Grace under which a call of this length is never cut off.
func ShutdownFor(call time.Duration) time.Duration { return call + handBack }

// NewWorker makes a worker that serves nothing yet. Stop ends it.
func NewWorker(o Options) *Worker {
	if o.Shared == nil {
		o.Shared = o.Redis
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &Worker{o: o, ctx: ctx, cancel: cancel, room: new(room), servers: map[string]*server{}}
	w.sub = o.Redis.Subscribe(ctx, wakeChannel)
	messages := w.sub.ChannelWithSubscriptions()
	w.done.Go(func() {
		for m := range messages {
			switch m := m.(type) {
			case *redis.Message:
				w.wake(strings.Fields(m.Payload))
			case *redis.Subscription: // after a lost connection; signals were lost with it
				w.wake(w.Targets())
			}
		}
	})
	return w
}

func (w *Worker) wake(targets []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range targets {
		if s := w.servers[t]; s != nil {
			s.gate.wake()
		}
	}
}

// Serve serves a target's queues with the given number of slots. Serving it again with
// another number replaces the server; with the same it does nothing.
func (w *Worker) Serve(target string, concurrency int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return errStopped
	}
	old := w.servers[target]
	if old != nil && old.concurrency == concurrency {
		return nil
	}
	s := w.newServer(target, concurrency)
	if err := s.asynq.Start(s.handle(w)); err != nil {
		return fmt.Errorf("serve target %s: %w", target, err)
	}
	w.servers[target] = s
	w.done.Go(func() { w.list(target) })
	if old != nil {
		w.retired.Go(func() { old.stop(w.o.Redis, w.o.Log) })
	}
	return nil
}

// list tells asynq of a target's queues, for its dashboard: whoever queues does that once, and
// the queues may have been given up since.
func (w *Worker) list(target string) {
	ctx, cancel := context.WithTimeout(w.ctx, listPatience)
	defer cancel()
	for lane := range lanes(target) {
		if err := w.o.Redis.SAdd(ctx, allQueues, lane).Err(); err != nil {
			w.o.Log.DebugContext(ctx, "a queue is not listed for the dashboard until something is queued", "queue", lane, "error", err)
		}
	}
}

// listPatience bounds what is done for the dashboard only.
const listPatience = 5 * time.Second

// Release stops serving a target and removes its queues; gone is false while something is in
// them, which its server is to take out first. The caller knows that no delivery of the target
// is under way: what is in the queues then is behind its record.
func (w *Worker) Release(target string) (gone bool, err error) {
	if gone, err := remove(asynq.NewInspectorFromRedisClient(w.o.Redis), target); !gone {
		return false, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.servers[target]
	if s == nil || w.stopped {
		return false, nil
	}
	delete(w.servers, target)
	w.retired.Go(func() { s.stop(w.o.Redis, w.o.Log) })
	return true, nil
}

func (w *Worker) newServer(target string, concurrency int) *server {
	queues := lanes(target)
	valve := Valve(open{})
	if w.o.Valve != nil {
		valve = w.o.Valve(target)
	}
	g := newGate(len(queues), concurrency, valve)
	client := gated{roomy{w.o.Redis, w.room}, roomy{w.o.Shared, w.room}, g, newDones()}
	log := w.o.Log.With("target", target)
	return &server{gate: g, concurrency: concurrency, asynq: asynq.NewServerFromRedisClient(client, asynq.Config{
		Concurrency: concurrency,
		Queues:      queues,
		BaseContext: func() context.Context { return w.ctx },
		// The gate paces empty looks; asynq's own pause only has to be short.
		TaskCheckInterval:        time.Millisecond,
		DelayedTaskCheckInterval: time.Second,
		JanitorInterval:          time.Minute, // none of our tasks is kept once it is completed
		// Runs of a server that is replaced have all the time that they had. When the worker
		// stops, Stop ends them.
		ShutdownTimeout: taskTimeout,
		RetryDelayFunc: func(n int, _ error, _ *asynq.Task) time.Duration {
			return min(time.Duration(n+1)*time.Second, maxRetryDelay)
		},
		ErrorHandler: asynq.ErrorHandlerFunc(func(ctx context.Context, _ *asynq.Task, err error) {
			g.forwards.failed(time.Now())
			id, _ := asynq.GetTaskID(ctx)
			log.WarnContext(ctx, "task will be run again", "task", id, "error", err)
		}),
		Logger:   asynqLog{log},
		LogLevel: asynq.WarnLevel,
	})}
}

// handle lets the target's valve count the run.
func (s *server) handle(w *Worker) asynq.HandlerFunc {
	return func(ctx context.Context, task *asynq.Task) error {
		queue, _ := asynq.GetQueueName(ctx)
		ctx, end := s.gate.valve.Begin(ctx, holdsBegun(queue))
		defer func() {
			back := end()
			s.gate.ended()
			if back {
				s.gate.wake()
			}
		}()
		return w.handle(ctx, task)
	}
}

func (w *Worker) handle(ctx context.Context, _ *asynq.Task) error {
	id, _ := asynq.GetTaskID(ctx)
	t, ok := parseTaskID(id)
	if !ok {
		// Not one of ours: somebody else's task in our queue. It is kept for a person.
		return fmt.Errorf("task %q: %w", id, asynq.SkipRetry)
	}
	w.mu.Lock()
	if w.ended {
		w.mu.Unlock()
		return errStopped // asynq has put the task back already
	}
	w.runs.Add(1)
	w.mu.Unlock()
	defer w.runs.Done()
	return w.o.Handler(ctx, t)
}

var errStopped = errors.New("the worker is stopped")

// awaitRuns waits for runs that asynq has given up waiting for: their contexts have
// ended, and what they do now is hand their deliveries back. It is bounded, for a run
// that does not heed its context must not keep the process.
func (w *Worker) awaitRuns() {
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
	done := make(chan struct{})
	go func() { w.runs.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(2 * handBack):
		w.o.Log.Warn("stopping although runs have not ended")
	}
}

// Targets lists what is served.
func (w *Worker) Targets() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]string, 0, len(w.servers))
	for t := range w.servers {
		out = append(out, t)
	}
	return out
}

// Stop takes no more tasks, lets steps in flight finish within Options.Grace and hands
// the rest back. It returns when nothing of the worker runs any longer.
func (w *Worker) Stop() {
	w.mu.Lock()
	if w.stopped {
		w.mu.Unlock()
		return
	}
	w.stopped = true
	servers := w.servers
	w.mu.Unlock()
	timer := time.AfterFunc(CallGrace(w.o.Grace), w.cancel)
	defer timer.Stop()
	var stopping sync.WaitGroup
	for _, s := range servers {
		stopping.Go(func() { s.stop(w.o.Redis, w.o.Log) })
	}
	stopping.Wait()
	w.retired.Wait()
	w.cancel()
	w.awaitRuns()
	_ = w.sub.Close()
	w.done.Wait()
}

// stop ends a server. What it has taken out and not begun goes back first: others can
// have it while runs under way are waited for.
func (s *server) stop(rdb redis.UniversalClient, log *slog.Logger) {
	s.gate.release()
	if err := putBack(context.Background(), rdb, s.gate.stock.close()); err != nil {
		log.Warn("tasks could not be put back; the reconciler will find them", "error", err)
	}
	s.asynq.Shutdown()
}

// asynqLog gives asynq's messages to slog.
type asynqLog struct{ log *slog.Logger }

func (l asynqLog) Debug(args ...any) { l.log.Debug("asynq", "text", fmt.Sprint(args...)) }
func (l asynqLog) Info(args ...any)  { l.log.Info("asynq", "text", fmt.Sprint(args...)) }
func (l asynqLog) Warn(args ...any)  { l.log.Warn("asynq", "text", fmt.Sprint(args...)) }
func (l asynqLog) Error(args ...any) { l.log.Error("asynq", "text", fmt.Sprint(args...)) }

// Fatal is called by asynq where it would end the process; ending it is ours to decide.
func (l asynqLog) Fatal(args ...any) {
	l.log.Error("asynq gives up", "text", fmt.Sprint(args...))
}
