// Package watch owns the question whether files have changed: by the notices of the system,
// and by looking now and then, since not every file system gives notice. It knows nothing of
// what the files mean.
package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Look is how the files stand.
type Look struct {
	Sum    string // of their contents
	Taken  string // of the contents that were taken over last, well or badly
	Places []string
}

// Options of New. Zero durations take the defaults.
type Options struct {
	// Look reads the files. Places are paths of files and folders, whether they exist or not,
	// in which a change may change what is read.
	Look func() Look
	// Changed takes the files over; the next Look tells so. It is called once for each Sum.
	Changed func(ctx context.Context)
	Log     *slog.Logger

	// Settle is how long contents must have stayed the same until they are taken: nobody wants
	// half a file. Default 300 ms.
	Settle time.Duration
	// Slow is how often is looked without a notice, Poll how often where there are none.
	// Default 30 s and 5 s.
	Slow, Poll time.Duration
}

// Watcher calls Options.Changed when the files have changed.
type Watcher struct {
	o       Options
	open    func() (*fsnotify.Watcher, error)
	notices *fsnotify.Watcher // nil: there are none
	blind   atomic.Bool       // the same, for others
	tried   string            // the sum that Changed was called for last
	seen    string            // a sum that waits to settle
}

// New makes a watcher; it does nothing before Run.
func New(o Options) *Watcher {
	for d, normal := range map[*time.Duration]time.Duration{&o.Settle: 300 * time.Millisecond, &o.Slow: 30 * time.Second, &o.Poll: 5 * time.Second} {
		if *d == 0 {
			*d = normal
		}
	}
	return &Watcher{o: o, open: fsnotify.NewWatcher}
}

// Notified reports whether the system gives notice of changes.
func (w *Watcher) Notified() bool { return !w.blind.Load() }

// Run watches until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	var err error
	if w.notices, err = w.open(); err != nil {
		w.notices = nil
		w.lose(ctx, err)
	}
	defer w.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	soon := true
	for {
		var events chan fsnotify.Event
		var faults chan error
		if w.notices != nil {
			events, faults = w.notices.Events, w.notices.Errors
		}
		select {
		case <-ctx.Done():
			return
		case <-events:
		case err := <-faults: // notices were lost, perhaps: a look needs none
			w.o.Log.DebugContext(ctx, "notices of changed files", "error", err)
		case <-timer.C:
			pause := w.look(ctx)
			soon = pause == w.o.Settle
			timer.Reset(pause)
			continue
		}
		if !soon { // what follows does not put the look off: others may write beside ours
			soon = true
			timer.Reset(w.o.Settle)
		}
	}
}

// look compares, has the files taken when they have settled, and gives the time until the next
// look.
func (w *Watcher) look(ctx context.Context) time.Duration {
	now := w.o.Look()
	if w.follow(ctx, now.Places) {
		now = w.o.Look() // what changed just before the notices began brings none
	}
	switch now.Sum {
	case now.Taken:
		w.seen, w.tried = "", ""
	case w.tried: // it was taken badly, and told
		w.seen = ""
	case w.seen:
		w.seen, w.tried = "", now.Sum
		w.o.Changed(ctx)
		return w.o.Settle // other files may be read from now on
	default:
		w.seen = now.Sum
		return w.o.Settle
	}
	if w.notices == nil {
		return w.o.Poll
	}
	return w.o.Slow
}

// follow asks for notices of what happens in the folders of the places, and no others. A folder
// that came anew under the same name is asked for anew. It reports whether there are notices of
// a folder now that there were none of.
func (w *Watcher) follow(ctx context.Context, places []string) (more bool) {
	if w.notices == nil {
		return false
	}
	var wanted []string
	for _, place := range places {
		wanted = append(wanted, folders(place)...)
	}
	before := w.notices.WatchList()
	for _, old := range before {
		if !slices.Contains(wanted, old) {
			_ = w.notices.Remove(old) // the only error is that it has gone by itself
		}
	}
	for _, folder := range wanted {
		switch err := w.notices.Add(folder); {
		case err == nil:
			more = more || !slices.Contains(before, folder)
		case !errors.Is(err, fs.ErrNotExist):
			w.lose(ctx, fmt.Errorf("watch %s: %w", folder, err))
			return false
		}
	}
	return more
}

// lose does without notices from now on.
func (w *Watcher) lose(ctx context.Context, err error) {
	w.o.Log.WarnContext(ctx, "the system gives no notice of changed files; looking at them now and then instead", "every", w.o.Poll.String(), "error", err)
	w.close()
	w.blind.Store(true)
}

func (w *Watcher) close() {
	if w.notices != nil {
		_ = w.notices.Close() // nothing is left to be done about it
		w.notices = nil
	}
}
