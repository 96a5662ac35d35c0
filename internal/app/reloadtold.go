package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"headgate/config/yamlsrc"
	"headgate/gateway/admin"
	"headgate/routes"
)

// problemsOf gives an error of a reload for a person, and each problem with its place.
func problemsOf(err error) (detail string, list []admin.FileProblem) {
	var problems *yamlsrc.ProblemsError
	if !errors.As(err, &problems) {
		return err.Error(), nil
	}
	for _, p := range problems.Problems {
		list = append(list, admin.FileProblem{Detail: p.Message, File: p.File, Line: p.Line, Column: p.Column, Path: p.Path, Hint: p.Hint})
	}
	return count(len(list), "problem"), list
}

func changedOf(c routes.Changes) *admin.Changed {
	return &admin.Changed{Routes: admin.Names(c.Routes), Targets: admin.Names(c.Targets), Authenticators: admin.Names(c.Authenticators)}
}

// logReload writes the one line that tells what a reload has changed.
func (a *App) logReload(ctx context.Context, by Trigger, c *admin.Changed) {
	state := a.reloadState(ctx)
	attrs := []slog.Attr{
		slog.Int("routes", state.Routes), slog.Int("targets", state.Targets), slog.String("by", string(by)), slog.String("hash", state.Hash),
	}
	list := func(key string, names []string) {
		if len(names) > 0 {
			attrs = append(attrs, slog.Any(key, admin.Few(names)))
		}
	}
	for what, names := range each(c) {
		list(what+"_added", names.Added)
		list(what+"_removed", names.Removed)
		list(what+"_changed", names.Changed)
	}
	list("keys_changed", c.Keys)
	if c.AdminToken {
		attrs = append(attrs, slog.Bool("admin_token_changed", true))
	}
	var draining, flows []string
	for _, d := range state.Draining {
		draining = append(draining, fmt.Sprintf("%s: %d", d.Target, d.Deliveries))
	}
	for _, f := range state.Flows {
		flows = append(flows, fmt.Sprintf("%s: %d go on by the steps %v", f.Target, f.Deliveries, f.Steps))
	}
	list("draining", draining)
	list("former_flows", flows)
	level := slog.LevelInfo
	if len(state.NeedsRestart) > 0 {
		level = slog.LevelWarn
		list("needs_restart", state.NeedsRestart)
	}
	a.log.LogAttrs(ctx, level, "reloaded", attrs...)
}

// each goes through the kinds of named things, in an order that stays.
func each(c *admin.Changed) func(yield func(string, admin.Names) bool) {
	return func(yield func(string, admin.Names) bool) {
		_ = yield("routes", c.Routes) && yield("targets", c.Targets) && yield("authenticators", c.Authenticators)
	}
}

// reloadState tells how the files in force stand.
func (a *App) reloadState(ctx context.Context) admin.ReloadState {
	table := a.table.Load()
	a.force.mu.Lock()
	out := admin.ReloadState{
		Last: a.force.last, Since: a.force.since, NeedsRestart: a.force.restart,
		Routes: len(table.Routes()), Targets: len(table.Plans()),
	}
	a.force.mu.Unlock()
	out.Hash, out.Watch = a.Hash(), a.watching()
	var err error
	if out.Draining, out.Flows, err = a.former(ctx); err != nil {
		out.Unknown = err.Error()
	}
	return out
}
