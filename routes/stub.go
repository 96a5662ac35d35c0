package routes

import (
	"context"
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
}

// Auth asks a list of authenticators; the first that finds its kind of credentials
// decides. It implements policies.Policy in the stage Identify.
type Auth struct{}

// Name implements policies.Policy.
func (a *Auth) Name() string { panic("stub") }

// Stage implements policies.Policy.
func (a *Auth) Stage() policies.Stage { panic("stub") }

// Check sets r.Principal, or denies: 401 with WWW-Authenticate (one challenge per
// authenticator, joined by ", ") or 403 when there is no tenant.
func (a *Auth) Check(ctx context.Context, r *policies.Request) policies.Decision { panic("stub") }

// Table is every route and target of the platform team's files, compiled. Immutable.
type Table struct{}

// Options of Load.
type Options struct {
	Registry *policies.Registry
	Access   secret.Access // routes_may_read
	Deps     policies.Deps
	// TrackingAuth names the authenticators that GET /tracking accepts; empty: all.
	TrackingAuth []string
}

// Load reads, checks and compiles the files. All problems of all files are in report;
// the table is nil when there is any.
func Load(files []string, o Options, report *yamlsrc.Report) *Table { panic("stub") }

// Match finds the route. When only the method differs, allow lists the methods that
// the path has, sorted. path is as it came, still percent-encoded; params are decoded.
func (t *Table) Match(method, path string) (r *Route, params map[string]string, allow []string) {
	panic("stub")
}

// Routes lists the routes in the order of the files.
func (t *Table) Routes() []*Route { panic("stub") }

// Plans gives the live plan of each target, by name.
func (t *Table) Plans() map[string]*target.Plan { panic("stub") }

// TrackingAuth gives the policy that guards GET /tracking: Options.TrackingAuth, or any
// of the file's authenticators; nil when there is none and every route is `auth: none`.
func (t *Table) TrackingAuth() *Auth { panic("stub") }

// Health tells, by authenticator name, what keeps one from checking credentials.
func (t *Table) Health() map[string]error { panic("stub") }

// Close ends what authenticators do in the background.
func (t *Table) Close() { panic("stub") }
