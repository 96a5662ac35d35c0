package app

import (
	"cmp"
	"maps"
	"slices"

	"headgate/config"
	"headgate/routes"
)

// Effective is the configuration in force, for operators: every key with its value, whether
// the file has it or it is a default, and what the route files came to. Secrets stand in it
// as where they are kept.
type Effective struct {
	Process *EffectiveProcess `json:"process,omitempty"` // absent when it was read from files only
	File    string            `json:"file"`
	Config  *config.Config    `json:"config"`
	Routes  []EffectiveRoute  `json:"routes"`
	Targets []EffectiveTarget `json:"targets"`
}

// EffectiveProcess is what of a process its files do not tell.
type EffectiveProcess struct {
	Role   Role   `json:"role"`
	Listen string `json:"listen,omitempty"` // where clients are answered
	Admin  string `json:"admin,omitempty"`
	Redis  string `json:"redis"`
}

// EffectiveRoute is a route of the files.
type EffectiveRoute struct {
	Name    string   `json:"name"`
	Match   string   `json:"match"`
	At      string   `json:"at"` // file:line:column
	Targets []string `json:"targets"`
}

// EffectiveTarget is a target of the files.
type EffectiveTarget struct {
	Name string `json:"name"`
	Plan string `json:"plan"` // content hash: the same for the same target in each process
}

// EffectiveOf describes what was read from files.
func EffectiveOf(c *config.Config, table *routes.Table) Effective {
	full := *c
	full.Callbacks.RateLimit = cmp.Or(c.Callbacks.RateLimit, defaultCallbackLimit())
	out := Effective{File: c.File, Config: &full, Routes: []EffectiveRoute{}, Targets: []EffectiveTarget{}}
	for _, r := range table.Routes() {
		view := EffectiveRoute{Name: r.Name, Match: r.Method + " " + r.Pattern, At: r.Position.String(), Targets: []string{}}
		for _, b := range r.Fanout.Bindings {
			view.Targets = append(view.Targets, b.Plan.Name)
		}
		out.Routes = append(out.Routes, view)
	}
	plans := table.Plans()
	for _, name := range slices.Sorted(maps.Keys(plans)) {
		out.Targets = append(out.Targets, EffectiveTarget{Name: name, Plan: plans[name].Hash})
	}
	return out
}

// effective describes what this process goes by: what was in the files when it was started,
// and what of them it has taken over since.
func (a *App) effective() any {
	out := EffectiveOf(a.Config(), a.table.Load())
	out.Process = &EffectiveProcess{Role: a.o.Role, Listen: a.Addr(), Admin: a.AdminAddr(), Redis: a.Redis()}
	return out
}
