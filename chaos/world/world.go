// Package world owns what a scenario runs in: real processes of Redis and Headgate on
// ports of their own, links between them that can be cut, and backends that note what
// they did. It knows no scenario.
package world

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"headgate/chaos/ledger"
)

// Kind is how Redis is run.
type Kind string

// The kinds.
const (
	Single   Kind = ""
	Sentinel Kind = "sentinel"
	Cluster  Kind = "cluster"
)

// Spec says what a scenario runs on.
type Spec struct {
	Gateways, Workers int // default 1
	Redis             Kind
	Fsync             string // default everysec
	Ack               bool   // a request is acknowledged only when a replica has it
	Links             bool   // each process reaches a single Redis, and the workers the backends, over a link of its own
	Failpoints        bool   // processes can be armed with fail-points
	Clocks            bool   // processes can be given another clock
	Timeout           string // of calls to backends; default 5s
	// Routes replaces the platform team's file, and BackendsURL the backends of the
	// scenarios: for benchmarks, which have their own.
	Routes, BackendsURL string
	// Bare starts Redis only; Whole one process with both roles, which is both a gateway
	// and a worker here.
	Bare, Whole bool
	// NoWorker starts gateways only; NoRedis, with Bare, nothing at all.
	NoWorker, NoRedis bool
	RedisArgs         []string // further directives of a single Redis, as on its command line
	// Operator is further lines of the operator's file, and Drain its limits.drain.
	Operator, Drain string
	// Balanced puts a Balancer before the gateways.
	Balanced bool
}

// Variant is a way in which the Headgate binary is built.
type Variant int

// The variants, in the order in which they are built.
const (
	Plain     Variant = iota
	Failpoint         // with places at which it can end itself
	Skewed            // with a clock that can be off
)

// Variant is what the processes of a scenario need.
func (s Spec) Variant() Variant {
	switch {
	case s.Failpoints:
		return Failpoint
	case s.Clocks:
		return Skewed
	}
	return Plain
}

// Binaries gives the path of a variant, as soon as it is built.
type Binaries func(ctx context.Context, v Variant) (string, error)

// World is what one scenario runs in.
type World struct {
	Dir      string
	Books    *ledger.Ledger
	Backends *Backends
	// BackendLink is between the workers and the backends; nil without links.
	BackendLink *Link
	Redis       *Redis   // the single one; with Sentinel the first master
	Nodes       []*Redis // with Sentinel and of a cluster: all servers
	Gateways    []*Host
	Workers     []*Host
	// Balancer stands before the gateways; nil unless Spec.Balanced.
	Balancer *Balancer

	spec     Spec
	binary   string
	redisURL func(h *Host) (string, error)
	cleanups []func()
}

