package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"headgate/dispatch/tracking"
)

// lines brings deliveries of one key on, one after the other. ARCHITECTURE.md, "Order", has
// the protocol.
type lines struct {
	store tracking.Store
	queue Queue
}

// standing is what one who stands in a line means for those behind it.
type standing int

const (
	present standing = iota // it will end some time, or holds them up on purpose
	hole                    // it may yet be accepted
	gone                    // it has ended, or never was accepted
)

// look tells how one stands who is in front, and gives its delivery.
func (l lines) look(ctx context.Context, ref tracking.Ref, age time.Duration) (standing, tracking.Delivery, error) {
	record, err := l.store.Load(ctx, ref.Tracking)
	switch {
	case errors.Is(err, tracking.ErrNotFound) && age < tracking.HoleAfter:
		return hole, tracking.Delivery{}, nil
	case errors.Is(err, tracking.ErrNotFound):
		return gone, tracking.Delivery{}, nil
	case err != nil:
		return present, tracking.Delivery{}, err
	}
	d := record.Deliveries[ref.Target]
	switch {
	case d.Leaves():
		return gone, d, nil
	case d.State != tracking.Failed || !d.Holds():
		return present, d, nil
	}
	// It holds the others up for as long as somebody can do something about it.
	letter, err := l.store.Letter(ctx, ref)
	switch {
	case errors.Is(err, tracking.ErrNotFound):
		return gone, d, nil
	case err != nil:
		return present, d, err
	case letter.Delivery.State == tracking.Failed && !letter.Dead:
		return gone, d, nil
	}
	return present, letter.Delivery, nil
}

// leave takes a delivery that has ended out of its line, and brings the next one on. One that
// stands in none, or stays, is left alone. It may be repeated.
func (l lines) leave(ctx context.Context, ref tracking.Ref, d tracking.Delivery) error {
	if !d.Leaves() {
		return nil
	}
	if err := l.part(ctx, ref, d.Line); err != nil {
		return err
	}
	return l.store.HasLeft(ctx, ref) // last: until then its row brings whoever goes on here
}

// part takes whoever it is out of a line, and brings the next one on.
func (l lines) part(ctx context.Context, ref tracking.Ref, line string) error {
	place, err := l.store.Leave(ctx, line, ref.Tracking)
	if err != nil {
		return err
	}
	return l.next(ctx, ref.Target, line, place)
}

// next wakes the first one of a line if it waits there. Who is in front and gone is taken out;
// whoever stands behind a hole is woken, to see to it that the hole closes.
func (l lines) next(ctx context.Context, target, line string, place tracking.Place) error {
	for i := 0; i < len(place.Front); {
		one := tracking.Ref{Tracking: place.Front[i].Tracking, Target: target}
		stands, d, err := l.look(ctx, one, place.Front[i].Age)
		switch {
		case err != nil:
			return err
		case stands == gone:
			if place, err = l.store.Leave(ctx, line, one.Tracking); err != nil {
				return err
			}
			i = 0
		case stands == hole:
			i++
		default:
			return l.wake(ctx, one, d)
		}
	}
	return nil
}

// wake has a delivery run that waits in its line.
func (l lines) wake(ctx context.Context, ref tracking.Ref, d tracking.Delivery) error {
	if !d.Parked() {
		return nil
	}
	return goOn(ctx, l.store, l.queue, ref, d)
}

// first takes out those in front who are gone until it is known who is first. closes says in
// how long the hole in front of the delivery closes; 0: there is none.
func (l lines) first(ctx context.Context, ref tracking.Ref, line string) (place tracking.Place, closes time.Duration, err error) {
	for {
		if place, err = l.store.Place(ctx, line, ref.Tracking); err != nil || place.Before <= 0 {
			return place, 0, err
		}
		head := place.Front[0]
		stands, _, err := l.look(ctx, tracking.Ref{Tracking: head.Tracking, Target: ref.Target}, head.Age)
		switch {
		case err != nil:
			return place, 0, err
		case stands == hole && place.Before < len(place.Front):
			return place, tracking.HoleAfter - head.Age, nil
		case stands != gone:
			return place, 0, nil
		}
		if _, err := l.store.Leave(ctx, line, head.Tracking); err != nil {
			return place, 0, err
		}
	}
}

