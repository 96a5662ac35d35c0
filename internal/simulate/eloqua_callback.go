package simulate

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"
)

const (
	callbackTimeout = 5 * time.Second
	// watchEvery bounds how late a callback is when the job's clock is not the real one.
	watchEvery = 20 * time.Millisecond
)

// newCallbackClient makes a client that leaves no connection behind and follows no redirect.
func newCallbackClient() *http.Client {
	return &http.Client{
		Timeout:       callbackTimeout,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// settle finishes a sync now and waits until it has called back.
func (e *eloqua) settle(s *eloquaSync) {
	e.mu.Lock()
	e.timing.finish(&s.job)
	e.mu.Unlock()
	if call := e.due(s); call != nil {
		call(e.backend.ctx)
	}
}

// notify calls back in the background if the sync is finished and nobody did so yet.
func (e *eloqua) notify(s *eloquaSync) {
	if call := e.due(s); call != nil {
		e.backend.spawn(call)
	}
}

// watch calls back once the sync's time is over.
func (e *eloqua) watch(s *eloquaSync) {
	e.backend.spawn(func(ctx context.Context) {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			e.mu.Lock()
			over := e.timing.phase(&s.job) == finished
			e.mu.Unlock()
			if over {
				if call := e.due(s); call != nil {
					call(ctx)
				}
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
}

// due takes the callback of a finished sync, so that it is made once; nil when there is none to make.
func (e *eloqua) due(s *eloquaSync) func(context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !s.finished || s.callback == "" {
		return nil
	}
	to := s.callback
	s.callback = ""
	body, err := json.Marshal(e.show(s, finished))
	if err != nil {
		return nil // strings only: cannot happen
	}
	return func(ctx context.Context) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
		if err != nil {
			return // the URL was checked when it was given
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := e.client.Do(req)
		if err != nil {
			return // like the vendor, the simulator calls once: clients must keep polling
		}
		_ = resp.Body.Close()
	}
}
