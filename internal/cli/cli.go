// Package cli owns the command line: one file per command. What a command does is
// elsewhere; here are its words, its flags and how its answer looks in a terminal.
package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"headgate/config/yamlsrc"
)

// errReported ends a command whose answer already said what is wrong.
var errReported = errors.New("reported")

// Run runs the command line and gives the exit code: 0 when all went well, 1 when
// something is wrong with files, requests or the outcome, 2 for a wrong command line and
// for tests that cannot be run.
func Run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	err := execute(ctx, root)
	var usage *usageError
	var problems *yamlsrc.ProblemsError
	var unreadable *unreadableError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errReported):
		return 1
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "headgate: %v\n", err)
		return 2
	case errors.As(err, &problems):
		fmt.Fprintln(os.Stderr, problems.Error())
		fmt.Fprintf(os.Stderr, "headgate: %s\n", count(len(problems.Problems), "problem"))
		if errors.As(err, &unreadable) {
			return 2
		}
		return 1
	}
	fmt.Fprintf(os.Stderr, "headgate: %v\n", err)
	return 1
}

// execute runs the command that the arguments name. A word that names none is a mistake on the
// command line: cobra has no type for it at the root, and below a command that only groups
// others it prints the help and is content, so that a script would take "deadletters relpay"
// for done.
func execute(ctx context.Context, root *cobra.Command) error {
	c, err := root.ExecuteContextC(ctx)
	var usage *usageError
	switch {
	case err != nil && c == root && !errors.As(err, &usage):
		return &usageError{err} // the root does nothing itself that could go wrong
	case err == nil && !c.Runnable() && c.Flags().NArg() > 0:
		return usagef("unknown command %q for %q", c.Flags().Arg(0), c.CommandPath())
	}
	return err
}

// usageError is a mistake on the command line.
type usageError struct{ error }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// Root gives the command line as a tree, with the commands that cobra adds, for those who
// look at it without running it, as the tests of the documentation do. Each call gives
// another one.
func Root() *cobra.Command {
	root := newRoot()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "headgate",
		Short: "An API gateway that turns one request into many tracked deliveries",
		Long: "Headgate authenticates a request, maps it to what every configured backend wants,\n" +
			"records it, answers 202 and delivers. GET /tracking/<id> tells how each target ended.",
		Example:       "  headgate demo\n  headgate check -c headgate.yaml\n  headgate serve -c headgate.yaml",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usagef("%w; see %s --help", err, c.CommandPath())
	})
	root.AddCommand(
		newServe(), newReload(), newCheck(), newExplain(), newTest(), newRecipes(), newToken(), newTracking(), newCancel(),
		newTargets(), newPause(), newDrain(), newResume(), newDeadLetters(), newFind(), newDoctor(), newConfig(), newLogLevel(), newHealth(), newDemo(), newSimulate(),
		newSchema(), newReference(), newMan(), newVersion(),
	)
	newCompletions().attach(root)
	return root
}

// defaultConfig is looked for in the working directory.
const defaultConfig = "headgate.yaml"

// configFlag adds the flag that every command has which reads the files.
func configFlag(c *cobra.Command) *string {
	return c.Flags().StringP("config", "c", defaultConfig, "the operator's file")
}

// tokenFlag adds --token; the result gives its value, or that of the variable. The
// variable is read when the command runs: as a default it would stand in --help.
func tokenFlag(c *cobra.Command, what, variable string) func() string {
	flag := c.Flags().String("token", "", what+"; default: the environment variable "+variable)
	return func() string {
		return strings.TrimSpace(cmp.Or(*flag, os.Getenv(variable))) // as that of echo: no request can carry it
	}
}

// noArgs and exactly are cobra's checks with our exit code.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments, not %q", c.CommandPath(), args[0])
	}
	return nil
}

func exactly(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("%s takes %s; see %s --help", c.CommandPath(), what, c.CommandPath())
		}
		return nil
	}
}

// printJSON prints what a person reads and a program can.
func printJSON(c *cobra.Command, v any) error {
	out := json.NewEncoder(c.OutOrStdout())
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(v)
}

func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
