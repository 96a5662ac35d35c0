package app

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"headgate/config/secret"
	"headgate/dispatch/target"
	"headgate/gateway/admin"
	"headgate/policies"
)

// UnreadableSecret is a secret that targets need and that is not there.
type UnreadableSecret struct {
	Ref     secret.Ref
	Targets []string // in alphabetical order
	Err     error    // names the place, never the secret
}

// UnreadableSecrets reads every secret of the plans, as a delivery would, and gives
// those that cannot be read, by where they are kept.
func UnreadableSecrets(plans map[string]*target.Plan) []UnreadableSecret {
	users := map[secret.Ref][]string{}
	for _, name := range slices.Sorted(maps.Keys(plans)) {
		for _, ref := range plans[name].SecretRefs() {
			users[ref] = append(users[ref], name)
		}
	}
	var out []UnreadableSecret
	for ref, targets := range users {
		if _, err := ref.Read(); err != nil {
			out = append(out, UnreadableSecret{ref, targets, err})
		}
	}
	slices.SortFunc(out, func(x, y UnreadableSecret) int { return strings.Compare(x.Ref.String(), y.Ref.String()) })
	return out
}

// missingSecrets is UnreadableSecrets for this process: only workers send them.
func (a *App) missingSecrets() []UnreadableSecret {
	if a.worker == nil {
		return nil
	}
	return UnreadableSecrets(a.table.Load().Plans())
}

// warnOfSecrets logs which secrets are missing, so that it is seen at the start or the
// reload and not with the first delivery or the first client. It is no reason not to
// start: a secret is read when it is used, and may still arrive.
func (a *App) warnOfSecrets(ctx context.Context) {
	for _, s := range a.missingSecrets() {
		a.log.WarnContext(ctx, "a secret cannot be read; deliveries that need it are retried",
			"target", strings.Join(s.Targets, ", "), "secret", s.Ref.String(), "error", s.Err)
	}
	if a.gateway == nil {
		return // nobody shows a worker credentials
	}
	health := a.table.Load().Health()
	for _, name := range slices.Sorted(maps.Keys(health)) {
		// A key set that is under way is no news; when that fails its fetcher says so.
		if err := health[name]; !errors.Is(err, policies.ErrPending) {
			a.log.WarnContext(ctx, "credentials cannot be checked", "authenticator", name, "error", err)
		}
	}
}

// secretChecks warns of missing secrets: other targets do not depend on them, so the
// process stays in service.
func (a *App) secretChecks() []admin.Check {
	var out []admin.Check
	for _, s := range a.missingSecrets() {
		who := "target "
		if len(s.Targets) > 1 {
			who = "targets "
		}
		out = append(out, admin.Check{
			Name: "secret " + s.Ref.String(), State: admin.Warning,
			Detail: who + strings.Join(s.Targets, ", ") + ": " + s.Err.Error(),
		})
	}
	return out
}
