package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"headgate/gateway/admin"
)

func newDeadReplay() *cobra.Command {
	c := &cobra.Command{
		Use:   "replay [ID TARGET]",
		Short: "Try dead letters again",
		Long: "With an ID and a target, one of them; else those that the filters select, at a bounded\n" +
			"rate, with a line of progress. The backend sees the same idempotency keys as before,\n" +
			"unless --new-key or a corrected --payload is given. When it is interrupted it prints\n" +
			"the cursor to go on from; one that fails again meanwhile is not tried twice.\n" +
			"By name, deliveries that were rejected or whose outcome is unknown can be replayed, too:\n" +
			"an unknown one goes on polling its job, or starts from its first step with --restart. A record\n" +
			"of a batch has no job of its own and needs --restart. So does one that succeeded, where the\n" +
			"route kept its payload (keep_payload: true).",
		Example: "  headgate deadletters replay trk_17… crm --payload @corrected.json\n" +
			"  headgate deadletters replay --target crm --since 2h --dry-run\n" +
			"  headgate deadletters replay --target crm --since 2h --rate 50/s",
	}
	bulk := bulkFlags(c)
	newKey := c.Flags().Bool("new-key", false, "use idempotency keys that the backend has not seen")
	current := c.Flags().Bool("current-plan", false, "run under what the files say now, not under what was accepted")
	restart := c.Flags().Bool("restart", false, "one: from its first step, also when its outcome is unknown or it succeeded (keep_payload)")
	payload := c.Flags().String("payload", "", "one: send this JSON instead; @file reads it from a file")
	rate := c.Flags().String("rate", "50/s", "how many in a second")
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 2 {
			wish := admin.ReplayWish{NewKey: *newKey, CurrentPlan: *current, Restart: *restart}
			var err error
			if wish.Payload, err = readPayload(*payload); err != nil {
				return err
			}
			return replayOne(c, bulk, args, wish)
		}
		if *payload != "" || *restart {
			return usagef("--payload and --restart are for one delivery: name its ID and target")
		}
		wish := bulk.wish
		wish.NewKey, wish.CurrentPlan = *newKey, *current
		var err error
		if wish.Rate, err = parseRate(*rate); err != nil {
			return err
		}
		return bulk.run(c, args, "replay", wish)
	}
	return c
}

func replayOne(c *cobra.Command, bulk *bulkCommand, args []string, wish admin.ReplayWish) error {
	if bulk.wish.Filter != (admin.Filter{}) || bulk.wish.All {
		return usagef("an ID and a target take no filters")
	}
	if bulk.wish.DryRun {
		return usagef("--dry-run counts what filters select; show one with: headgate deadletters show %s %s", args[0], args[1])
	}
	view := new(admin.ReplayedView)
	if err := bulk.ask().ask(c.Context(), http.MethodPost, letterPath(args[0], args[1])+"/replay", wish, view); err != nil {
		return err
	}
	if bulk.json {
		return json.NewEncoder(c.OutOrStdout()).Encode(view)
	}
	fmt.Fprintf(c.OutOrStdout(), "%s %s is %s again (replay %d)\n", view.TrackingID, view.Target, view.State, view.Replays)
	return nil
}

// readPayload reads JSON from the flag or from the file it names.
func readPayload(text string) (json.RawMessage, error) {
	if text == "" {
		return nil, nil
	}
	raw := []byte(text)
	if name, ok := strings.CutPrefix(text, "@"); ok {
		var err error
		if raw, err = os.ReadFile(name); err != nil { //nolint:gosec // the file is the user's own
			return nil, fmt.Errorf("read payload: %w", err)
		}
	}
	if !json.Valid(raw) {
		return nil, usagef("--payload is not JSON")
	}
	return raw, nil
}

// parseRate reads 50 or 50/s.
func parseRate(text string) (float64, error) {
	n, err := strconv.ParseFloat(strings.TrimSuffix(text, "/s"), 64)
	if err != nil || n <= 0 {
		return 0, usagef("--rate %q: write a number a second, such as 50/s", text)
	}
	return n, nil
}

func newDeadDrop() *cobra.Command {
	c := &cobra.Command{
		Use:   "drop [ID TARGET]",
		Short: "Delete dead letters with their payloads",
		Long: "With an ID and a target, one of them; else those that the filters select. The deliveries\n" +
			"stay failed and can be looked up; they cannot be tried again.",
		Example: "  headgate deadletters drop trk_17… crm\n  headgate deadletters drop --target crm --until 7d --dry-run",
	}
	bulk := bulkFlags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		wish := bulk.wish
		if len(args) == 2 {
			wish.Letters = []admin.LetterRef{{TrackingID: args[0], Target: args[1]}}
			args = nil
		}
		return bulk.run(c, args, "drop", wish)
	}
	return c
}

// interrupted says how to go on.
func interrupted(c *cobra.Command, cursor string, cause error) error {
	if cursor != "" {
		fmt.Fprintf(c.ErrOrStderr(), "\nto go on, repeat the command with --cursor %s\n", cursor)
	}
	if errors.Is(cause, context.Canceled) {
		return errReported
	}
	return cause
}
