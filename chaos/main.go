// Command chaos runs Headgate's real processes through a matrix of faults under load,
// and counts what was acknowledged, delivered, done twice, lost and left open. See
// docs/chaos.md.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

func main() { os.Exit(chaos(os.Args[1:], os.Stdout, os.Stderr)) }

// chaos gives the exit code: 0 when nothing was lost or left open, 1 otherwise, 2 for a
// wrong command line.
func chaos(args []string, out, log io.Writer) int {
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(log)
	short := flags.Bool("short", false, "the short form of each scenario")
	seed := flags.Uint64("seed", uint64(time.Now().Unix()), "what the moments of the faults are drawn from")
	pattern := flags.String("run", "", "only scenarios whose name matches this regular expression")
	lines := flags.String("json", "", "write the lines of JSON to this file as well")
	keep := flags.String("keep", "", "keep data and logs of all scenarios in this folder")
	parallel := flags.Int("parallel", 4, "how many scenarios run side by side")
	list := flags.Bool("list", false, "print the scenarios and run nothing")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	only, err := regexp.Compile(*pattern)
	if err != nil || flags.NArg() > 0 {
		fmt.Fprintln(log, "chaos: wrong arguments; see -help")
		return 2
	}
	if *list {
		fmt.Fprint(out, describe(matrix()))
		return 0
	}
	chosen := choose(matrix(), only, *short)
	if len(chosen) == 0 {
		fmt.Fprintf(log, "chaos: no scenario fits %q; see -list\n", *pattern)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	h := &harness{seed: *seed, short: *short, parallel: max(*parallel, 1), keep: *keep != "", dir: *keep}
	good, err := h.main(ctx, chosen, *lines, out, log)
	if err != nil {
		fmt.Fprintln(log, "chaos:", err)
	}
	if err != nil || !good {
		return 1
	}
	return 0
}

func choose(list []*scenario, only *regexp.Regexp, short bool) []*scenario {
	var out []*scenario
	for _, s := range list {
		if only.MatchString(s.name) && !(short && s.longOnly) {
			out = append(out, s)
		}
	}
	return out
}

// main runs the scenarios and writes the report.
func (h *harness) main(ctx context.Context, list []*scenario, lines string, out, log io.Writer) (bool, error) {
	began := time.Now()
	if h.dir == "" {
		dir, err := os.MkdirTemp("", "headgate-chaos-")
		if err != nil {
			return false, err
		}
		h.dir = dir
	}
	dir, err := filepath.Abs(h.dir)
	if err != nil {
		return false, err
	}
	h.dir = dir
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		return false, err
	}
	defer func() { _ = os.RemoveAll(bin); _ = os.Remove(dir) }() // the folder stays when logs are in it
	sink := out
	if lines != "" {
		file, err := os.Create(lines) //nolint:gosec // named by who runs this
		if err != nil {
			return false, err
		}
		defer func() { _ = file.Close() }()
		sink = io.MultiWriter(out, file)
	}
	fmt.Fprintf(log, "chaos: seed %d, %d scenarios, %d at a time, logs below %s\n", h.seed, len(list), h.parallel, dir)
	binaries := &builder{dir: bin}
	building := binaries.start(ctx, list)
	defer building.Wait()
	h.binaries = binaries.binaries()
	var results []result
	h.report = func(r result) {
		line, err := json.Marshal(r)
		if err != nil {
			line = []byte(err.Error())
		}
		fmt.Fprintf(sink, "%s\n", line)
		results = append(results, r)
	}
	good := h.all(ctx, inTurn(list))
	fmt.Fprintf(log, "\n%s\n", table(inOrder(list, results)))
	for _, r := range results {
		if !r.OK {
			fmt.Fprintf(log, "FAILED %s; logs are in %s\n", r.Scenario, r.Logs)
			for _, p := range r.Problems {
				fmt.Fprintf(log, "    %s\n", p)
			}
		}
	}
	fmt.Fprintf(log, "chaos: %d of %d scenarios in %v, seed %d\n", len(results), len(list), time.Since(began).Round(time.Second), h.seed)
	return good && len(results) == len(list), ctx.Err()
}

// inOrder puts the results into the order of the matrix.
func inOrder(list []*scenario, results []result) []result {
	var out []result
	for _, s := range list {
		for _, r := range results {
			if r.Scenario == s.name {
				out = append(out, r)
			}
		}
	}
	return out
}
