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
	prefix string // of the records that it sends
	http   *http.Client
	next   atomic.Int64
}

func newClient(url, prefix string) *client {
	return &client{url: url, prefix: prefix, http: &http.Client{
		Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 128},
	}}
}

// record names the next record.
func (c *client) record() string { return c.prefix + strconv.FormatInt(c.next.Add(1), 10) }

func (c *client) close() { c.http.CloseIdleConnections() }

// post sends one record and returns when it was accepted.
func (c *client) post(ctx context.Context, path, record string) (accepted time.Time, err error) {
	body := strings.NewReader(`{"email":"` + record + `@example.com","name":"Ada Lovelace"}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+path+record, body)
	if err != nil {
		return accepted, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return accepted, err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusAccepted {
		err = fmt.Errorf("%d: %s", resp.StatusCode, text)
	}
	return time.Now(), err
}

// sent is a record with the time of its 202.
type sent struct {
	record   string
	accepted time.Time
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
				at, err := c.post(ctx, path, record)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					errs = errors.Join(errs, err)
					return
				}
				out = append(out, sent{record, at})
			})
		}
	}
	wave.Wait()
	return out, errs
}

// flood sends n records as fast as atOnce connections can.
func (c *client) flood(ctx context.Context, path string, n, atOnce int) error {
	var left atomic.Int64
	left.Store(int64(n))
	var wave sync.WaitGroup
	errs := make([]error, atOnce)
	for i := range atOnce {
		wave.Go(func() {
			for left.Add(-1) >= 0 && errs[i] == nil {
				_, errs[i] = c.post(ctx, path, c.record())
			}
		})
	}
	wave.Wait()
	return errors.Join(errs...)
}
