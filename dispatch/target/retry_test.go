package target

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

func TestRunNetworkFaults(t *testing.T) {
	t.Setenv("CRM_TOKEN", "t0ps3cret")
	release := make(chan struct{})
	slow := newBackend(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	half := newBackend(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	gone := newBackend(t, says(200, ""))
	gone.Close()
	tests := map[string]struct {
		url    string
		reason fault.Reason
	}{
		"no answer in time": {slow.URL, fault.Timeout},
		"refused":           {gone.URL, fault.Unreachable},
		"cut off":           {half.URL, fault.Unreachable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := mustCompile(t, tt.url, "url: ${URL}\npost: /x\nlimits: {timeout: 50ms}\nauth: {query: {name: key, value: {env: CRM_TOKEN}}}")
			got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, input()))
			if got.Fault.Reason != tt.reason || got.Final || !got.Fault.Retry || got.After <= 0 {
				t.Errorf("%+v %+v", got, got.Fault)
			}
			if strings.Contains(got.Fault.Error(), "t0ps3cret") {
				t.Errorf("the secret leaks: %v", got.Fault)
			}
		})
	}
}

// wrapping is a transport that wraps its errors as http.Client does, URL included.
type wrapping struct{}

func (wrapping) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: errors.New("no route")}
}

func TestRunKeepsURLsOutOfErrors(t *testing.T) {
	t.Setenv("CRM_TOKEN", "t0ps3cret")
	p := mustCompile(t, "", "url: http://h\npost: /x\nauth: {query: {name: key, value: {env: CRM_TOKEN}}}")
	e := NewEngine(Outgoing{Transport: wrapping{}}, nil)
	defer e.Close()
	got := eventOf[tracking.AttemptFailed](t, e.Run(t.Context(), p, input()))
	if got.Fault.Reason != fault.Unreachable || strings.Contains(got.Fault.Error(), "t0ps3cret") || !strings.Contains(got.Fault.Error(), "no route") {
		t.Errorf("%v", got.Fault)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	arrived := make(chan struct{}, 4)
	b := newBackend(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	in := input()
	in.Delivery.StepAttempts = 7 // the last attempt
	t.Run("stopped", func(t *testing.T) {
		p := mustCompile(t, b.URL, "url: ${URL}\npost: /x")
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-arrived; cancel() }()
		got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(ctx, p, in))
		if got.Fault.Reason != fault.Timeout || got.Final || got.After != 0 || !got.Fault.Retry || !strings.Contains(got.Fault.Message, "stopped") {
			t.Errorf("%+v %+v", got, got.Fault)
		}
	})
	t.Run("stopped while polling", func(t *testing.T) {
		p := mustCompile(t, b.URL, "url: ${URL}\nget: /x\nuntil: {state: '${{ .response.body }}', succeeded: [a], attempts: 1}")
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-arrived; cancel() }()
		got := eventOf[tracking.PollFailed](t, newEngine(t).Run(ctx, p, in))
		if got.Fault.Reason != fault.Timeout || got.Final || got.After != 0 {
			t.Errorf("%+v %+v", got, got.Fault)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		p := mustCompile(t, b.URL, "url: ${URL}\npost: /x")
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(ctx, p, input()))
		if got.Fault.Reason != fault.Timeout || got.Final {
			t.Errorf("%+v %+v", got, got.Fault)
		}
	})
}

