package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// client sends requests to a gateway.
type client struct {
	url    string
	token  string
	prefix string // of the records that it sends
	http   *http.Client
	next   atomic.Int64
}

// client sends requests to a contender until the stage is closed.
func (s *stage) client(to *contender, prefix string) *client {
	c := &client{url: "http://" + to.addr, token: s.token, prefix: prefix, http: &http.Client{
		Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 128},
	}}
	s.cleanups = append(s.cleanups, c.http.CloseIdleConnections)
	return c
}

// record names the next record.
func (c *client) record() string { return c.prefix + strconv.FormatInt(c.next.Add(1), 10) }

// post sends one record and gives when it was sent and accepted, and the answer.
func (c *client) post(ctx context.Context, path, record string) (out sent, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+path+record, strings.NewReader(benchBody))
	if err != nil {
		return out, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Idempotency-Key", record)
	out = sent{record: record, begun: time.Now()}
	resp, err := c.http.Do(req)
	if err != nil {
		return out, nil, err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	answer, err = io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusAccepted {
		err = fmt.Errorf("%d: %s", resp.StatusCode, answer)
	}
	out.accepted = time.Now()
	return out, answer, err
}

// sent is a record with the times of its request and its 202.
type sent struct {
	record          string
	begun, accepted time.Time
}

// steady sends rate records a second for d and gives what was accepted.
func (c *client) steady(ctx context.Context, path string, rate int, d time.Duration) ([]sent, error) {
	var (
		mu   sync.Mutex
		out  []sent
		errs error
		wave sync.WaitGroup
	)
	ticker := time.NewTicker(time.Second / time.Duration(rate))
	defer ticker.Stop()
	end := time.NewTimer(d)
	defer end.Stop()
	for running := true; running; {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-end.C:
			running = false
		case <-ticker.C:
			record := c.record()
			wave.Go(func() {
				one, _, err := c.post(ctx, path, record)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					errs = errors.Join(errs, err)
					return
				}
				out = append(out, one)
			})
		}
	}
	wave.Wait()
	return out, errs
}
