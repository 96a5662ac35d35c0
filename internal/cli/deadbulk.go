package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"headgate/gateway/admin"
)

// bulkCommand is what replay and drop have in common.
type bulkCommand struct {
	ask  func() *adminClient
	wish admin.BulkWish
	json bool
}

func bulkFlags(c *cobra.Command) *bulkCommand {
	b := &bulkCommand{ask: adminFlags(c)}
	filter := filterFlags(c)
	c.Flags().BoolVar(&b.wish.All, "all", false, "all dead letters; needed when there is no filter")
	c.Flags().BoolVar(&b.wish.DryRun, "dry-run", false, "only count what would be done")
	c.Flags().BoolVar(&b.json, "json", false, "progress as one JSON object a line")
	c.PreRun = func(*cobra.Command, []string) { b.wish.Filter = *filter }
	return b
}

// run sends the wish and follows its progress.
func (b *bulkCommand) run(c *cobra.Command, args []string, verb string, wish admin.BulkWish) error {
	if len(args) > 0 {
		return usagef("%s takes an ID and a target, or filters; see %s --help", c.CommandPath(), c.CommandPath())
	}
	filter := wish.Filter
	filter.Cursor = ""
	if len(wish.Letters) == 0 && filter == (admin.Filter{}) && !wish.All {
		return usagef("nothing is selected: give an ID and a target, a filter, or --all")
	}
	body, err := json.Marshal(wish)
	if err != nil {
		return err
	}
	asked := b.ask()
	asked.http = &http.Client{} // it takes as long as it takes; an interrupt ends it
	req, err := http.NewRequestWithContext(c.Context(), http.MethodPost, asked.base+"/deadletters/"+verb, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if asked.token != "" {
		req.Header.Set("Authorization", "Bearer "+asked.token)
	}
	resp, err := asked.http.Do(req)
	if err != nil {
		return asked.unreached(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		return errors.Join(err, asked.refused(&answer{status: resp.StatusCode, line: resp.Status, body: text}))
	}
	return b.follow(c, resp.Body, wish.Cursor)
}

// follow reads lines of progress until the last one.
func (b *bulkCommand) follow(c *cobra.Command, body io.Reader, cursor string) error {
	out := c.OutOrStdout()
	live := isTerminal(out) && !b.json
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var p admin.ProgressLine
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			return interrupted(c, cursor, fmt.Errorf("decode progress: %w", err))
		}
		if p.Cursor != "" {
			cursor = p.Cursor
		}
		b.print(c, &p, live)
		switch {
		case len(p.Error) > 0:
			return interrupted(c, cursor, (&answer{line: "interrupted", body: p.Error}).problem())
		case p.Finished && p.Skipped > 0:
			return errReported
		case p.Finished:
			return nil
		}
	}
	err := lines.Err()
	if c.Context().Err() != nil {
		err = c.Context().Err()
	}
	if err == nil {
		err = errors.New("the listener ended before the work was done")
	}
	return interrupted(c, cursor, err)
}

func (b *bulkCommand) print(c *cobra.Command, p *admin.ProgressLine, live bool) {
	out := c.OutOrStdout()
	if b.json {
		_ = json.NewEncoder(out).Encode(p) // to a terminal or a pipe: nothing to do about it
		return
	}
	if p.Problem != nil {
		begin := ""
		if live {
			begin = "\r\x1b[K"
		}
		fmt.Fprintf(c.ErrOrStderr(), "%s%s %s skipped: %s\n", begin, p.Problem.TrackingID, p.Problem.Target, printable(p.Problem.Why))
	}
	text := fmt.Sprintf("%d done, %d skipped", p.Done, p.Skipped)
	if p.DryRun {
		text = fmt.Sprintf("%s would be done", count(p.Matched-p.Skipped, "dead letter"))
	}
	switch {
	case p.Finished && live:
		fmt.Fprintf(out, "\r\x1b[K%s\n", text)
	case p.Finished:
		fmt.Fprintln(out, text)
	case live:
		fmt.Fprintf(out, "\r\x1b[K%s…", text)
	case p.Problem == nil:
		fmt.Fprintln(out, text+" so far")
	}
}
