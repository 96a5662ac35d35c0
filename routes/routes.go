// Package routes owns the platform team's files: it reads and checks them and compiles
// them to an immutable table of routes and targets. It is the only package that knows
// both policies and targets, and it names no single one of either. It knows no HTTP
// server, no Redis and no queue.
package routes

import (
	"slices"
	"sync"
	"time"

	"headgate/config/secret"
	"headgate/config/yamlsrc"
	"headgate/dispatch"
	"headgate/dispatch/target"
	"headgate/policies"
)

// Idempotency says what a route does with the Idempotency-Key header.
type Idempotency string

// The settings.
const (
	IdempotencyOptional Idempotency = "optional"
	IdempotencyRequired Idempotency = "required"
	IdempotencyOff      Idempotency = "off" // the header is ignored
)

// Route is one compiled route. It is immutable.
type Route struct {
	Name    string
	Method  string
	Pattern string // /profiles/:id
	Auth    *Auth  // nil: `auth: none`
	// Policies are in the order they run: by stage, then as written.
	Policies    []policies.Policy
	Fanout      *dispatch.Fanout
	Idempotency Idempotency
	IdemTTL     time.Duration // default 24h
	Position    yamlsrc.Pos

	sum string // of what is written, and of the files that it names
}

// Table is every route and target of the platform team's files, compiled. Immutable.
type Table struct {
	routes         []*Route
	plans          map[string]*target.Plan
	methods        map[string]*methodIndex
	names          []string // methods, sorted
	authenticators []named
	trackingAuth   *Auth
	sums           map[string]string // of the authenticators, by name
	warnings       []yamlsrc.Problem
	closing        sync.Once
}

// Options of Load.
type Options struct {
	Registry *policies.Registry
	Access   secret.Access // routes_may_read
	Deps     policies.Deps
	// TrackingAuth names the authenticators that GET /tracking accepts; empty: all.
	TrackingAuth []string
	// TrackingAuthPos is where the operator wrote TrackingAuth, for problems with it.
	TrackingAuthPos yamlsrc.Pos
	// Env reads the environment for ${NAME}; nil takes that of the process. An error of it
	// that has a method Hint() string says what to do about it.
	Env func(name string) (string, error)
}

// Routes lists the routes in the order of the files.
func (t *Table) Routes() []*Route { return slices.Clone(t.routes) }

// Plans gives the live plan of each target, by name. The caller must not change it.
func (t *Table) Plans() map[string]*target.Plan { return t.plans }

// TrackingAuth gives the policy that guards GET /tracking: Options.TrackingAuth, or any
// of the file's authenticators; nil when there is none and every route is `auth: none`.
func (t *Table) TrackingAuth() *Auth { return t.trackingAuth }

// Health tells, by authenticator name, what keeps one from checking credentials. Those
// that can are not in it.
func (t *Table) Health() map[string]error {
	out := map[string]error{}
	for _, a := range t.authenticators {
		if err := a.Health(); err != nil {
			out[a.name] = err
		}
	}
	return out
}

// Warnings lists what is no problem, but hardly meant: targets and authenticators that
// no route uses.
func (t *Table) Warnings() []yamlsrc.Problem { return slices.Clone(t.warnings) }

// Close ends what authenticators do in the background. It may be called again.
func (t *Table) Close() {
	t.closing.Do(func() {
		for _, a := range t.authenticators {
			a.Close()
		}
	})
}
