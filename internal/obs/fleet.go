package obs

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"headgate/dispatch/tracking"
)

// Fleet is how all processes stand together, as far as one look has shown it.
type Fleet struct {
	Up      bool // all of it was shown
	Targets []TargetState
	Workers int // -1: not known
	Memory  []NodeMemory
}

// NodeMemory is a server's memory, and from how much on requests are refused; 0: there is no bound.
type NodeMemory struct {
	tracking.NodeMemory
	Bound int64
}

var (
	workers    = prometheus.NewDesc("headgate_workers", "Worker processes that show signs of life. One that was killed counts for up to ten seconds more, or until the second scrape after a process's start."+fleetWide, nil, nil)
	redisUp    = prometheus.NewDesc("headgate_redis_up", "Whether Redis, in a cluster every master, answered all of this process's last look. While it is 0, what Redis did not tell of the fleet is missing: nothing old is told.", nil, nil)
	memoryUsed = prometheus.NewDesc("headgate_redis_memory_used_bytes", "Memory that a server of Redis uses."+fleetWide, []string{"node"}, nil)
	memoryMax  = prometheus.NewDesc("headgate_redis_memory_max_bytes", "Redis's maxmemory; 0: it has none."+fleetWide, []string{"node"}, nil)

	memoryBound = prometheus.NewDesc("headgate_redis_memory_bound_bytes", "Memory of a server of Redis from which on requests are refused (redis.max_memory); 0: a part of a maxmemory that it does not have."+fleetWide, []string{"node"}, nil)
)

// Sources are what a look asks. All are asked within one look's time.
type Sources struct {
	Targets func() []string // those of the files
	Counts  func(ctx context.Context) (map[string]tracking.TargetCounts, error)
	Held    func(ctx context.Context) (map[string]HeldState, error)
	// Pending is asked about all targets that are in the files or have something open. Those
	// that cannot be told are left out.
	Pending func(ctx context.Context, targets []string) (map[string]tracking.Waiters, error)
	Workers func(ctx context.Context) (int, error)
	Memory  func(ctx context.Context) ([]NodeMemory, error)
	// Local is how targets stand in this process; nil in one that is no worker. It asks nobody.
	Local func() map[string]WorkerState
	Log   *slog.Logger
}

// lookEvery is how old what is told may be: whoever scrapes more often, or more than one
// scraper, costs Redis nothing more. Nobody looks while nobody asks.
const lookEvery = 4 * time.Second

// lookWithin bounds one look, well within the time that a scrape may take.
const lookWithin = 3 * time.Second

// Looker looks at the fleet when it is asked and the last look is too old.
type Looker struct {
	sources Sources

	mu   sync.Mutex
	last time.Time // when the last look began; zero: never
	seen Fleet
}

// NewLooker makes a looker that has not looked yet.
func NewLooker(s Sources) *Looker { return &Looker{sources: s} }

// Fleet gives how the fleet stands. It may take as long as a look.
func (l *Looker) Fleet() Fleet {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); l.last.IsZero() || now.Sub(l.last) >= lookEvery {
		seen := l.look()
		if l.last.IsZero() || seen.Up != l.seen.Up {
			l.tell(seen.Up)
		}
		l.last, l.seen = now, seen
	}
	out := l.seen
	if l.sources.Local != nil {
		out.Targets = withWorkers(out.Targets, l.sources.Local())
	}
	return out
}

func (l *Looker) tell(up bool) {
	if !up {
		l.sources.Log.Warn("redis does not answer the look for metrics; what depends on it is not told")
	}
}

// look asks all sources. What one of them cannot say is missing, not what was known before.
func (l *Looker) look() Fleet {
	ctx, cancel := context.WithTimeout(context.Background(), lookWithin)
	defer cancel()
	out := Fleet{Workers: -1}
	var (
		wave   sync.WaitGroup
		errs   [5]error
		counts map[string]tracking.TargetCounts
		held   map[string]HeldState
	)
	wave.Go(func() { counts, errs[0] = l.sources.Counts(ctx) })
	wave.Go(func() { held, errs[1] = l.sources.Held(ctx) })
	wave.Go(func() { out.Memory, errs[2] = l.sources.Memory(ctx) })
	wave.Go(func() {
		var n int
		if n, errs[3] = l.sources.Workers(ctx); errs[3] == nil {
			out.Workers = n
		}
	})
	wave.Wait()
	names := map[string]bool{}
	for _, name := range l.sources.Targets() {
		names[name] = true
	}
	if errs[0] == nil {
		for name := range counts {
			names[name] = true
		}
	}
	targets := slices.Sorted(maps.Keys(names))
	var waiting map[string]tracking.Waiters
	waiting, errs[4] = l.sources.Pending(ctx, targets)
	for _, name := range targets {
		state := TargetState{Name: name}
		if errs[0] == nil {
			of := counts[name]
			state.Counts = &of
		}
		if errs[1] == nil {
			of := held[name]
			state.Held = &of
		}
		if of, ok := waiting[name]; ok {
			state.Pending = &of
		}
		out.Targets = append(out.Targets, state)
	}
	out.Up = errors.Join(errs[:]...) == nil
	return out
}

// withWorkers adds how targets stand in this process, also those that the fleet does not name.
func withWorkers(targets []TargetState, local map[string]WorkerState) []TargetState {
	out := slices.Clone(targets)
	for i := range out {
		if w, ok := local[out[i].Name]; ok {
			out[i].Worker = &w
			delete(local, out[i].Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(local)) {
		w := local[name]
		out = append(out, TargetState{Name: name, Worker: &w})
	}
	return out
}

// Fleet shows how the fleet stands: look is asked on each scrape, and may answer with what it
// saw a moment ago.
func (m *Metrics) Fleet(look func() Fleet) { m.registry.MustRegister(fleet{look}) }

type fleet struct{ look func() Fleet }

// Describe implements prometheus.Collector.
func (fleet) Describe(to chan<- *prometheus.Desc) {
	for _, d := range append([]*prometheus.Desc{workers, redisUp, memoryUsed, memoryMax, memoryBound}, targetDescs...) {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (f fleet) Collect(to chan<- prometheus.Metric) {
	seen := f.look()
	tell(to, redisUp, prometheus.GaugeValue, number(seen.Up))
	if seen.Workers >= 0 {
		tell(to, workers, prometheus.GaugeValue, float64(seen.Workers))
	}
	for _, n := range seen.Memory {
		tell(to, memoryUsed, prometheus.GaugeValue, float64(n.Used), n.Node)
		tell(to, memoryMax, prometheus.GaugeValue, float64(n.Max), n.Node)
		tell(to, memoryBound, prometheus.GaugeValue, float64(n.Bound), n.Node)
	}
	for i := range seen.Targets {
		seen.Targets[i].collect(to)
	}
}
