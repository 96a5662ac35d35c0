// Package load owns the clients of a scenario: they send orders at a steady pace, repeat
// what was not accepted under the same Idempotency-Key, as the contract asks of them, and
// look at the end of each dispatch. Everything they are told goes into the books.
package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"headgate/chaos/ledger"
)

// Clients send orders until they are stopped.
type Clients struct {
	Gateways func() []string // base URLs; one is drawn for each try
	Books    *ledger.Ledger
	Rate     int // orders a second

	http    *http.Client
	next    atomic.Int64
	newest  atomic.Value // the tracking ID that was acknowledged last, a string
	clients sync.WaitGroup
	stop    chan struct{}
	once    sync.Once
}

// tryTimeout is how long a client waits for one answer.
const tryTimeout = 20 * time.Second

// Start begins to send. Repeats go on until an order is accepted or ctx ends.
func (c *Clients) Start(ctx context.Context) {
	c.http = &http.Client{Timeout: tryTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	c.stop = make(chan struct{})
	c.clients.Go(func() {
		ticker := time.NewTicker(time.Second / time.Duration(max(c.Rate, 1)))
		defer ticker.Stop()
		for {
			select {
			case <-c.stop:
				return
			case <-ctx.Done():
				return
			case <-ticker.C:
				c.clients.Go(func() { c.Order(ctx, strconv.FormatInt(c.next.Add(1), 10)) })
			}
		}
	})
}

// Stop sends no new orders and returns when all that were sent are accepted, or ctx of
// Start has ended.
func (c *Clients) Stop() {
	c.once.Do(func() { close(c.stop) })
	c.clients.Wait()
}

// Close closes the connections.
func (c *Clients) Close() { c.http.CloseIdleConnections() }

// Pauses between the tries of one order.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = time.Second
)

// Order sends one order until it is accepted.
func (c *Clients) Order(ctx context.Context, order string) {
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		if c.try(ctx, order) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause/2 + rand.N(pause)): //nolint:gosec // a pause is no secret
		}
	}
}

// reply is what is read of a gateway's answers.
type reply struct {
	TrackingID string `json:"tracking_id"`
	Type       string `json:"type"`
	Targets    map[string]json.RawMessage
}

// try sends an order once and reports whether nothing is left to do for it.
func (c *Clients) try(ctx context.Context, order string) bool {
	body := []byte(`{"email": "order-` + order + `@example.com"}`)
	status, text, err := c.call(ctx, http.MethodPost, "/orders/"+order, body, http.Header{
		"Content-Type": {"application/json"}, "Idempotency-Key": {"key-" + order},
	})
	var r reply
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return true
	case err != nil:
		c.Books.Cut(order)
	case status == http.StatusAccepted:
		c.Books.Acknowledged(order, r.TrackingID, keys(r.Targets)...)
		c.newest.Store(r.TrackingID)
		return true
	case status == http.StatusServiceUnavailable && r.TrackingID != "":
		c.Books.Unknown(order)
	case status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests:
		c.Books.Refused(order)
	default:
		c.Books.Wrong(order, fmt.Sprintf("%d: %s", status, text))
		return true
	}
	return false
}

func keys(m map[string]json.RawMessage) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	return out
}

// call sends one request to a gateway and reads the answer to its end.
func (c *Clients) call(ctx context.Context, method, path string, body []byte, header http.Header) (int, []byte, error) {
	urls := c.Gateways()
	url := urls[rand.IntN(len(urls))] //nolint:gosec // a choice of addresses is no secret
	req, err := http.NewRequestWithContext(ctx, method, url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	// net/http would by itself repeat a request that has an Idempotency-Key; each try counts.
	req.GetBody = nil
	req.Header = header
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}
