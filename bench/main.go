// Command bench measures Headgate: real processes and a real redis-server with its
// append-only file, loaded from a process of its own, everything side by side in one run and
// interleaved. It prints one line a figure and a table of those that have a bound.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9/logging"

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
	quick, long bool
	scale       float64 // of times and sizes of the long benchmarks
	dir         string  // for everything that it writes
	// profiles is a folder for processor profiles of Headgate; empty: none are taken
	profiles string
}

// say tells what is being done: some of it takes minutes.
func say(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}

func run(args []string) int {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.BoolVar(&o.quick, "quick", false, "only the quick set, in shorter rounds")
	flags.BoolVar(&o.long, "long", false, "the long set, too")
	flags.Float64Var(&o.scale, "scale", 1, "share of the long set's times and sizes, for trying it out")
	flags.StringVar(&o.profiles, "profiles", "", "write processor profiles of Headgate to this folder")
	only := flags.String("run", "", "only the benchmarks of the set whose names this expression matches")
	out := flags.String("json", "", "write the figures to this file")
	list := flags.Bool("list", false, "print the names of all benchmarks, with the set of each")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *list {
		for _, b := range benchmarks {
			fmt.Printf("%-12s %-8s %s\n", b.name, b.set, b.about)
		}
		return 0
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "bench: what is %q? -run chooses benchmarks, -list prints them\n", flags.Arg(0))
		return 2
	}
	if o.quick && o.long {
		fmt.Fprintln(os.Stderr, "bench: -quick and -long exclude each other")
		return 2
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: -run:", err)
		return 2
	}
	chosen := o.choose(match)
	if len(chosen) == 0 {
		fmt.Fprintln(os.Stderr, "bench: no benchmark of this set has such a name; -list prints them all")
		return 2
	}
	logging.Disable() // a server that does not answer yet is waited for
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	figures, ok := o.measureAll(ctx, chosen)
	ok = table(os.Stdout, figures) && ok
	if *out != "" {
		if err := write(*out, figures); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			return 1
		}
	}
	if !ok {
		return 1
	}
	return 0
}

// measureAll runs benchmarks one after the other; ok is false when one could not measure.
func (o options) measureAll(ctx context.Context, chosen []benchmark) (figures []Figure, ok bool) {
	dir, err := os.MkdirTemp("", "headgate-bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return nil, false
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is in the temporary folder
	ok = true
	binary := binaries(dir)
	for _, b := range chosen {
		if ctx.Err() != nil {
			return figures, false
		}
		began := time.Now()
		o.dir = filepath.Join(dir, b.name)
		got, err := b.run(ctx, o, binary)
		_ = os.RemoveAll(o.dir) // append-only files are large
		if err != nil {
			ok = false
			fmt.Fprintf(os.Stderr, "bench: %s: %v\n", b.name, err)
			continue // the others can be measured all the same
		}
		for _, f := range got {
			fmt.Println(f)
		}
		say("%s took %.0f s", b.name, time.Since(began).Seconds())
		figures = append(figures, got...)
	}
	return figures, ok
}

// binaries builds the product once.
func binaries(dir string) world.Binaries {
	path := filepath.Join(dir, "headgate")
	return func(ctx context.Context, _ world.Variant) (string, error) {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		if text, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "headgate").CombinedOutput(); err != nil { //nolint:gosec // our own module
			return "", fmt.Errorf("build headgate: %w\n%s", err, text)
		}
		return path, nil
	}
}
