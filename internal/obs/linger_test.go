package obs

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// writes keeps each write apart.
type writes struct {
	mu   sync.Mutex
	list []string
	err  error
}

func (w *writes) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, string(text))
	return len(text), w.err
}

func (w *writes) lines() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]int, 0, len(w.list))
	for _, text := range w.list {
		out = append(out, strings.Count(text, "\n"))
	}
	return out
}

func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out writes
		lines := NewLines(&out)
		log := slog.New(lines.Urgent(slog.NewTextHandler(lines, nil)))
		expect := func(when string, want ...int) {
			t.Helper()
			synctest.Wait()
			if got := out.lines(); !slices.Equal(got, want) {
				t.Fatalf("%s: writes have %v lines, want %v", when, got, want)
			}
		}
		log.Info("first")
		expect("the first goes out at once", 1)
		log.Info("second")
		log.With("a", 1).WithGroup("g").Info("third")
		expect("those that follow wait", 1)
		time.Sleep(lingerFor + time.Millisecond)
		expect("and go out together", 1, 2)
		log.Info("a")
		log.WithGroup("g").With("b", 2).Warn("b")
		expect("a warning does not wait", 1, 2, 2)
		time.Sleep(2 * lingerFor)
		expect("nothing comes twice", 1, 2, 2)
		log.Info("after a pause")
		expect("a pause begins anew", 1, 2, 2, 1)
		log.Info("long", "text", strings.Repeat("x", lingerBytes))
		expect("too much does not wait", 1, 2, 2, 1, 1)
		log.Info("last")
		if err := lines.Flush(); err != nil {
			t.Fatal(err)
		}
		expect("flushed", 1, 2, 2, 1, 1, 1)
	})
}

// TestLinesAreWhole: whoever writes at the same time, no line is torn or lost.
func TestLinesAreWhole(t *testing.T) {
	var out bytes.Buffer
	lines := NewLines(&out)
	log := slog.New(lines.Urgent(slog.NewTextHandler(lines, nil)))
	const writers, each = 8, 500
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for i := range each {
				if i%100 == 0 {
					log.Warn("w", "text", strings.Repeat("w", i))
				} else {
					log.Info("x", "text", strings.Repeat("x", i))
				}
			}
		})
	}
	group.Wait()
	if err := lines.Flush(); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if n := strings.Count(text, "\n"); n != writers*each {
		t.Errorf("%d lines of %d", n, writers*each)
	}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "time=") || strings.Count(line, "time=") != 1 {
			t.Fatalf("a torn line: %.80s", line)
		}
	}
}

func TestLinesOfABrokenWriter(t *testing.T) {
	out := writes{err: errors.New("full")}
	lines := NewLines(&out)
	if _, err := lines.Write([]byte("x\n")); err == nil {
		t.Error("the error is not told")
	}
	if err := lines.Flush(); err != nil {
		t.Errorf("nothing waits, but %v", err)
	}
}
