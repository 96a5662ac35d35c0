package admin

import (
	"context"
	"net"
	"net/http"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/gateway/wire"
)

const (
	defaultRate = 50 // a second: what a backend that was just mended can bear
	maxRate     = 10000
	maxListed   = 10000
	// lineTimeout is how long one line of progress may take to be taken by the client.
	lineTimeout = 30 * time.Second
)

// bulk answers POST /deadletters/replay and /deadletters/drop: it works as long as the
// client listens, and says how far it is.
func (s *Server) bulk(w http.ResponseWriter, r *http.Request, verb dispatch.Verb) {
	var wish BulkWish
	if err := readBody(r, &wish); err != nil {
		badRequest(w, err)
		return
	}
	order, err := wish.order(verb)
	if err != nil {
		badRequest(w, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	out := &lines{w: w, conn: connOf(r.Context()), dryRun: wish.DryRun}
	last, err := s.o.DeadLetters.Bulk(ctx, order, func(p dispatch.Progress) error { return out.progress(p) })
	switch {
	case err == nil || out.broken:
	case !out.begun:
		s.letterFailed(w, r, err)
	default:
		line := out.line(last)
		line.Finished, line.Error = false, s.letterProblem(r.Context(), err).JSON()
		_ = out.write(line)
	}
}

// order checks the wish. That nothing is selected by accident, all of them must be asked
// for in so many words.
func (b BulkWish) order(verb dispatch.Verb) (o dispatch.BulkOrder, err error) {
	o = dispatch.BulkOrder{
		Verb: verb, DryRun: b.DryRun, Rate: b.Rate,
		Replay: dispatch.ReplayOrder{NewKey: b.NewKey, CurrentPlan: b.CurrentPlan},
	}
	if o.Query, err = b.query(time.Now()); err != nil {
		return o, err
	}
	filter := b.Filter
	filter.Cursor = ""
	switch some := filter != (Filter{}); {
	case b.Rate < 0 || b.Rate > maxRate:
		return o, badWish("rate: write a number a second, up to 10000")
	case len(b.Letters) > maxListed:
		return o, badWish("letters: at most 10000 can be listed")
	case len(b.Letters) > 0 && (some || b.All || b.Cursor != ""):
		return o, badWish("letters: a list takes no filter and no cursor besides")
	case len(b.Letters) == 0 && !some && !b.All:
		return o, badWish(`nothing is selected: write a filter, letters, or "all": true`)
	case some && b.All:
		return o, badWish("all: it takes no filter besides")
	case verb == dispatch.VerbDrop && (b.NewKey || b.CurrentPlan):
		return o, badWish("new_key and current_plan are for replays")
	}
	if o.Rate == 0 {
		o.Rate = defaultRate
		if verb == dispatch.VerbDrop {
			o.Rate = 0 // it touches no backend
		}
	}
	for _, l := range b.Letters {
		o.Refs = append(o.Refs, tracking.Ref{Tracking: l.TrackingID, Target: l.Target})
	}
	return o, nil
}

// badWish is what is wrong with a BulkWish.
type badWish string

// Error implements error.
func (b badWish) Error() string { return string(b) }

// lines writes progress to a client, which is noticed to have gone away only by that.
type lines struct {
	w      http.ResponseWriter
	conn   net.Conn // its time to write is prolonged with each line; may be nil
	dryRun bool
	begun  bool
	broken bool
}

func (l *lines) line(p dispatch.Progress) ProgressLine {
	out := ProgressLine{
		Matched: p.Matched, Done: p.Done, Skipped: p.Skipped, Cursor: p.Cursor, Finished: p.Finished, DryRun: l.dryRun,
	}
	if l.dryRun {
		out.Done = 0
	}
	if p.Problem != nil {
		out.Problem = &ProblemLetter{LetterRef{p.Problem.Tracking, p.Problem.Target}, p.Problem.Why}
	}
	return out
}

func (l *lines) progress(p dispatch.Progress) error {
	if l.dryRun && !p.Finished && p.Problem == nil && p.Matched == 1 {
		return nil // a count needs no first sign of life
	}
	return l.write(l.line(p))
}

func (l *lines) write(line ProgressLine) error {
	if !l.begun {
		l.begun = true
		l.w.Header().Set("Content-Type", "application/x-ndjson")
		l.w.WriteHeader(http.StatusOK)
	}
	text, err := wire.Encode(line)
	if err != nil {
		return err
	}
	if l.conn != nil {
		// The listener's own bound is for a whole answer.
		_ = l.conn.SetWriteDeadline(time.Now().Add(lineTimeout))
	}
	if _, err = l.w.Write(append(text, '\n')); err != nil {
		l.broken = true
		return err
	}
	if f, ok := l.w.(http.Flusher); ok {
		f.Flush()
	}
	return nil
}

// connKey is where a request's connection stands in its context.
type connKey struct{}

func connOf(ctx context.Context) net.Conn {
	conn, _ := ctx.Value(connKey{}).(net.Conn)
	return conn
}

// withConn keeps the connection of Fiber's context; nothing else of it may be kept.
func withConn(ctx, fibers context.Context) context.Context {
	if owner, ok := fibers.(interface{ Conn() net.Conn }); ok {
		return context.WithValue(ctx, connKey{}, owner.Conn())
	}
	return ctx
}
