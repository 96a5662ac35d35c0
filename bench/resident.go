package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// residentMB gives the memory that a process has now, in MB.
func residentMB(pid int) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmRSS", pid)
}

// memoryWatch looks at the memory of a process again and again.
type memoryWatch struct {
	stop, done chan struct{}
	seen       []float64
}

// watchMemory begins to look, at once and then every so often.
func watchMemory(pid int, every time.Duration) *memoryWatch {
	w := &memoryWatch{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for {
			if mb, err := residentMB(pid); err == nil { // a process that is gone is told by the load
				w.seen = append(w.seen, mb)
			}
			select {
			case <-w.stop:
				return
			case <-time.After(every):
			}
		}
	}()
	return w
}

// end gives what was seen, in MB.
func (w *memoryWatch) end() []float64 {
	close(w.stop)
	<-w.done
	return w.seen
}
