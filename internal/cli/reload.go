package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"headgate/gateway/admin"
)

func newReload() *cobra.Command {
	c := &cobra.Command{
		Use:   "reload",
		Short: "Have a running process read its files again",
		Long: "Asks the admin listener of one process, and prints what has changed. When a file is\n" +
			"wrong nothing changes: all problems are printed, and the exit code is 1. With --status\n" +
			"nothing is read: it prints how the last reload went and what is in force. Processes that\n" +
			"print the same hash have the same in force. Of many names the first twenty are printed; --json\n" +
			"has all of them.",
		Example: "  headgate reload\n  headgate reload --status --json | jq -r .hash",
		Args:    noArgs,
	}
	ask := adminFlags(c)
	status := c.Flags().Bool("status", false, "change nothing; print how it stands")
	asJSON := c.Flags().Bool("json", false, "print the answer as JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		method := http.MethodPost
		if *status {
			method = http.MethodGet
		}
		listener := ask()
		a, err := listener.client.do(c.Context(), method, "/reload", nil, jsonBody)
		if err != nil {
			return listener.unreached(err)
		}
		if a.status == http.StatusUnprocessableEntity {
			return reloadRefused(c, a, *asJSON)
		}
		if err := listener.refused(a); err != nil {
			return err
		}
		if *asJSON {
			_, err := fmt.Fprintln(c.OutOrStdout(), string(a.body))
			return err
		}
		var state admin.ReloadState
		if err := json.Unmarshal(a.body, &state); err != nil {
			return fmt.Errorf("decode answer: %w", err)
		}
		printReload(c.OutOrStdout(), &state)
		return nil
	}
	return c
}

// reloadRefused prints what is wrong with the files, as headgate check does.
func reloadRefused(c *cobra.Command, a *answer, asJSON bool) error {
	var problem struct {
		Errors []admin.FileProblem `json:"errors"`
	}
	if err := json.Unmarshal(a.body, &problem); err != nil || len(problem.Errors) == 0 {
		return a.problem()
	}
	if asJSON {
		fmt.Fprintln(c.OutOrStdout(), string(a.body))
		return errReported
	}
	printProblems(c.ErrOrStderr(), problem.Errors)
	fmt.Fprintf(c.ErrOrStderr(), "headgate: %s; what was in force stays\n", count(len(problem.Errors), "problem"))
	return errReported
}

func printProblems(out io.Writer, list []admin.FileProblem) {
	for _, p := range list {
		fmt.Fprintf(out, "%s:%d:%d: %s", p.File, p.Line, p.Column, p.Detail)
		if p.Path != "" {
			fmt.Fprintf(out, " (%s)", p.Path)
		}
		if p.Hint != "" {
			fmt.Fprintf(out, "\n        hint: %s", p.Hint)
		}
		fmt.Fprintln(out)
	}
}

func printReload(out io.Writer, s *admin.ReloadState) {
	if last := s.Last; last != nil {
		end := "done"
		if !last.OK {
			end = "refused: " + last.Detail
		}
		fmt.Fprintf(out, "reload by %s at %s: %s\n", last.By, last.At.UTC().Format("2006-01-02T15:04:05Z"), end)
		printProblems(out, last.Problems)
		if last.Changed != nil {
			printChanged(out, last.Changed)
		}
	} else {
		fmt.Fprintln(out, "no reload since the start")
	}
	fmt.Fprintf(out, "in force since %s: %s, %s, hash %s\n", s.Since.UTC().Format("2006-01-02T15:04:05Z"),
		count(s.Routes, "route"), count(s.Targets, "target"), s.Hash)
	if len(s.NeedsRestart) > 0 {
		fmt.Fprintf(out, "need a restart: %s\n", strings.Join(s.NeedsRestart, ", "))
	}
	var draining, flows []string
	for _, d := range s.Draining {
		draining = append(draining, fmt.Sprintf("%s has left the files and has %d under way", d.Target, d.Deliveries))
	}
	for _, f := range s.Flows {
		flows = append(flows, fmt.Sprintf("%d of %s go on by %s; new ones go by %s", f.Deliveries, f.Target,
			strings.Join(f.Steps, ", "), strings.Join(f.StepsNow, ", ")))
	}
	for _, text := range admin.Few(draining) {
		fmt.Fprintln(out, "draining: "+text)
	}
	for _, text := range admin.Few(flows) {
		fmt.Fprintln(out, "former flow: "+text)
	}
	if s.Unknown != "" {
		fmt.Fprintf(out, "what is under way is not known: %s\n", s.Unknown)
	}
}

func printChanged(out io.Writer, c *admin.Changed) {
	if !c.Any() {
		fmt.Fprintln(out, "  nothing has changed")
	}
	line := func(what, how string, names []string) {
		if len(names) > 0 {
			fmt.Fprintf(out, "  %s %s: %s\n", what, how, strings.Join(admin.Few(names), ", "))
		}
	}
	for _, kind := range []struct {
		what string
		admin.Names
	}{{"routes", c.Routes}, {"targets", c.Targets}, {"authenticators", c.Authenticators}} {
		line(kind.what, "added", kind.Added)
		line(kind.what, "removed", kind.Removed)
		line(kind.what, "changed", kind.Changed)
	}
	line("keys", "changed", c.Keys)
	if c.AdminToken {
		fmt.Fprintln(out, "  the admin token is another one")
	}
}