func TestRetrySchedule(t *testing.T) {
	b := newBackend(t, says(503, ""))
	e := newEngine(t) // draws 0.5 each time
	p := mustCompile(t, b.URL, "url: ${URL}\npost: /x\nretry: {attempts: 6, first: 1s, max: 6s, within: 1h}")
	for tries, want := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second} {
		in := input()
		in.Delivery.StepAttempts = tries
		got := eventOf[tracking.AttemptFailed](t, e.Run(t.Context(), p, in))
		if got.Final || got.After != want {
			t.Errorf("after %d tries: %+v, want %s", tries, got, want)
		}
	}
	in := input()
	in.Delivery.StepAttempts = 5
	if got := eventOf[tracking.AttemptFailed](t, e.Run(t.Context(), p, in)); !got.Final {
		t.Errorf("the sixth of six attempts is not the last: %+v", got)
	}
	in = input()
	in.Now = noon.Add(time.Hour - 100*time.Millisecond)
	if got := eventOf[tracking.AttemptFailed](t, e.Run(t.Context(), p, in)); !got.Final || got.Fault.Reason != fault.ServerError {
		t.Errorf("a retry beyond within: %+v", got)
	}
	in.AcceptedAt = time.Time{}
	if got := eventOf[tracking.AttemptFailed](t, e.Run(t.Context(), p, in)); got.Final {
		t.Errorf("within counts from nowhere: %+v", got)
	}
}

func TestJitterStaysInBounds(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "10")
		w.WriteHeader(429)
	})
	p := mustCompile(t, b.URL, "url: ${URL}\npost: /x")
	e := newEngine(t)
	for _, draw := range []float64{0, 0.3, 0.999} {
		e.random = func() float64 { return draw }
		got := eventOf[tracking.AttemptFailed](t, e.Run(t.Context(), p, input()))
		if got.After < 10*time.Second || got.After > 11*time.Second {
			t.Errorf("draw %v: %s, want 10s to 11s", draw, got.After)
		}
	}
	in := input() // a floor, not the answer: by the seventh try our own wait is longer
	in.Delivery.StepAttempts = 6
	if got := eventOf[tracking.AttemptFailed](t, e.Run(t.Context(), p, in)); got.After < 60*time.Second {
		t.Errorf("%s, want nearly 64s", got.After)
	}
}

func TestRetryAfter(t *testing.T) {
	const date = "Sun, 01 Mar 2026 12:00:00 GMT"
	for text, want := range map[string]time.Duration{
		"":                              0,
		"30":                            30 * time.Second,
		" 30 ":                          30 * time.Second,
		"0":                             0,
		"-5":                            0,
		"soon":                          0,
		"999999999":                     24 * time.Hour,
		"99999999999999999999":          0,
		"Sun, 01 Mar 2026 12:01:30 GMT": 90 * time.Second,
		"Sun, 01 Mar 2026 11:00:00 GMT": 0,
		"Wed, 01 Apr 2026 12:00:00 GMT": 24 * time.Hour,
	} {
		got := retryAfter(http.Header{"Retry-After": {text}, "Date": {date}})
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	noDate := retryAfter(http.Header{"Retry-After": {time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)}})
	if noDate < 50*time.Second || noDate > time.Minute {
		t.Errorf("without Date: %s", noDate)
	}
}

func TestRunRetryAfterDate(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", "Sun, 01 Mar 2026 12:00:00 GMT")
		w.Header().Set("Retry-After", "Sun, 01 Mar 2026 12:02:00 GMT")
		w.WriteHeader(503)
	})
	p := mustCompile(t, b.URL, "url: ${URL}\npost: /x")
	got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, input()))
	if got.After < 2*time.Minute || got.After > 2*time.Minute+12*time.Second || got.Fault.RetryAfter != 2*time.Minute {
		t.Errorf("%+v %+v", got, got.Fault)
	}
}

// The transport repeats requests that carry an Idempotency-Key by itself when a reused
// connection breaks; an attempt is one sending all the same.
func TestOneSendingForAnAttempt(t *testing.T) {
	var calls atomic.Int32
	b := newBackend(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			return // leaves a connection to be reused
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close()
	})
	e := NewEngine(Outgoing{}, nil)
	defer e.Close()
	p := mustCompile(t, b.URL, `{url: "${URL}", post: /x}`)
	for range 2 {
		e.Run(t.Context(), p, Input{Tracking: "trk_1", Payload: []byte(`{}`), Now: time.Now(), AcceptedAt: time.Now()})
	}
	if n := calls.Load(); n != 2 {
		t.Fatalf("two attempts sent %d requests", n)
	}
}
