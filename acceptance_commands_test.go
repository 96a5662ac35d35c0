package main

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// storyCommands is what the scripts can say besides testscript's own commands.
var storyCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"start":   startCommand,   // start NAME PROGRAM ARGS…        beside the story; prints to NAME.out and NAME.log
	"signal":  signalCommand,  // signal TERM|HUP|KILL NAME
	"ends":    endsCommand,    // ends [CODE] NAME                waits; the code is 0 unless told otherwise
	"logged":  loggedCommand,  // logged NAME REGEXP              waits until the log matches
	"redis":   redisCommand,   // redis start|stop
	"dump":    dumpCommand,    // dump GLOB                       all keys of Redis that match, with their content
	"ready":   readyCommand,   // ready [-s STATUS] URL           waits until it answers
	"http":    httpCommand,    // http [-s STATUS] [-t TOKEN] METHOD URL ['Name: value'…] [@file]
	"becomes": becomesCommand, // becomes URL REGEXP              asks until the body matches
	"capture": captureCommand, // capture NAME REGEXP             the first group, from what was printed last
	"track":   trackCommand,   // track -t TOKEN ID STATUS        waits for the end and compares
	"jwt":     jwtCommand,     // jwt NAME ALGORITHM [claim=value… claim=]
}

// usage ends a story whose command is written wrongly.
func usage(ts *testscript.TestScript, ok bool, text string) {
	if !ok {
		ts.Fatalf("usage: %s", text)
	}
}

func startCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) >= 2, "start NAME PROGRAM ARGS…")
	w := worldOf(ts)
	vars := maps.Clone(w.vars)
	for name := range vars {
		vars[name] = ts.Getenv(name) // a story may have changed it
	}
	ts.Check(w.start(args[0], vars, args[1:]...))
}

var signals = map[string]syscall.Signal{"TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL}

func signalCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2 && signals[args[0]] != 0, "signal TERM|HUP|KILL NAME")
	p, err := worldOf(ts).process(args[1])
	ts.Check(err)
	ts.Check(p.cmd.Process.Signal(signals[args[0]]))
}

func endsCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && (len(args) == 1 || len(args) == 2), "ends [CODE] NAME")
	want := 0
	if len(args) == 2 {
		n, err := strconv.Atoi(args[0])
		ts.Check(err)
		want = n
	}
	w, name := worldOf(ts), args[len(args)-1]
	p, err := w.process(name)
	ts.Check(err)
	code, err := p.wait()
	if err != nil || code != want {
		ts.Fatalf("%s: exit code %d (%v), want %d; its log:\n%s", name, code, err, want, w.log(name))
	}
}

func loggedCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "logged NAME REGEXP")
	w := worldOf(ts)
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	if !within(patience, func() bool { return pattern.MatchString(w.log(args[0])) }) {
		ts.Fatalf("the log of %s does not match %q:\n%s", args[0], args[1], w.log(args[0]))
	}
}

// within asks until the condition holds; false when it has not in time.
func within(limit time.Duration, holds func() bool) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-deadline.C:
			return holds()
		}
	}
	return true
}

func redisCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1 && (args[0] == "start" || args[0] == "stop"), "redis start|stop")
	if args[0] == "stop" {
		worldOf(ts).redis.Kill()
		return
	}
	worldOf(ts).redis.Restart()
}

func dumpCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "dump GLOB")
	text, err := worldOf(ts).dump(context.Background(), args[0])
	ts.Check(err)
	_, err = ts.Stdout().Write([]byte(text))
	ts.Check(err)
}

// dump gives every key that matches with all that it holds, a line each.
func (w *world) dump(ctx context.Context, glob string) (string, error) {
	rdb := w.redis.Client(w.t)
	var keys []string
	scan := rdb.Scan(ctx, 0, glob, 1000).Iterator()
	for scan.Next(ctx) {
		keys = append(keys, scan.Val())
	}
	if err := scan.Err(); err != nil {
		return "", err
	}
	slices.Sort(keys)
	read := map[string]func(key string) (any, error){
		"string": func(key string) (any, error) { return rdb.Get(ctx, key).Result() },
		"hash":   func(key string) (any, error) { return rdb.HGetAll(ctx, key).Result() },
		"list":   func(key string) (any, error) { return rdb.LRange(ctx, key, 0, -1).Result() },
		"set":    func(key string) (any, error) { return rdb.SMembers(ctx, key).Result() },
		"zset":   func(key string) (any, error) { return rdb.ZRangeWithScores(ctx, key, 0, -1).Result() },
		"none":   func(string) (any, error) { return "gone meanwhile", nil },
	}
	var out strings.Builder
	for _, key := range keys {
		kind, err := rdb.Type(ctx, key).Result()
		if err != nil {
			return "", err
		}
		if read[kind] == nil {
			return "", fmt.Errorf("%s is a %s, which dump cannot read", key, kind)
		}
		value, err := read[kind](key)
		if err != nil {
			return "", fmt.Errorf("read %s: %w", key, err)
		}
		fmt.Fprintf(&out, "%s %v\n", key, value)
	}
	return out.String(), nil
}
