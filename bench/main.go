// Command bench measures Headgate: real processes and a real redis-server with its
// append-only file, backends and load in this process, everything side by side in one
// run and interleaved. It prints one line a figure. What is asserted are ratios: times
// depend on the machine and on what else it does.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"

	"headgate/chaos/world"
)

func main() {
	if len(os.Args) > 1 {
		if part, ok := parts[os.Args[1]]; ok {
			if err := part(os.Args[1:]); err != nil {
				fmt.Fprintln(os.Stderr, "bench:", err)
				os.Exit(1)
			}
			return
		}
	}
	os.Exit(run(os.Args[1:]))
}

// parts are the processes of a measurement that this program itself is.
var parts = map[string]func(args []string) error{
	"naive": serveBaseline, "one-script": serveBaseline, "no-op": serveBaseline, "sink": serveSink, "load": floodSelf,
}

// options of one run.
type options struct {
	quick bool
	dir   string // for everything that it writes
	// profiles is a folder for processor profiles of Headgate; empty: none are taken
	profiles string
}

// say tells what is being done: some of it takes minutes.
func say(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}

// benchmark measures some figures.
type benchmark struct {
	name string
	run  func(ctx context.Context, o options, b world.Binaries) ([]Figure, error)
}

var benchmarks = []benchmark{
	{"accept", accept},
	{"deliveries", deliveries},
	{"isolation", isolation},
}

func run(args []string) int {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "shorter rounds")
	only := flags.String("run", "", "only the benchmarks whose names this expression matches")
	out := flags.String("json", "", "write the figures to this file")
	profiles := flags.String("profiles", "", "write processor profiles of Headgate to this folder")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: -run:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp("", "headgate-bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is in the temporary folder
	var figures []Figure
	for _, b := range benchmarks {
		if !match.MatchString(b.name) {
			continue
		}
		got, err := b.run(ctx, options{quick: *quick, profiles: *profiles, dir: filepath.Join(dir, b.name)}, binaries(dir))
		if err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s: %v\n", b.name, err)
			return 1
		}
		for _, f := range got {
			fmt.Println(f)
		}
		figures = append(figures, got...)
	}
	if *out != "" {
		if err := write(*out, figures); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			return 1
		}
	}
	for _, f := range figures {
		if !f.Met() {
			return 1
		}
	}
	return 0
}

func write(path string, figures []Figure) error {
	text, err := json.MarshalIndent(map[string]any{"figures": figures}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o600)
}

// binaries builds the product once.
func binaries(dir string) world.Binaries {
	path := filepath.Join(dir, "headgate")
	return func(ctx context.Context, _ world.Variant) (string, error) {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		if text, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, ".").CombinedOutput(); err != nil { //nolint:gosec // our own module
			return "", fmt.Errorf("build headgate: %w\n%s", err, text)
		}
		return path, nil
	}
}