// New starts everything and returns when gateways and workers are up. Close ends it.
func New(ctx context.Context, dir string, spec Spec, binaries Binaries) (*World, error) {
	spec.Gateways, spec.Workers = max(spec.Gateways, 1), max(spec.Workers, 1)
	if spec.Fsync == "" {
		spec.Fsync = "everysec"
	}
	if spec.Timeout == "" {
		spec.Timeout = "5s"
	}
	if spec.Drain == "" {
		spec.Drain = "0s"
	}
	w := &World{Dir: dir, Books: ledger.New(), spec: spec}
	if err := w.make(ctx, binaries); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

func (w *World) make(ctx context.Context, binaries Binaries) (err error) {
	if w.binary, err = binaries(ctx, w.spec.Variant()); err != nil {
		return err
	}
	if err = w.writeFiles(); err != nil {
		return err
	}
	if w.Backends, err = startBackends(ctx, w.Books); err != nil {
		return err
	}
	w.onClose(func() { _ = w.Backends.close() })
	if w.spec.Links {
		if w.BackendLink, err = w.link("backends", w.Backends.URL[len("http://"):]); err != nil {
			return err
		}
	}
	if w.spec.NoRedis {
		return nil
	}
	if err = w.startRedis(ctx); err != nil {
		return err
	}
	switch {
	case w.spec.Bare:
		return nil
	case w.spec.Whole:
		err := w.add(ctx, &w.Gateways, "all", 0)
		w.Workers = w.Gateways
		return err
	}
	for i := range w.spec.Gateways {
		if err := w.add(ctx, &w.Gateways, "gateway", i); err != nil {
			return err
		}
	}
	if w.spec.Balanced {
		if w.Balancer, err = w.Balance(ctx); err != nil {
			return err
		}
	}
	if w.spec.NoWorker {
		return nil
	}
	for i := range w.spec.Workers {
		if err := w.add(ctx, &w.Workers, "worker", i); err != nil {
			return err
		}
	}
	return nil
}

func (w *World) onClose(f func()) { w.cleanups = append(w.cleanups, f) }

// Close ends every process and link, last started first.
func (w *World) Close() {
	for i := len(w.cleanups) - 1; i >= 0; i-- {
		w.cleanups[i]()
	}
	w.cleanups = nil
}

func (w *World) link(name, upstream string) (*Link, error) {
	l, err := newLink(name, upstream)
	if err == nil {
		w.onClose(l.Down)
	}
	return l, err
}

// Host is a Headgate process. It keeps its address through all its lives.
type Host struct {
	Process
	URL      string // of a gateway
	AdminURL string
	Redis    *Link             // nil without links
	Env      map[string]string // what is set here holds from the next start on
}

// Start runs the process and waits until it says that it is up.
func (h *Host) Start(ctx context.Context) error { return h.start(ctx, "headgate is up") }

// StartArmed runs a process that may end itself before it is up.
func (h *Host) StartArmed(ctx context.Context) error { return h.start(ctx, "") }

// AddArmed starts one more worker, with these variables besides the usual ones, and does
// not wait until it is up: it may end itself before.
func (w *World) AddArmed(ctx context.Context, env map[string]string) (*Host, error) {
	h, err := w.newHost(ctx, "worker", len(w.Workers))
	if err != nil {
		return nil, err
	}
	maps.Copy(h.Env, env)
	w.Workers = append(w.Workers, h)
	return h, h.StartArmed(ctx)
}

// add makes and starts a Headgate process.
func (w *World) add(ctx context.Context, to *[]*Host, role string, i int) error {
	h, err := w.newHost(ctx, role, i)
	if err != nil {
		return err
	}
	*to = append(*to, h)
	return h.Start(ctx)
}

func (w *World) newHost(ctx context.Context, role string, i int) (*Host, error) {
	listen, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	admin, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	h := &Host{URL: "http://" + local(listen), AdminURL: "http://" + local(admin)}
	name := role + "-" + strconv.Itoa(i+1)
	backends := w.Backends.URL
	if w.spec.BackendsURL != "" {
		backends = w.spec.BackendsURL
	}
	if w.spec.Links {
		if w.Redis != nil {
			if h.Redis, err = w.link(name, w.Redis.Addr()); err != nil {
				return nil, err
			}
		}
		backends = "http://" + w.BackendLink.Addr()
	}
	url, err := w.urlFor(h)
	if err != nil {
		return nil, err
	}
	h.Env = map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": "/nonexistent", "REDIS_URL": url, "BACKENDS_URL": backends,
		"HEADGATE_ADMIN_TOKEN": Token, "NEWSLETTER_KEY": "key",
	}
	h.Process = Process{Name: name, log: filepath.Join(w.Dir, name+".log"), make: func() (*exec.Cmd, error) {
		cmd := exec.Command(w.binary, "serve", "--role", role, "--listen", local(listen), "--admin-listen", local(admin)) //nolint:gosec,noctx // ended by signals
		cmd.Dir = w.Dir
		for name, value := range h.Env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		return cmd, nil
	}}
	w.onClose(h.Kill)
	return h, nil
}

// urlFor is how a process reaches Redis.
func (w *World) urlFor(h *Host) (string, error) {
	switch {
	case w.redisURL != nil:
		return w.redisURL(h)
	case h.Redis != nil:
		return "redis://" + h.Redis.Addr() + "/0", nil
	case w.Redis != nil:
		return "redis://" + w.Redis.Addr() + "/0", nil
	}
	return "", errors.New("there is no redis")
}

// Hosts are all Headgate processes.
func (w *World) Hosts() []*Host {
	if w.spec.Whole {
		return w.Gateways
	}
	return append(append([]*Host{}, w.Gateways...), w.Workers...)
}

// Run starts another program, which is up when its output holds ready, and ends with the
// world. It gets no environment but what it is given.
func (w *World) Run(ctx context.Context, name, ready, path string, args ...string) (*Process, error) {
	p := &Process{Name: name, log: filepath.Join(w.Dir, name+".log"), make: func() (*exec.Cmd, error) {
		cmd := exec.Command(path, args...) //nolint:gosec,noctx // of the harness itself, ended by signals
		cmd.Env = []string{}
		return cmd, nil
	}}
	w.onClose(p.Kill)
	return p, p.start(ctx, ready)
}

// Logged counts how often a text stands in the logs of the Headgate processes.
func (w *World) Logged(text string) int {
	n := 0
	for _, h := range w.Hosts() {
		n += countIn(h.text(), text)
	}
	return n
}

// Complaints lists what no Headgate process may print.
func (w *World) Complaints() []string {
	var out []string
	for _, h := range w.Hosts() {
		log := h.text()
		for _, bad := range []string{"panic:", "fatal error:", "DATA RACE"} {
			if n := countIn(log, bad); n > 0 {
				out = append(out, fmt.Sprintf("the log of %s says %q %d times", h.Name, bad, n))
			}
		}
	}
	return out
}

// stopWithin is limits.shutdown of operatorFile and what it takes on a busy machine.
const stopWithin = 30 * time.Second

// Stop asks a process to end, as a roll-out does.
func (h *Host) Stop() error { return h.Process.Stop(stopWithin) }
