package target

import (
	"context"
	"errors"
	"fmt"

	"headgate/dispatch/encode"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// Room is how much may be taken. The zero Room has none.
type Room struct {
	records int
	bytes   int64
	taken   bool
}

// unlimited is more than any batch holds.
const unlimited = 1 << 40

// Take reports whether a record of that many bytes is within the room, as part of a JSON
// array. After the first one that is not, none is. One record always is: that it is too
// large by itself is seen when it joins, or when it is written.
func (r *Room) Take(size int) bool {
	need := int64(size + len(","))
	if r.records < 1 || (r.taken && need > r.bytes) {
		*r = Room{}
		return false
	}
	r.taken = true
	r.records--
	r.bytes -= need
	return true
}

// Full reports whether no further record is within the room.
func (r *Room) Full() bool { return r.records < 1 }

// Room is for the records of a batch that go through its steps at a time.
func (b *Batch) Room(d tracking.Delivery) Room {
	room := Room{records: unlimited, bytes: int64(b.MaxBytes) - int64(len("[]"))}
	if d.Window > 0 { // they were within it before
		room.bytes = unlimited
	}
	if b.Chunk != nil && b.Chunk.Into == intoJob && d.Window == 0 {
		room = b.Chunk.room()
	}
	if d.WindowMax > 0 {
		room.records = min(room.records, d.WindowMax)
	}
	return room
}

// Part is for the records of one upload, among those that go through the steps.
func (b *Batch) Part(d tracking.Delivery) Room {
	if b.Chunk != nil && b.Chunk.Into == intoStep {
		return b.Chunk.room()
	}
	return Room{records: unlimited, bytes: unlimited}
}

func (k *Chunk) room() Room {
	return Room{records: k.MaxRecords, bytes: int64(k.MaxBytes) - int64(len("[]"))}
}

// Later reports whether records for which there is no room go through the steps after the
// others. Otherwise they join another batch.
func (b *Batch) Later(d tracking.Delivery) bool {
	return d.WindowMax > 0 || (b.Chunk != nil && b.Chunk.Into == intoJob)
}

// uploadMax is how many bytes the body of one upload has at most.
func (b *Batch) uploadMax() int64 {
	if b.Chunk != nil {
		return int64(b.Chunk.MaxBytes)
	}
	return int64(b.MaxBytes)
}

// Oversized gives the end of a record that no upload of the target takes, and false for any
// other.
func (p *Plan) Oversized(payload []byte) (tracking.Event, bool) {
	b, size := p.Batch, int64(len(payload))
	var message string
	switch {
	case b.MaxRecordBytes > 0 && size > int64(b.MaxRecordBytes):
		message = fmt.Sprintf("the record has %d bytes, more than %s takes (batch.max_record_bytes: %s)", size, p.Name, b.MaxRecordBytes)
	case size > b.uploadMax()-int64(len("[]")+len(",")):
		message = fmt.Sprintf("the record has %d bytes, more than an upload of %s takes (%d bytes)", size, p.Name, b.uploadMax())
	default:
		return nil, false
	}
	return tracking.Concluded{State: tracking.Rejected, Reason: fault.TooLarge, Message: message}, true
}

// chunk leaves of an upload what a step that is repeated sends at a time. Of records that
// are not held, whoever gives them has left that.
func (r *run) chunk() {
	if r.step.foreach && !r.in.Upload.paged() {
		r.in.Upload = r.in.Upload.head(r.plan.Batch.chunked(r.in.Upload.Records))
	}
}

// request makes the call of the step, with as many records of the upload as its body may
// hold. The event, if any, is what follows instead of the call.
func (r *run) request(ctx context.Context) (*request, tracking.Event) {
	if r.in.Upload.paged() && r.step.sendsRecords() && (r.step.body == nil || r.step.body.streaming == nil) {
		return nil, r.failed(&fault.Fault{Reason: fault.Internal, Message: "not sent: the body needs its records as a whole, and they are not held"})
	}
	for {
		req, f := r.plan.request(ctx, r.home, r.step, r.in, r.scope, r.engine.secrets)
		n := r.in.Upload.count()
		var fits int
		var why string
		var unwritable *encode.DataError
		switch {
		case f != nil && r.step.sendsRecords() && errors.As(f.Err, &unwritable):
			fits, why = n/2, f.Message // in halves, until the one at fault stands alone
		case f != nil:
			if stopped := (*unread)(nil); errors.As(f.Err, &stopped) && ctx.Err() != nil {
				f = networkFault(r.outer, ctx, "the store", f.Err)
			}
			return nil, r.failed(f)
		case !r.step.sendsRecords() || req.size <= r.plan.Batch.uploadMax():
			return req, nil
		default:
			fits = min(req.fits(r.plan.Batch.uploadMax(), n), n-1)
			why = fmt.Sprintf("with %d records the body has %d bytes, more than an upload takes", req.measured(n), req.size)
		}
		switch {
		case n <= 1:
			return nil, r.unsendable(req, f)
		case !r.step.foreach:
			return nil, tracking.Split{Most: max(fits, 1), Unsent: true, Message: clip(why, maxMessage)}
		}
		r.in.Upload = r.in.Upload.head(max(fits, 1))
		fewer, err := r.step.scope(r.in)
		if err != nil {
			return nil, r.failed(&fault.Fault{Reason: fault.Internal, Message: err.Error(), Err: err})
		}
		r.scope["records"], r.scope["keys"] = fewer["records"], fewer["keys"]
	}
}

// unsendable rejects the one record that an upload is left with: the fault f is its own, or
// its body is too large by itself.
func (r *run) unsendable(req *request, f *fault.Fault) tracking.Event {
	end := tracking.End{State: tracking.Rejected, Reason: fault.TooLarge}
	if f != nil {
		end.Reason, end.Message = f.Reason, f.Message
	} else {
		end.Message = fmt.Sprintf("not sent: with this record alone the body has %d bytes, more than an upload of %s takes (%d bytes)",
			req.size, r.plan.Name, r.plan.Batch.uploadMax())
	}
	return tracking.Stripped{Records: map[int]tracking.End{0: end}, Message: clip(end.Message, maxMessage)}
}

// fits is how many of n records the body may hold to have most bytes: a guess, unless they
// were counted one by one.
func (r *request) fits(most int64, n int) int {
	if r.stream != nil {
		return r.stream.fits
	}
	return int(int64(n) * most / r.size)
}

// measured is how many of n records the size is about: those that are counted one by one
// are counted up to the first that does not fit.
func (r *request) measured(n int) int {
	if r.stream != nil {
		return min(r.stream.fits+1, n)
	}
	return n
}

// chunked is how many of the records one upload of a repeated step holds at most.
func (b *Batch) chunked(records [][]byte) int {
	room := b.Chunk.room()
	for i, record := range records {
		if !room.Take(len(record)) {
			return i
		}
	}
	return len(records)
}

// String tells a person how deliveries are gathered.
func (b *Batch) String() string {
	text := fmt.Sprintf("up to %d records or %s, at the latest %s after the first", b.MaxRecords, b.MaxBytes, b.Linger)
	if k := b.Chunk; k != nil && k.Into == intoJob {
		text += fmt.Sprintf("; a job for each %d records or %s", k.MaxRecords, k.MaxBytes)
	} else if k != nil {
		text += fmt.Sprintf("; uploaded by %d records or %s", k.MaxRecords, k.MaxBytes)
	}
	if b.MaxInFlight > 0 {
		text += fmt.Sprintf("; at most %d batches under way", b.MaxInFlight)
	}
	return text
}
