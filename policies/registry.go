package policies

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"headgate/config/yamlsrc"
)

// Deps are the outside things a policy may need. `headgate check` and `explain` build
// policies with the zero value: constructors open nothing; they start on first use.
type Deps struct {
	// Limit counts one hit and tells what is left; nil where there is no Redis (check).
	Limit func(ctx context.Context, key string, limit int64, per time.Duration) (LimitState, error)
	// HTTP fetches key sets. Nil means that nothing is fetched.
	HTTP *http.Client
	Log  *slog.Logger
	// CompileText compiles a scalar with expressions. roots are the names that an
	// expression may use; what is wrong goes into report, and the result is nil or not
	// used then. It keeps the policies free of the mapping language. Nil means that
	// there are no expressions: whoever needs one denies.
	CompileText func(n *yamlsrc.Node, roots []string, report *yamlsrc.Report) func(scope map[string]any) (string, error)
	// Kept is what outlives a reload, by key: a policy puts there what it has learnt and
	// the one that is built after it may begin with. A key starts with a word that is its
	// policy's own, such as "jwks https://…"; values are immutable. Nil: nothing is kept.
	Kept *sync.Map
}

// LimitState is where a fixed window stands after a hit.
type LimitState struct {
	Remaining int64
	Reset     time.Duration // until the window ends
	Exceeded  bool
}

// Registry holds the known policies and authenticators. It is filled from an explicit
// list at start; an unknown or duplicate name is loud.
type Registry struct {
	policies       map[string]func(Build) Policy
	authenticators map[string]func(Build) Authenticator
	types          map[string]any
}

// NewRegistry makes an empty registry.
func NewRegistry() *Registry {
	return &Registry{
		policies:       map[string]func(Build) Policy{},
		authenticators: map[string]func(Build) Authenticator{},
		types:          map[string]any{},
	}
}

// Policy registers a route policy under its YAML key. config is a pointer to a zero
// value of the type its YAML decodes into; the JSON Schema is made from it. New adds
// what is wrong to b.Report and returns nil then.
func (r *Registry) Policy(name string, config any, build func(Build) Policy) {
	r.claim(name, config)
	r.policies[name] = build
}

// Authenticator registers a kind of authenticator, such as "jwt".
func (r *Registry) Authenticator(name string, config any, build func(Build) Authenticator) {
	r.claim(name, config)
	r.authenticators[name] = build
}

func (r *Registry) claim(name string, config any) {
	if _, dup := r.types[name]; dup {
		panic(fmt.Sprintf("policies: %q is registered twice", name))
	}
	r.types[name] = config
}

// PolicyNames lists the registered route policies in alphabetical order.
func (r *Registry) PolicyNames() []string { return sortedKeys(r.policies) }

// AuthenticatorNames lists the registered kinds of authenticator.
func (r *Registry) AuthenticatorNames() []string { return sortedKeys(r.authenticators) }

// ConfigType gives the pointer registered with name, for the JSON Schema.
func (r *Registry) ConfigType(name string) any { return r.types[name] }

// BuildPolicy builds the route policy called name; nil when the file is wrong.
func (r *Registry) BuildPolicy(name string, at yamlsrc.Pos, b Build) Policy {
	build, ok := r.policies[name]
	if !ok {
		b.Report.Addf(at, b.Node.Path, yamlsrc.UnknownHint(name, r.PolicyNames()), "unknown policy %q", name)
		return nil
	}
	return build(b)
}

// BuildAuthenticator builds an authenticator of the given kind; nil when it is wrong.
func (r *Registry) BuildAuthenticator(kind string, at yamlsrc.Pos, b Build) Authenticator {
	build, ok := r.authenticators[kind]
	if !ok {
		b.Report.Addf(at, b.Node.Path, yamlsrc.UnknownHint(kind, r.AuthenticatorNames()), "unknown kind of authentication %q", kind)
		return nil
	}
	return build(b)
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
