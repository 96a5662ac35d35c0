package target

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
)

// Upload is what a run of a batch may send: the records that go through the steps now, or of
// a step that is repeated those that come next.
type Upload struct {
	Records [][]byte // nil: they are too large together to be held, and are read with Page
	Keys    []string // for each record, what names its delivery
	First   int      // how many of the records were uploaded before these
	Of      int      // how many go through the steps now
	// Page reads the records from a place on, at least one and as many as may be held at a
	// time. It gives the same ones each time.
	Page func(ctx context.Context, from int) ([][]byte, error)
}

// count is how many records there are; without an upload, none.
func (u *Upload) count() int {
	if u == nil {
		return 0
	}
	return len(u.Keys)
}

// paged reports whether the records are not held.
func (u *Upload) paged() bool { return u != nil && u.Page != nil }

// each takes one record after the other.
func (u *Upload) each(ctx context.Context, take func(place int, record []byte) error) error {
	page := u.Records
	for place := range u.count() {
		if len(page) == 0 {
			var err error
			if page, err = u.page(ctx, place); err != nil {
				return err
			}
		}
		if err := take(place, page[0]); err != nil {
			return err
		}
		page = page[1:]
	}
	return nil
}

// page is Page; its error is unread.
func (u *Upload) page(ctx context.Context, from int) ([][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, &unread{err}
	}
	page, err := u.Page(ctx, from)
	if err == nil && len(page) == 0 {
		err = errNoRecords
	}
	if err != nil {
		return nil, &unread{err}
	}
	return page, nil
}

// unread says that the records of a batch could not be read.
type unread struct{ err error }

func (e *unread) Error() string { return "the records of the batch cannot be read: " + e.err.Error() }
func (e *unread) Unwrap() error { return e.err }

// payload gives the records as one JSON array.
func (u *Upload) payload() json.RawMessage {
	return slices.Concat([]byte("["), bytes.Join(u.Records, []byte(",")), []byte("]"))
}

// head gives the first n records.
func (u *Upload) head(n int) *Upload {
	out := *u
	out.Keys = u.Keys[:n]
	if !u.paged() {
		out.Records = u.Records[:n]
	}
	return &out
}

// errNoRecords is what a step without a batch behind it is told.
var errNoRecords = errors.New("there is no batch")

// Records gives the records of a batch in the order in which they were sent; one that has
// left since is nil.
func (in *Input) Records(ctx context.Context) (*Upload, error) {
	if in.Members == nil {
		return nil, errNoRecords
	}
	return in.Members(ctx)
}
