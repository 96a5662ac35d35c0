package simulate

import "time"

// defaultJobDuration is how long a vendor's job takes unless told otherwise.
const defaultJobDuration = 1500 * time.Millisecond

// phase is how far a vendor's job has come.
type phase int

const (
	queued phase = iota
	running
	finished
)

// timing decides when jobs finish: after a number of polls or, when polls is 0, after a time.
type timing struct {
	polls    int
	duration time.Duration
	now      func() time.Time
}

func newTiming(polls int, duration time.Duration, now func() time.Time) timing {
	if duration <= 0 {
		duration = defaultJobDuration
	}
	if now == nil {
		now = time.Now
	}
	return timing{polls: polls, duration: duration, now: now}
}

// job is one vendor job; its owner locks. A finished job stays finished.
type job struct {
	started  time.Time
	ended    time.Time
	polls    int
	finished bool
}

func (t timing) start() job { return job{started: t.now()} }

// poll counts one look of the client and tells the phase.
func (t timing) poll(j *job) phase {
	j.polls++
	return t.phase(j)
}

// phase tells how far the job is. By polls: the nth sees it finished, those before it running, but of
// three or more the first still sees it queued. By time: queued for the first third.
func (t timing) phase(j *job) phase {
	now := t.now()
	switch elapsed := now.Sub(j.started); {
	case j.finished:
		return finished
	case t.polls > 0 && j.polls >= t.polls, t.polls <= 0 && elapsed >= t.duration:
		t.finish(j)
		return finished
	case t.polls > 0 && (j.polls == 0 || j.polls == 1 && t.polls > 2), t.polls <= 0 && elapsed < t.duration/3:
		return queued
	}
	return running
}

// finish ends the job now.
func (t timing) finish(j *job) {
	if !j.finished {
		j.finished, j.ended = true, t.now()
	}
}

// maxHistory is how many jobs and definitions a vendor remembers; the oldest are forgotten, as real
// vendors purge theirs.
const maxHistory = 10000

// history is a map that forgets its oldest entries.
type history[T any] struct {
	items map[string]T
	order []string
}

func newHistory[T any]() *history[T] { return &history[T]{items: map[string]T{}} }

func (h *history[T]) get(key string) (T, bool) {
	v, ok := h.items[key]
	return v, ok
}

func (h *history[T]) add(key string, v T) {
	h.items[key] = v
	h.order = append(h.order, key)
	if len(h.order) > maxHistory {
		delete(h.items, h.order[0])
		h.order = h.order[1:]
	}
}

func (h *history[T]) remove(key string) { delete(h.items, key) }
