package obs

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// How long a line may wait for others, and how many bytes of them.
const (
	lingerFor   = 100 * time.Millisecond
	lingerBytes = 32 << 10
)

// Lines is a writer for a logger. It spares a busy gateway, and whoever reads its log, a
// system call for each request: the first line after a pause goes out at once, those that
// follow it together, at most lingerFor later. Whoever ends the process calls Flush; a
// process that is killed or crashes loses the lines of its last moment, warnings excepted.
type Lines struct {
	out io.Writer

	mu      sync.Mutex
	waiting []byte
	wrote   time.Time
	timer   *time.Timer // runs while something waits; nil before
}

// NewLines makes a writer to out.
func NewLines(out io.Writer) *Lines { return &Lines{out: out} }

// Write takes whole lines, as slog gives them. The error is that of a write to out: lines that
// wait are lost with it, as each would have been by itself.
func (l *Lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := lingerFor - time.Since(l.wrote)
	l.waiting = append(l.waiting, line...)
	if len(l.waiting) == len(line) && wait > 0 { // the first that waits
		l.wake(wait)
	}
	if wait > 0 && len(l.waiting) < lingerBytes {
		return len(line), nil
	}
	return len(line), l.flush()
}

func (l *Lines) wake(after time.Duration) {
	if l.timer == nil {
		l.timer = time.AfterFunc(after, func() { _ = l.Flush() })
		return
	}
	l.timer.Reset(after)
}

// Flush writes what waits.
func (l *Lines) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flush()
}

func (l *Lines) flush() error {
	if len(l.waiting) == 0 {
		return nil
	}
	_, err := l.out.Write(l.waiting)
	l.waiting = l.waiting[:0]
	l.wrote = time.Now()
	if l.timer != nil {
		l.timer.Stop()
	}
	return err
}

// urgent has warnings and what is worse written at once.
type urgent struct {
	slog.Handler
	lines *Lines
}

// Urgent gives h, whose lines go to l, so that none of level WARN or above waits.
func (l *Lines) Urgent(h slog.Handler) slog.Handler { return urgent{h, l} }

// Handle implements slog.Handler.
func (u urgent) Handle(ctx context.Context, r slog.Record) error {
	err := u.Handler.Handle(ctx, r)
	if err == nil && r.Level >= slog.LevelWarn {
		err = u.lines.Flush()
	}
	return err
}

// WithAttrs implements slog.Handler.
func (u urgent) WithAttrs(attrs []slog.Attr) slog.Handler {
	return urgent{u.Handler.WithAttrs(attrs), u.lines}
}

// WithGroup implements slog.Handler.
func (u urgent) WithGroup(name string) slog.Handler {
	return urgent{u.Handler.WithGroup(name), u.lines}
}
