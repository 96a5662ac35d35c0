package tracking

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"time"

	"headgate/dispatch/fault"
)

// Deliveries of one target, tenant and key stand in a line and are sent one after the other,
// in the order in which they entered it. A line lies in a shard of its own and is not changed
// in one step with the records: whatever a line says is checked against them. ARCHITECTURE.md,
// "Order", has the whole protocol.

// LineOf names the line of a key. What the key says cannot be read from the name. Keys of
// different tenants never share a line.
func LineOf(target, tenant, key string) string {
	h := sha256.New()
	for _, part := range []string{target, tenant, key} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	sum := h.Sum(nil)
	name := appendBase62(make([]byte, 0, 2+idDigits), [16]byte(sum[:16]))
	return fmt.Sprintf("%02d%s", int(sum[16])%Shards, name)
}

// LineShard gives the shard that a line lies in; ok is false for what names no line.
func LineShard(line string) (shard int, ok bool) {
	if len(line) != 2+idDigits || strings.ContainsAny(line, " !{}") {
		return 0, false
	}
	shard, err := strconv.Atoi(line[:2])
	return shard, err == nil && shard >= 0 && shard < Shards
}

// Times of a place in a line whose record is not there.
const (
	// AcceptWithin is how long after it entered its line a delivery may be accepted.
	AcceptWithin = 20 * time.Second
	// HoleAfter is how old a place without a record must be to count as a hole, which
	// nobody waits for. It is longer by what the clocks of two shards may be apart.
	HoleAfter = 30 * time.Second
)

// LeaveGrace is how long after a delivery's end somebody else looks after its leaving the line.
const LeaveGrace = 5 * time.Second

// Place is where a delivery stands in its line.
type Place struct {
	Before int // how many stand before it; -1: it does not stand there
	// At is when it entered, by the store's clock.
	At    time.Time
	Front []Standee // the first few of the line
	Last  []string  // tracking IDs of the last few, the last one first
}

// Standee is one who stands in a line.
type Standee struct {
	Tracking string
	Age      time.Duration // since it entered
}

// Lines is the part of Store that keeps deliveries of one key in order.
type Lines interface {
	// Enter puts a delivery at the end of a line; one that stands there stays where it is.
	Enter(ctx context.Context, line, id string) (Place, error)
	// Place tells where a delivery stands.
	Place(ctx context.Context, line, id string) (Place, error)
	// Leave takes a delivery out of a line and tells who stands there then. It may be
	// repeated. An empty line is gone.
	Leave(ctx context.Context, line, id string) (Place, error)
	// HasLeft says that a delivery which ended has left its line. Until then Overdue lists
	// it, from LeaveGrace after its end on.
	HasLeft(ctx context.Context, ref Ref) error
}

// Holds reports whether the delivery has ended and holds up those behind it all the same.
func (d Delivery) Holds() bool {
	return d.Line != "" && d.Blocks && (d.State == Failed || d.State == Unknown)
}

// Leaves reports whether the delivery has ended and is to leave its line.
func (d Delivery) Leaves() bool { return d.Line != "" && d.State.Final() && !d.Holds() }

// Parked reports whether the delivery waits for those before it in its line. No task of it is
// queued; NextAt is when to look whether it was forgotten.
func (d Delivery) Parked() bool { return d.Line != "" && d.Phase == Scheduled && d.State == Pending }

// Park gives the delivery that a run holds as one that waits in its line.
func Park(d Delivery, look time.Time) Delivery {
	d.Seq++
	d.Token, d.Lane = "", LaneResume
	d.State, d.Phase, d.NextAt = Pending, Scheduled, look
	return d
}

// Supersede gives the delivery as ended because the newer one, by, makes it moot. tried says that it may
// have been sent before.
func Supersede(d Delivery, by string, tried bool, now time.Time) Delivery {
	d.Seq++
	d.Token = ""
	message := "not sent: a newer one for the same key was accepted"
	if tried {
		message = "not tried again, for a newer one for the same key was accepted; an earlier attempt may have had effect"
	}
	d.SupersededBy = by
	d.end(Superseded, "", message, now)
	return d
}

// Expire gives the delivery as failed because its time was over before its turn came.
func Expire(d Delivery, now time.Time) Delivery {
	d.Seq++
	d.Token = ""
	d.end(Failed, fault.Expired, "the time that retry.within gives was over before those in front of it for the same key had ended", now)
	return d
}
