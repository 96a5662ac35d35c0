package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// flooding is a load: what is sent, by how many connections, how fast and for how long.
type flooding struct {
	Addr    string        // host:port
	Path    string        // Body is sent to it plus a number; with a slash at the end
	Ask     []string      // these paths are asked for in turn instead, with GET
	Body    string        // of each request
	Token   string        // bearer
	Keyless bool          // without it each request has an Idempotency-Key of its own
	Prefix  string        // of numbers and keys
	Conns   int           // connections, each with one request at a time
	Rate    float64       // requests a second; 0: as fast as answers come
	For     time.Duration // how long
	Count   int64         // ends it earlier; 0: no bound
	Want    int           // the status that counts as success
}

// flooded is what came of it.
type flooded struct {
	Done    int64   // answers with the wanted status
	Failed  int64   // other answers
	Seconds float64 // until the last answer
	P50     float64 // ms from the time at which a request was to be sent to its answer
	P99     float64
	Sample  string // one answer that was not wanted
}

// floodSelf is the process that sends a load: the load as JSON comes on its standard
// input, what came of it goes to its standard output.
func floodSelf([]string) error {
	var f flooding
	if err := json.NewDecoder(os.Stdin).Decode(&f); err != nil {
		return err
	}
	out, err := f.run()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// run sends the load. It writes requests by hand: the two cores are for what is measured.
func (f *flooding) run() (flooded, error) {
	var (
		next      atomic.Int64
		mu        sync.Mutex
		out       flooded
		latencies []time.Duration
		errs      error
		wave      sync.WaitGroup
	)
	began := time.Now()
	for i := range f.Conns {
		wave.Go(func() {
			c := sender{flooding: f, began: began, first: i, next: &next}
			err := c.run()
			mu.Lock()
			defer mu.Unlock()
			out.Done += c.done
			out.Failed += c.failed
			if c.sample != "" {
				out.Sample = c.sample
			}
			latencies = append(latencies, c.latencies...)
			errs = errors.Join(errs, err)
		})
	}
	wave.Wait()
	out.Seconds = time.Since(began).Seconds()
	out.P50, out.P99 = quantile(latencies, 50), quantile(latencies, 99)
	return out, errs
}

// sender is one connection.
type sender struct {
	*flooding

	began        time.Time
	first        int
	next         *atomic.Int64
	done, failed int64
	sample       string
	latencies    []time.Duration
}

func (s *sender) run() error {
	conn, err := net.Dial("tcp", s.Addr) //nolint:noctx // it has a deadline
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // what was read was read
	if err := conn.SetDeadline(s.began.Add(s.For + time.Minute)); err != nil {
		return err
	}
	in := bufio.NewReaderSize(conn, 16<<10)
	s.latencies = make([]time.Duration, 0, 4096)
	var request []byte
	free := s.began // when the answer before came
	for turn := 0; ; turn++ {
		due := time.Now()
		if s.Rate > 0 {
			planned := s.began.Add(time.Duration(float64(turn*s.Conns+s.first) / s.Rate * float64(time.Second)))
			time.Sleep(time.Until(planned)) // this is how a rate is kept
			// A timer that is late is this program's fault; an answer that is, is not.
			if due = time.Now(); planned.Before(free) {
				due = planned
			}
		}
		n := s.next.Add(1)
		if due.Sub(s.began) >= s.For || s.Count > 0 && n > s.Count {
			return nil
		}
		request = s.write(request[:0], n)
		if _, err := conn.Write(request); err != nil {
			return err
		}
		status, body, err := readAnswer(in)
		if err != nil {
			return fmt.Errorf("answer %d: %w", n, err)
		}
		free = time.Now()
		s.latencies = append(s.latencies, free.Sub(due))
		if status == s.Want {
			s.done++
		} else {
			s.failed++
			s.sample = strconv.Itoa(status) + " " + string(body)
		}
	}
}

// firstNumber makes all numbers equally long, and so all payloads.
const firstNumber = 1_000_000

func (s *sender) write(to []byte, n int64) []byte {
	if len(s.Ask) > 0 {
		to = append(append(to, "GET "...), s.Ask[n%int64(len(s.Ask))]...)
	} else {
		to = append(append(append(to, "POST "...), s.Path...), s.Prefix...)
		to = strconv.AppendInt(to, firstNumber+n, 10)
	}
	to = append(to, " HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer "...)
	to = append(append(to, s.Token...), "\r\n"...)
	if len(s.Ask) > 0 {
		return append(to, "\r\n"...)
	}
	if !s.Keyless {
		to = append(strconv.AppendInt(append(append(to, "Idempotency-Key: "...), s.Prefix...), firstNumber+n, 10), "\r\n"...)
	}
	to = append(to, "Content-Type: application/json\r\nContent-Length: "...)
	to = append(strconv.AppendInt(to, int64(len(s.Body)), 10), "\r\n\r\n"...)
	return append(to, s.Body...)
}

// readAnswer reads an answer that has a Content-Length.
func readAnswer(in *bufio.Reader) (status int, body []byte, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 12 {
		return 0, nil, fmt.Errorf("not an answer: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, nil, err
	}
	length := 0
	for {
		if line, err = in.ReadSlice('\n'); err != nil {
			return 0, nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, nil, err
			}
		}
	}
	body, err = in.Peek(min(length, 512))
	if err != nil {
		return 0, nil, err
	}
	text := body
	if status >= 300 {
		text = bytes.Clone(body)
	}
	_, err = io.CopyN(io.Discard, in, int64(length))
	return status, text, err
}
