package dispatch

import (
	"context"
	"errors"
	"testing"
)

func TestSeats(t *testing.T) {
	var s seats
	first, err := s.take(t.Context(), "crm", 1)
	if err != nil {
		t.Fatal(err)
	}
	if leave, err := s.take(t.Context(), "other", 1); err != nil {
		t.Error("another target has seats of its own:", err)
	} else {
		leave()
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := s.take(ended, "crm", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that no seat became free", err)
	}
	sat := make(chan func())
	go func() {
		leave, err := s.take(t.Context(), "crm", 1)
		if err != nil {
			t.Error(err)
		}
		sat <- leave
	}()
	select {
	case <-sat:
		t.Fatal("two sit on one seat")
	default:
	}
	first()
	(<-sat)()
	// With another number nobody has to wait for those who took theirs before.
	old, err := s.take(t.Context(), "crm", 1)
	if err != nil {
		t.Fatal(err)
	}
	var leave [2]func()
	for i := range leave {
		if leave[i], err = s.take(t.Context(), "crm", 2); err != nil {
			t.Fatal(err)
		}
	}
	old()
	if _, err := s.take(ended, "crm", 2); !errors.Is(err, context.Canceled) {
		t.Errorf("%v: an old seat was given away", err)
	}
	leave[0]()
	if _, err := s.take(t.Context(), "crm", 2); err != nil {
		t.Error(err)
	}
}