// newer finds the newest accepted delivery behind one that has not ended; empty: there is none.
func (l lines) newer(ctx context.Context, ref tracking.Ref, place tracking.Place) (string, error) {
	for _, id := range place.Last {
		if id == ref.Tracking {
			return "", nil
		}
		record, err := l.store.Load(ctx, id)
		if err == nil && !record.Deliveries[ref.Target].State.Final() {
			return id, nil
		}
		if err != nil && !errors.Is(err, tracking.ErrNotFound) {
			return "", err
		}
	}
	return "", nil
}

// replace ends the delivery right before the last one of a line if it waits, too: nobody would send it
// any more. now is the store's time.
func (l lines) replace(ctx context.Context, last tracking.Ref, place tracking.Place, now time.Time) error {
	if place.Before < 2 || len(place.Last) < 2 || place.Last[0] != last.Tracking {
		return nil
	}
	old := tracking.Ref{Tracking: place.Last[1], Target: last.Target}
	record, err := l.store.Load(ctx, old.Tracking)
	if errors.Is(err, tracking.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	d := record.Deliveries[old.Target]
	if !d.Parked() {
		return l.leave(ctx, old, d) // it may have been ended here, and nobody learnt it
	}
	next := tracking.Supersede(d, last.Tracking, false, now)
	if err := l.store.Apply(ctx, old, d.Fence, next); err != nil {
		if moved(err) {
			return nil
		}
		return err
	}
	return l.leave(ctx, old, next)
}

// leaveAll has those of several who have ended leave their lines. What fails is left to the
// reconciler, whose rows tell of it.
func (l lines) leaveAll(ctx context.Context, target string, changes []tracking.Change) {
	var wave sync.WaitGroup
	slots := make(chan struct{}, leavingAtOnce)
	for _, c := range changes {
		if !c.Next.Leaves() {
			continue
		}
		slots <- struct{}{}
		wave.Go(func() {
			defer func() { <-slots }()
			// Who moved before it could be ended has not ended, and stays.
			if record, err := l.store.Load(ctx, c.Tracking); err == nil {
				_ = l.leave(ctx, tracking.Ref{Tracking: c.Tracking, Target: target}, record.Deliveries[target])
			}
		})
	}
	wave.Wait()
}

// leavingAtOnce bounds how many leave their lines at a time.
const leavingAtOnce = 64

// enter puts the deliveries of a request that are ordered at the end of their lines, all in one wave.
// It sets until when the request may be accepted then.
func (l lines) enter(ctx context.Context, a *tracking.Acceptance) error {
	var (
		wave sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	for _, d := range a.Dispatch.Deliveries {
		if d.Line == "" {
			continue
		}
		wave.Go(func() {
			place, err := l.store.Enter(ctx, d.Line, a.Dispatch.ID)
			mu.Lock()
			defer mu.Unlock()
			if until := place.At.Add(tracking.AcceptWithin); err == nil && (a.Until.IsZero() || until.Before(a.Until)) {
				a.Until = until
			}
			errs = append(errs, err)
		})
	}
	wave.Wait()
	return errors.Join(errs...)
}

// retreatTime bounds giving back places.
const retreatTime = 5 * time.Second

// retreat gives back the places of a request that was not accepted. What cannot be given back counts
// as a hole before long.
func (l lines) retreat(ctx context.Context, d *tracking.Dispatch) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), retreatTime)
	defer cancel()
	for name, delivery := range d.Deliveries {
		if delivery.Line != "" {
			_ = l.part(ctx, tracking.Ref{Tracking: d.ID, Target: name}, delivery.Line)
		}
	}
}

// follow says in deliveries that wait in a line how many are before them, and which one holds them up.
func (l lines) follow(ctx context.Context, found *tracking.Dispatch) error {
	for name, d := range found.Deliveries {
		if !d.Parked() {
			continue
		}
		place, err := l.store.Place(ctx, d.Line, found.ID)
		if err != nil {
			return err
		}
		if place.Before <= 0 {
			continue
		}
		d.Message = fmt.Sprintf("waits for %d before it with the same key", place.Before)
		head := place.Front[0]
		_, first, err := l.look(ctx, tracking.Ref{Tracking: head.Tracking, Target: name}, head.Age)
		if err != nil {
			return err
		}
		if first.Holds() {
			d.Message += fmt.Sprintf("; %s is %s and holds them up", head.Tracking, first.State)
		}
		found.Deliveries[name] = d
	}
	return nil
}
