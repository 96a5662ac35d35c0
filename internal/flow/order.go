package flow

import "time"

// Mode is what an operator has a target do.
type Mode string

// The modes. A target has one of them.
const (
	Active   Mode = ""         // requests are taken and delivered
	Halted   Mode = "paused"   // requests are taken, nothing is delivered
	Draining Mode = "draining" // requests are refused, what was taken is delivered
)

// Order is what an operator has said of a target. It holds for the whole fleet until
// somebody says something else.
type Order struct {
	Mode  Mode
	By    string    // who it was, as far as they said; else the address that it came from
	Note  string    // why, as they put it
	Since time.Time // by the store's clock: when the target came into the mode
}
