package app

import (
	"headgate/config"
	"headgate/config/yamlsrc"
	"headgate/policies"
	"headgate/routes"
)

// Load reads and checks all files of a configuration without starting anything: what
// `headgate check` does, and the first half of a start or reload. All problems are in
// report; the table is nil when there is any.
func Load(path string, deps policies.Deps, report *yamlsrc.Report) (*config.Config, *routes.Table) {
	return LoadWith(path, yamlsrc.Environment, deps, report)
}

// LoadWith is Load with an environment of the caller's, for the ${NAME} of all files.
func LoadWith(path string, env func(name string) (string, error), deps policies.Deps, report *yamlsrc.Report) (*config.Config, *routes.Table) {
	c := config.LoadWith(path, env, report)
	registry := Builtin()
	deps.CompileText = compileText
	table := routes.Load(c.RouteFiles, routes.Options{
		Registry: registry, Access: c.RoutesMayRead, Env: env, Deps: deps, TrackingAuth: c.Tracking.Auth, TrackingAuthPos: c.Tracking.AuthPos,
	}, report)
	if node := c.Tracking.RateLimit; node != nil {
		registry.BuildPolicy("rate_limit", node.Pos, policies.Build{Name: "tracking", Node: node, Report: report, Dir: c.Dir, Deps: deps})
	}
	if node := c.Callbacks.RateLimit; node != nil {
		registry.BuildPolicy("rate_limit", node.Pos, policies.Build{Name: "callbacks", Node: node, Report: report, Dir: c.Dir, Deps: deps})
	}
	if report.Len() == 0 {
		checkCallbacks(c, table, report)
	}
	if report.Len() > 0 && table != nil {
		table.Close()
		table = nil
	}
	return c, table
}
