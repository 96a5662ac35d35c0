package obs

import (
	"github.com/prometheus/client_golang/prometheus"

	"headgate/dispatch/tracking"
)

// TargetState is how a target stands. What is nil is not known, or not this process's to tell.
type TargetState struct {
	Name   string
	Worker *WorkerState           // of this process, if it is a worker that serves the target
	Held   *HeldState             // of the fleet
	Counts *tracking.TargetCounts // of the fleet
	// Pending are the deliveries of the fleet that wait to be begun.
	Pending *tracking.Waiters
}

// WorkerState is how a target stands in one worker.
type WorkerState struct {
	Breaker  int // 0 closed, 1 half-open, 2 open
	InFlight int
	Slots    int               // runs that may be under way at a time
	Waits    map[string]uint64 // so far, by reason; the reasons are a closed set
}

// HeldState is what operators hold a target back by.
type HeldState struct{ Paused, Draining bool }

var (
	byTarget = []string{"target"}

	breakerState     = prometheus.NewDesc("headgate_breaker_state", "Breaker of the target: 0 closed, 1 half-open, 2 open. Workers tell it, all the same but for the one that probes.", byTarget, nil)
	attemptsInFlight = prometheus.NewDesc("headgate_attempts_in_flight", "Runs of the target under way in this process.", byTarget, nil)
	attemptsAtMost   = prometheus.NewDesc("headgate_attempts_in_flight_max", "Runs of the target that this process may have under way at a time: limits.concurrency.", byTarget, nil)
	waitsTotal       = prometheus.NewDesc("headgate_waits_total", "How often this process was held back: before it took a task, by breaker, recovery, rate, retry_after, paused or starting; or after it, by no_room (the backend had none) or max_in_flight (of batches).", []string{"target", "reason"}, nil)

	targetPaused   = prometheus.NewDesc("headgate_target_paused", "Whether the target is paused: nothing is delivered."+fleetWide, byTarget, nil)
	targetDraining = prometheus.NewDesc("headgate_target_draining", "Whether the target is drained: no request that feeds it is taken."+fleetWide, byTarget, nil)
	openDeliveries = prometheus.NewDesc("headgate_open_deliveries", "Deliveries and batches of the target that have not ended."+fleetWide, byTarget, nil)
	pending        = prometheus.NewDesc("headgate_pending_deliveries", "Tasks of deliveries that wait to be begun, in the target's own queue and in bulk. One that was canceled counts until its turn comes; one that waits behind others of its key does not count."+fleetWide, byTarget, nil)
	pendingAge     = prometheus.NewDesc("headgate_oldest_pending_age_seconds", "For how long the delivery at the front of the target's own queue or of bulk, the older of the two, has waited since it was accepted, or replayed; 0 when none waits."+fleetWide, byTarget, nil)
	waitingJobs    = prometheus.NewDesc("headgate_waiting_jobs", "Deliveries and batches in the state waiting: the backend's job runs and is polled, or there is no room for the next call."+fleetWide, byTarget, nil)
	waitingAge     = prometheus.NewDesc("headgate_oldest_waiting_age_seconds", "For how long the oldest of the waiting jobs has been waited for; 0 when there is none."+fleetWide, byTarget, nil)
	deadLetters    = prometheus.NewDesc("headgate_dead_letters", "Dead letters of the target that are kept now."+fleetWide, byTarget, nil)
)

// fleetWide ends the help of what Redis knows.
const fleetWide = " Of the whole fleet: each process tells the same, a few seconds late, and nothing while Redis is away."

var targetDescs = []*prometheus.Desc{
	breakerState, attemptsInFlight, attemptsAtMost, waitsTotal, targetPaused, targetDraining, openDeliveries, pending, pendingAge,
	waitingJobs, waitingAge, deadLetters,
}

func (s *TargetState) collect(to chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64) {
		tell(to, desc, prometheus.GaugeValue, value, s.Name)
	}
	if w := s.Worker; w != nil {
		gauge(breakerState, float64(w.Breaker))
		gauge(attemptsInFlight, float64(w.InFlight))
		gauge(attemptsAtMost, float64(w.Slots))
		for reason, n := range w.Waits {
			tell(to, waitsTotal, prometheus.CounterValue, float64(n), s.Name, reason)
		}
	}
	if s.Held != nil {
		gauge(targetPaused, number(s.Held.Paused))
		gauge(targetDraining, number(s.Held.Draining))
	}
	if s.Counts != nil {
		gauge(openDeliveries, float64(s.Counts.Open))
		gauge(deadLetters, float64(s.Counts.DeadLetters))
		gauge(waitingJobs, float64(s.Counts.Jobs.Count))
		gauge(waitingAge, s.Counts.Jobs.Oldest.Seconds())
	}
	if s.Pending != nil {
		gauge(pending, float64(s.Pending.Count))
		gauge(pendingAge, s.Pending.Oldest.Seconds())
	}
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// tell gives one value. Names of targets come from Redis, too, where somebody may have put what
// is no name: that is told as a fault of this figure alone.
func tell(to chan<- prometheus.Metric, desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
	metric, err := prometheus.NewConstMetric(desc, kind, value, labels...)
	if err != nil {
		metric = prometheus.NewInvalidMetric(desc, err)
	}
	to <- metric
}
