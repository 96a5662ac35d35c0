package routes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"headgate/config/secret"
	"headgate/config/yamlsrc"
	"headgate/policies"
)

// fakePolicy stands for any policy: its stage comes from its registration.
type fakePolicy struct {
	name  string
	stage policies.Stage
	words []string
	null  bool
}

func (p *fakePolicy) Name() string          { return p.name }
func (p *fakePolicy) Stage() policies.Stage { return p.stage }
func (p *fakePolicy) Check(context.Context, *policies.Request) policies.Decision {
	return policies.Pass()
}

// fakeAuth accepts the credentials of its name.
type fakeAuth struct {
	name   string
	config authConfig
	closed *[]string
}

type authConfig struct {
	Header string     `yaml:"header" jsonschema_description:"Header with the credentials."`
	Token  secret.Ref `yaml:"token"`
	Ill    bool       `yaml:"ill"`
}

func (a *fakeAuth) Challenge() string { return fmt.Sprintf("Fake realm=%q", a.name) }
func (a *fakeAuth) Close()            { *a.closed = append(*a.closed, a.name) }
func (a *fakeAuth) Health() error {
	if a.config.Ill {
		return errors.New("no keys")
	}
	return nil
}

func (a *fakeAuth) Authenticate(_ context.Context, r *policies.Request) (policies.Principal, policies.AuthResult) {
	switch r.Header.Get("Authorization") {
	case a.name:
		return policies.Principal{Authenticator: "a lie", ID: "id", Tenant: "t"}, policies.AuthResult{Outcome: policies.Accepted}
	case a.name + " bad":
		return policies.Principal{ID: "leak"}, policies.AuthResult{Outcome: policies.Rejected, Log: "wrong key"}
	case a.name + " homeless":
		return policies.Principal{}, policies.AuthResult{Outcome: policies.Forbidden, Log: "no org"}
	case a.name + " keyless":
		return policies.Principal{ID: "leak"}, policies.AuthResult{Outcome: policies.Unavailable, Log: "no keys"}
	case a.name + " odd":
		return policies.Principal{}, policies.AuthResult{Outcome: 99}
	}
	return policies.Principal{}, policies.AuthResult{Outcome: policies.Absent, Log: "nothing here"}
}

type bodyConfig struct {
	Max    string        `yaml:"max"`
	Schema *yamlsrc.Node `yaml:"schema"`
}

// shaped is a fake that knows of a schema the fields that it names plainly.
type shaped struct {
	*fakePolicy
	schema *yamlsrc.Node
}

func (s shaped) Lacks(path []string) (policies.MissingField, bool) {
	n := s.schema
	for i, name := range path {
		if name == "[]" {
			n = n.Get("items")
			continue
		}
		fields, others := n.Get("properties"), n.Get("additionalProperties")
		if fields.Get(name) == nil {
			missing := policies.MissingField{At: i, Never: others != nil && others.Text == "false"}
			if fields != nil {
				for _, e := range fields.Entries {
					missing.Known = append(missing.Known, e.Key)
				}
			}
			return missing, missing.Never || fields != nil
		}
		n = fields.Get(name)
	}
	return policies.MissingField{}, false
}

type limitConfig []struct {
	Limit int    `yaml:"limit,required"`
	Per   string `yaml:"per"`
	By    string `yaml:"by"`
}

// registry has the names of the real one, with fakes behind them. closed notes which
// authenticators were closed.
func registry(closed *[]string) *policies.Registry {
	r := policies.NewRegistry()
	policy := func(name string, stage policies.Stage, config any) {
		r.Policy(name, config, func(b policies.Build) policies.Policy {
			p := &fakePolicy{name: name, stage: stage, null: b.Node.Kind == yamlsrc.Null}
			switch name {
			case "body":
				var config bodyConfig
				if b.Node.Decode(&config, b.Report); config.Schema != nil && config.Schema.Kind == yamlsrc.Map {
					return shaped{p, config.Schema}
				}
			case "scopes":
				b.Node.Decode(&p.words, b.Report)
			case "rate_limit":
				b.Node.Decode(&limitConfig{}, b.Report)
			}
			return p
		})
	}
	policy("body", policies.Content, &bodyConfig{})
	policy("rate_limit", policies.Admit, &limitConfig{})
	policy("scopes", policies.Authorize, &[]string{})
	for _, kind := range []string{"jwt", "api_key"} {
		r.Authenticator(kind, &authConfig{}, func(b policies.Build) policies.Authenticator {
			a := &fakeAuth{name: b.Name, closed: closed}
			before := b.Report.Len()
			b.Node.Decode(&a.config, b.Report)
			if b.Report.Len() > before {
				return (*fakeAuth)(nil) // a nil that is none: what careless constructors return
			}
			return a
		})
	}
	return r
}

func options(closed *[]string) Options {
	return Options{
		Registry: registry(closed),
		Access:   secret.Access{Env: []string{"CRM_*"}, Files: []string{"/run/secrets"}},
		Env: func(name string) (string, error) {
			if value, ok := map[string]string{"CRM_URL": "https://crm.example.com", "HOME": "/root"}[name]; ok {
				return value, nil
			}
			return "", errors.New("the environment variable is not set")
		},
	}
}

// mustLoad loads files given as text and fails on any problem.
func mustLoad(t *testing.T, o Options, texts ...string) *Table {
	t.Helper()
	var report yamlsrc.Report
	table := load(files(texts...), o, &report)
	if table == nil {
		t.Fatal(report.Err())
	}
	t.Cleanup(table.Close)
	return table
}

func files(texts ...string) []source {
	var out []source
	for i, text := range texts {
		out = append(out, source{name: fmt.Sprintf("%c.yaml", 'a'+i), text: []byte(text)})
	}
	return out
}

func policyNames(r *Route) (names []string) {
	for _, p := range r.Policies {
		names = append(names, p.Name())
	}
	return slices.Clip(names)
}
