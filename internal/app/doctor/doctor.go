// Package doctor owns what is looked at when something is wrong: files, Redis, clocks, workers,
// queues, backends, key sets and running processes. It says of each how it is and what to
// do. It changes nothing, and prints no secret.
package doctor

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"headgate/config"
	"headgate/config/yamlsrc"
	"headgate/internal/app"
	"headgate/internal/queue"
	"headgate/internal/redisstore"
	"headgate/policies"
	"headgate/routes"
)

// State is how a thing stands.
type State string

// The states.
const (
	OK      State = "ok"
	Warning State = "warning" // it works, but somebody should look, or it could not be looked at
	Problem State = "problem" // something does not work, or is about to be lost
)

// Finding is one thing that was looked at.
type Finding struct {
	About string `json:"about"` // files, redis, clocks, workers, queues, targets, keys, processes
	State State  `json:"state"`
	What  string `json:"what"`         // how it is
	Do    string `json:"do,omitempty"` // what to do, with a command
}

// Options of Examine.
type Options struct {
	ConfigPath string
	// URLs are those of admin listeners; none: that of the file.
	URLs []string
	// Token replaces that of the file for them, unless it is empty.
	Token string
	// Version is that of this program.
	Version string
	// Each is how long any one look may take; default 8 s.
	Each     time.Duration
	Resolver *net.Resolver // of backends; nil takes the system's
}

// The bounds of a look: its context ends after each, and a look that does not heed that is
// given up a moment later.
const (
	defaultEach = 8 * time.Second
	lastMoment  = 500 * time.Millisecond
)

// exam is one run.
type exam struct {
	o     Options
	conf  *config.Config
	table *routes.Table // nil when the files have problems
	conn  *redisstore.Conn
	store *redisstore.Store // nil without a connection
	queue *queue.Client
	// why says why there is no store; empty when there is one.
	why string
	// answers tells whether Redis does; looks that need it ask first.
	answers func() error
}

// look is one thing to look at.
type look struct {
	about string
	redis bool // it needs Redis
	run   func(ctx context.Context) []Finding
}

// Examine looks at everything, side by side, and gives the findings in one order. It takes
// little longer than Options.Each, whatever hangs.
func Examine(ctx context.Context, o Options) []Finding {
	if o.Each <= 0 {
		o.Each = defaultEach
	}
	e := &exam{o: o}
	out := e.files()
	e.connect(ctx)
	if e.conn != nil {
		defer func() {
			_ = e.store.Close()
			_ = e.conn.Close()
		}()
	}
	if e.table != nil {
		defer e.table.Close()
	}
	looks := []look{
		{"redis", false, e.redis},
		{"redis", true, e.allowed},
		{"clocks", true, e.clocks},
		{"workers", true, e.workers},
		{"queues", true, e.queues},
		{"queues", true, e.held},
		{"queues", true, e.dead},
	}
	looks = append(looks, e.targets()...)
	looks = append(looks, look{"keys", false, e.keys})
	looks = append(looks, e.processes()...)
	return append(out, e.all(ctx, looks)...)
}

// connect makes the connection; nothing is sent yet.
func (e *exam) connect(ctx context.Context) {
	var report yamlsrc.Report
	if config.Load(e.o.ConfigPath, &report); report.Len() > 0 {
		e.why = "the operator's file has problems, so it is not known which one"
		return
	}
	conn, err := app.Connect(ctx, e.conf, slog.New(slog.DiscardHandler))
	switch {
	case err != nil:
		e.why = err.Error()
		return
	case conn == nil:
		e.why = "it is embedded in its process, which nobody else reaches"
		return
	}
	e.conn = conn
	e.store = redisstore.New(conn.Base, conn.Base)
	e.store.KeepDeadLetters(e.conf.DeadLetters.Retention.D())
	e.queue = queue.NewClient(conn.Base, conn.Base, slog.New(slog.DiscardHandler))
	e.answers = sync.OnceValue(func() error {
		ctx, cancel := context.WithTimeout(ctx, e.o.Each/2)
		defer cancel()
		_, err := conn.Health(ctx)
		return err
	})
}

// all runs the looks side by side.
func (e *exam) all(ctx context.Context, looks []look) (out []Finding) {
	results := make([]chan []Finding, len(looks))
	for i, l := range looks {
		results[i] = make(chan []Finding, 1)
		go func() { results[i] <- e.one(ctx, l) }()
	}
	late := time.NewTimer(e.o.Each + lastMoment)
	defer late.Stop()
	over := false
	missed := map[string]bool{}
	for i, l := range looks {
		var found []Finding
		if !over {
			select {
			case found = <-results[i]:
			case <-late.C:
				over = true
			}
		}
		if over {
			select {
			case found = <-results[i]:
			default:
				found = []Finding{{l.about, Warning, "a look did not end in " + e.o.Each.String(), "try again; --timeout 30s waits longer"}}
			}
		}
		for _, f := range found {
			// Whatever needs Redis says the same when that does not answer: once is enough.
			if f == notLooked(l.about) {
				if missed[l.about] {
					continue
				}
				missed[l.about] = true
			}
			out = append(out, f)
		}
	}
	return out
}

// notLooked is what is said of a thing when Redis does not answer.
func notLooked(about string) Finding {
	return Finding{about, Warning, "not looked at: redis does not answer", "see redis above"}
}

// one runs one look.
func (e *exam) one(ctx context.Context, l look) []Finding {
	if l.redis {
		if e.store == nil {
			return nil // said once, of Redis
		}
		if err := e.answers(); err != nil {
			if l.about == "redis" {
				return nil
			}
			return []Finding{notLooked(l.about)}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, e.o.Each)
	defer cancel()
	found := l.run(ctx)
	for i := range found {
		found[i].About = l.about
	}
	return found
}

// deps are what files are compiled with here: key sets are fetched, limits are not counted.
func (e *exam) deps() policies.Deps {
	return policies.Deps{HTTP: httpClient(e.o.Each)}
}
