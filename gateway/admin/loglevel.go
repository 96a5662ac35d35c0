package admin

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"headgate/config/unit"
)

// LevelView is the body of GET /loglevel, and the answer to a LevelWish.
type LevelView struct {
	Level string `json:"level"` // debug, info, warn or error
	// Until is when the level goes back to Then; absent when it stays.
	Until time.Time `json:"until,omitzero"`
	Then  string    `json:"then,omitempty"`
}

// LevelWish is the body of PUT /loglevel.
type LevelWish struct {
	Level string `json:"level"`
	For   string `json:"for,omitempty"` // such as 10m; the level goes back then. Default: it stays
}

func (s *Server) levelEndpoints() []endpoint {
	return []endpoint{
		{http.MethodGet, "/loglevel", func(c *call) { writeJSON(c.w, http.StatusOK, s.level.view()) }},
		{http.MethodPut, "/loglevel", takesJSON(s.setLevel)},
	}
}

// setLevel answers PUT /loglevel. The audit line is written under the more talkative of the
// two levels, so that there is one whenever the level allowed it before or does after.
func (s *Server) setLevel(c *call) {
	var wish LevelWish
	if err := readBody(c.r, &wish); err != nil {
		badRequest(c.w, err)
		return
	}
	to, span, err := wish.read()
	if err != nil {
		badRequest(c.w, err)
		return
	}
	c.told = []any{"was", levelName(s.o.Level.Level()), "now", levelName(to), "for", wish.For}
	view, after := s.level.set(to, span)
	c.last = after
	writeJSON(c.w, http.StatusOK, view)
}

// SetLevel sets the level for good, as when the file says another one: what was asked for a
// time must not set it back. Options.Level must be there.
func (s *Server) SetLevel(to slog.Level) {
	if _, after := s.level.set(to, 0); after != nil {
		after()
	}
}

// read checks the wish; a span of 0 is for good.
func (l LevelWish) read() (to slog.Level, span time.Duration, err error) {
	var known bool
	for _, level := range levels {
		if strings.EqualFold(l.Level, levelName(level)) {
			to, known = level, true
		}
	}
	if !known {
		return to, 0, fmt.Errorf("level: %q is none of debug, info, warn, error", l.Level)
	}
	if l.For == "" {
		return to, 0, nil
	}
	d, err := unit.ParseDuration(l.For)
	if err != nil || d <= 0 {
		return to, 0, fmt.Errorf("for: %q is not a span of time such as 10m", l.For)
	}
	return to, d.D(), nil
}

var levels = []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}

func levelName(l slog.Level) string { return strings.ToLower(l.String()) }

// level changes the log's level, for good or for a time.
type level struct {
	v   *slog.LevelVar
	log *slog.Logger

	mu    sync.Mutex
	turn  int         // counts what was set: what belongs to an earlier turn does nothing
	back  *time.Timer // sets then; nil unless the level is for a time
	then  slog.Level
	until time.Time
}

func (l *level) view() LevelView {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.viewOf(l.v.Level())
}

// viewOf is called with mu held.
func (l *level) viewOf(now slog.Level) LevelView {
	out := LevelView{Level: levelName(now)}
	if l.back != nil {
		out.Until, out.Then = shown(l.until), levelName(l.then)
	}
	return out
}

// set changes the level at once when that makes the log say more, otherwise when after is
// called. A level for a time that follows another goes back to what was before the first.
func (l *level) set(to slog.Level, span time.Duration) (view LevelView, after func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.back == nil {
		l.then = l.v.Level()
	} else {
		l.back.Stop()
		l.back = nil
	}
	l.turn++
	turn := l.turn
	if span > 0 {
		l.until = time.Now().Add(span)
		l.back = time.AfterFunc(span, func() { l.end(turn) })
	}
	if to <= l.v.Level() {
		l.v.Set(to)
		return l.viewOf(to), nil
	}
	return l.viewOf(to), func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.turn == turn {
			l.v.Set(to)
		}
	}
}

// end sets the level that was before.
func (l *level) end(turn int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.turn != turn {
		return
	}
	l.turn++
	l.back = nil
	was := l.v.Level()
	l.v.Set(min(was, l.then))
	l.log.InfoContext(context.Background(), "log level is back", "was", levelName(was), "now", levelName(l.then))
	l.v.Set(l.then)
}

// stop ends what is under way.
func (l *level) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn++
	if l.back != nil {
		l.back.Stop()
		l.back = nil
	}
}
