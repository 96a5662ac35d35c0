package target

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// generated is an upload whose records are made anew each time they are read.
func generated(n, size int) *Upload {
	u := &Upload{Of: n}
	for i := range n {
		u.Keys = append(u.Keys, strconv.Itoa(i))
	}
	filler := strings.Repeat("x", size-100)
	u.Page = func(_ context.Context, from int) ([][]byte, error) {
		var page [][]byte
		for i := from; i < min(n, from+1<<20/size); i++ {
			page = append(page, fmt.Appendf(nil, `{"email":"user%d@example.com","n":%d,"note":"%s"}`, i, i, filler))
		}
		return page, nil
	}
	return u
}

// A large upload needs little memory, of whichever format it is: held, the smallest of these
// takes more than twice what is allowed.
func TestLargeUploadNeedsLittleMemory(t *testing.T) {
	const size, allowed = 10_000, 24 << 20
	for name, tt := range map[string]struct {
		yaml    string
		records int
	}{
		"json":      {`post: /x, json: {list: 7, contacts: "${{ .records | map({email, note}) }}"}`, 4_000},
		"payload":   {`post: /x`, 10_000},
		"csv, gzip": {`post: /x, csv: "${{ .records }}", gzip: true`, 2_000},
		"multipart": {`post: /x, multipart: [{name: file, ndjson: "${{ .records }}"}]`, 2_000},
	} {
		t.Run(name, func(t *testing.T) {
			var received atomic.Int64
			b := newSink(t, func(r io.Reader) {
				n, _ := io.Copy(io.Discard, r)
				received.Store(n)
			})
			p := mustCompile(t, b, `{url: "${URL}", limits: {timeout: 5m}, batch: {max_bytes: 1GB, max_records: 100000}, `+tt.yaml+`}`)
			in := input()
			in.Payload, in.Upload = nil, generated(tt.records, size)
			e := newEngine(t)
			peak := peakHeap(t, func() {
				if end := e.Run(t.Context(), p, in); !strings.Contains(fmt.Sprintf("%+v", end), "succeeded") {
					t.Errorf("%+v", end)
				}
			})
			t.Logf("%d bytes were sent with %d kB of heap", received.Load(), peak>>10)
			if least := int64(tt.records) * size * 9 / 10; received.Load() < least && !strings.Contains(name, "gzip") {
				t.Errorf("%d bytes came, want %d or more", received.Load(), least)
			}
			if peak > allowed {
				t.Errorf("it took %d MB", peak>>20)
			}
		})
	}
}

// newSink is a backend that reads bodies without keeping them.
func newSink(t *testing.T, read func(io.Reader)) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { read(r.Body) }))
	t.Cleanup(server.Close)
	return server.URL
}

// peakHeap runs do and gives how much more of the heap was live meanwhile than before, as seen right
// after a collection of garbage.
func peakHeap(t *testing.T, do func()) uint64 {
	t.Helper()
	live := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := live()
	var peak atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				peak.Store(max(peak.Load(), live()))
			}
		}
	}()
	do()
	close(stop)
	<-stopped
	return peak.Load() - min(before, peak.Load())
}
