package tracking

import "time"

// Waiters is how many wait for something, and for how long the one that has waited longest.
type Waiters struct {
	Count  int
	Oldest time.Duration
}

// TargetCounts are counts of one target in the whole fleet.
type TargetCounts struct {
	Open        int     // deliveries and batches that have not ended
	DeadLetters int     // that are kept now
	Jobs        Waiters // deliveries and batches in the state Waiting
}
