package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"headgate/dispatch/tracking"
	"headgate/gateway"
)

// client asks a gateway.
type client struct {
	base  string // URL of the gateway
	token string // bearer token; empty: none
	http  *http.Client
}

func newClient(base, token string) *client {
	return &client{base: strings.TrimRight(base, "/"), token: token, http: &http.Client{Timeout: time.Minute}}
}

// do sends one request and reads the answer whole.
func (c *client) do(ctx context.Context, method, path string, body io.Reader, header map[string]string) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return &answer{status: resp.StatusCode, line: resp.Status, location: resp.Header.Get("Location"), body: text}, nil
}

// answer is what of an HTTP answer is looked at.
type answer struct {
	status   int
	line     string // 202 Accepted
	location string
	body     []byte
}

// maxAnswer bounds what is read of a gateway's answer.
const maxAnswer = 16 << 20

// track reads a dispatch.
func (c *client) track(ctx context.Context, id string) (*gateway.TrackingView, error) {
	a, err := c.do(ctx, http.MethodGet, "/tracking/"+id, nil, nil)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, a.problem()
	}
	view := new(gateway.TrackingView)
	if err := json.Unmarshal(a.body, view); err != nil {
		return nil, fmt.Errorf("decode answer: %w", err)
	}
	return view, nil
}

// problem makes an error of a problem+json answer.
func (a *answer) problem() error {
	var p struct{ Title, Detail string }
	switch {
	case json.Unmarshal(a.body, &p) != nil || p.Title == "":
		return fmt.Errorf("the gateway answered %s", a.line)
	case p.Detail != "":
		return fmt.Errorf("%s: %s: %s", a.line, p.Title, p.Detail)
	}
	return fmt.Errorf("%s: %s", a.line, p.Title)
}

// followInterval is how often a table that is watched is drawn anew.
const followInterval = 400 * time.Millisecond

// follow shows a dispatch until it is final: a table drawn in place on a terminal,
// otherwise a line for each change.
func (c *client) follow(ctx context.Context, id string, out io.Writer, live bool) (*gateway.TrackingView, error) {
	ticker := time.NewTicker(followInterval)
	defer ticker.Stop()
	drawn := 0
	last := map[string]string{}
	for {
		view, err := c.track(ctx, id)
		if err != nil {
			return nil, err
		}
		if live {
			text := table(view, width(out))
			if drawn > 0 {
				fmt.Fprintf(out, "\x1b[%dA\x1b[J", drawn)
			}
			fmt.Fprint(out, text)
			drawn = strings.Count(text, "\n")
		} else {
			changes(out, view, last)
		}
		if view.Status != tracking.InProgress {
			return view, nil
		}
		select {
		case <-ctx.Done():
			return view, ctx.Err()
		case <-ticker.C:
		}
	}
}

// changes prints a line for each delivery that differs from when it was last printed.
func changes(out io.Writer, view *gateway.TrackingView, last map[string]string) {
	for _, t := range view.Targets {
		line := fmt.Sprintf("%-12s %-10s %s", t.Name, t.Value.State, notes(t.Value))
		if last[t.Name] != line {
			last[t.Name] = line
			fmt.Fprintf(out, "%6.1fs  %s\n", time.Since(view.AcceptedAt).Seconds(), line)
		}
	}
}

// table draws a dispatch. Rows are cut to columns, so that each is one line of the
// terminal; 0 cuts nothing.
func table(view *gateway.TrackingView, columns int) string {
	text := rows(view)
	if columns <= 0 {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if runes := []rune(line); len(runes) > columns {
			lines[i] = string(runes[:columns-1]) + "…"
		}
	}
	return strings.Join(lines, "\n")
}

func rows(view *gateway.TrackingView) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s  %s  %s\n\n", view.TrackingID, view.Route, view.Status)
	fmt.Fprintf(&out, "  %-12s %-11s %8s %6s  %s\n", "TARGET", "STATE", "ATTEMPTS", "POLLS", "")
	for _, t := range view.Targets {
		fmt.Fprintf(&out, "  %-12s %-11s %8d %6d  %s\n", t.Name, t.Value.State, t.Value.Attempts, t.Value.Polls, notes(t.Value))
	}
	counts := make([]string, 0, len(view.Counts))
	for _, c := range view.Counts {
		counts = append(counts, fmt.Sprintf("%d %s", c.Value, c.Name))
	}
	fmt.Fprintf(&out, "\n  %s\n", strings.Join(counts, ", "))
	return out.String()
}

// notes is what there is to say of a delivery besides its state.
func notes(d gateway.DeliveryView) string {
	var parts []string
	if d.JobID != "" {
		parts = append(parts, "job "+d.JobID)
		if d.JobState != "" {
			parts[0] += " " + d.JobState
		}
		if p := d.Progress; p != nil {
			parts[0] += fmt.Sprintf(" (%d", p.Done)
			if p.Total > 0 {
				parts[0] += fmt.Sprintf(" of %d", p.Total)
			}
			parts[0] += " done)"
		}
	}
	if d.Reason != "" {
		reason := string(d.Reason)
		if d.HTTPStatus > 0 {
			reason += fmt.Sprintf(" (%d)", d.HTTPStatus)
		}
		parts = append(parts, reason)
	}
	if d.Message != "" {
		parts = append(parts, d.Message)
	}
	names := make([]string, 0, len(d.Result))
	for name := range d.Result {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		parts = append(parts, name+"="+string(d.Result[name]))
	}
	return printable(strings.Join(parts, ", "))
}

// maxNotes keeps a row of the table on one line of a wide terminal.
const maxNotes = 90

// printable keeps what a backend said from moving the cursor or breaking the table.
func printable(s string) string {
	runes := []rune(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s))
	if len(runes) > maxNotes {
		return string(runes[:maxNotes-1]) + "…"
	}
	return string(runes)
}
