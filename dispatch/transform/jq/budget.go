package jq

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// What one evaluation may cost. Work is counted, not timed, so that the same data gives
// the same answer however busy the machine is: one unit is one instruction of the
// interpreter, some 50 ns, and everything that a single instruction does to much data
// is charged by its size before it is done.
const (
	baseWork = 1_000_000 // some 50 ms
	// workPerNode is granted beyond baseWork for each value of the input, so that a batch
	// of thousands of records can be mapped by one expression.
	workPerNode = 20
	// bytesPerUnit says how many bytes are read and written in the time of one unit, by
	// the slower functions: those that escape.
	bytesPerUnit = 4

	// maxOutput bounds one result in bytes, unless the input is already a quarter of it.
	maxOutput     = 1 << 20
	outputPerByte = 4
	bytesPerNode  = 8

	maxNesting = 1_000     // of lists and objects: what follows them recurses
	maxDigits  = 400       // of a number that is computed with: reading digits is quadratic
	maxIndex   = 1_000_000 // of a list: assigning beyond the end allocates up to there
)

// maxTime is the last line of defence, for work that the count does not see. It is wide,
// since a request must not be refused because the machine is busy.
const maxTime = slowness * 5 * time.Second

var (
	errWork    = errors.New("takes too much work: the data is too large for it, or it never ends")
	errOutput  = errors.New("gives too large a result")
	errNesting = fmt.Errorf("the data is nested more than %d levels deep", maxNesting)
	errDigits  = fmt.Errorf("a number has more than %d digits", maxDigits)
	errIndex   = fmt.Errorf("a list index is larger than %d", maxIndex)
)

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// budget is what one evaluation has left. It is also the context that the interpreter
// asks before each instruction: a timer per evaluation would cost more than most
// expressions.
type budget struct {
	scope    any
	left     int
	spent    int // by charge, for those who want to know what a value weighed
	out      int
	extended bool
	stopped  error
	ticks    uint8
	began    time.Time
}

func (b *budget) begin(scope any) {
	*b = budget{scope: scope, left: baseWork, out: maxOutput, began: time.Now()}
}

// Done implements context.Context: a nil channel never stops the interpreter.
func (b *budget) Done() <-chan struct{} {
	b.left--
	if b.ticks++; b.ticks == 0 && time.Since(b.began) > maxTime {
		b.stopped = errWork
	}
	if b.stopped != nil || b.left < 0 && b.charge(0) != nil {
		return closed
	}
	return nil
}

// Err implements context.Context.
func (b *budget) Err() error { return b.stopped }

// Deadline implements context.Context.
func (b *budget) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value implements context.Context.
func (b *budget) Value(any) any { return nil }

// charge takes units of work. An error, once given, stays: an expression that catches
// it is stopped at its next instruction.
func (b *budget) charge(units int) error {
	b.spent += units
	if b.left -= units; b.left >= 0 || b.stopped != nil {
		return b.stopped
	}
	b.extend()
	if b.left < 0 {
		b.stopped = errWork
	}
	return b.stopped
}

// extend measures the input and grants what its size deserves. Measuring takes time of
// its own, so it is done only when the ordinary allowance is used up.
func (b *budget) extend() {
	if b.extended {
		return
	}
	b.extended = true
	size := measure(b.scope, 0)
	b.left += workPerNode*size.nodes + size.bytes
	b.out += max(0, outputPerByte*(size.bytes+bytesPerNode*size.nodes)-maxOutput)
}

// weigh charges a value with everything in it, as often as it is in there: a value may
// hold another many times over, and is then large only for those who walk through it.
func (b *budget) weigh(v any, depth int) error {
	switch v := v.(type) {
	case string:
		return b.charge(1 + len(v)/bytesPerUnit)
	case json.Number:
		return b.digits(v)
	case *big.Int:
		return b.digits(v)
	case []any:
		if depth > maxNesting {
			return errNesting
		}
		if err := b.charge(1 + len(v)); err != nil {
			return err
		}
		for _, x := range v {
			if err := b.weigh(x, depth+1); err != nil {
				return err
			}
		}
	case map[string]any:
		if depth > maxNesting {
			return errNesting
		}
		if err := b.charge(1 + 2*len(v)); err != nil {
			return err
		}
		for k, x := range v {
			if len(k) > bytesPerUnit {
				_ = b.charge(len(k) / bytesPerUnit) // told by the next
			}
			if err := b.weigh(x, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *budget) weighBoth(x, y any) error {
	if err := b.weigh(x, 0); err != nil {
		return err
	}
	return b.weigh(y, 0)
}

// flat charges the copy of a value without what is inside it.
func (b *budget) flat(v any) error {
	switch v := v.(type) {
	case string:
		return b.charge(len(v) / bytesPerUnit)
	case []any:
		return b.charge(len(v))
	case map[string]any:
		return b.charge(3 * len(v)) // measured: a map is far dearer to copy than a list
	}
	return nil
}

// digits refuses numbers whose arithmetic would take long.
func (b *budget) digits(v any) error {
	switch v := v.(type) {
	case json.Number:
		if len(v) > maxDigits {
			return errDigits
		}
	case *big.Int:
		if v.BitLen() > 4*maxDigits {
			return errDigits
		}
	}
	return nil
}

type extent struct{ nodes, bytes int }

// measure sizes the input. It comes from a JSON decoder, so it is a tree of bounded size.
func measure(v any, depth int) extent {
	out := extent{nodes: 1}
	if depth > maxNesting {
		return out
	}
	switch v := v.(type) {
	case string:
		out.bytes = len(v)
	case json.Number:
		out.bytes = len(v)
	case []any:
		for _, x := range v {
			e := measure(x, depth+1)
			out.nodes, out.bytes = out.nodes+e.nodes, out.bytes+e.bytes
		}
	case map[string]any:
		for k, x := range v {
			e := measure(x, depth+1)
			out.nodes, out.bytes = out.nodes+e.nodes, out.bytes+e.bytes+len(k)
		}
	}
	return out
}
