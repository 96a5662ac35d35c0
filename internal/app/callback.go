package app

import (
	"errors"
	"maps"
	"slices"

	"headgate/config"
	"headgate/config/yamlsrc"
	"headgate/routes"
)

// callbackLimits hold when the operator's file says nothing. A job is polled once a second at
// most however often it is called back for; the limits save Redis the rest.
const callbackLimits = "[{limit: 1000, per: 1m, by: ip}, {limit: 60, per: 1m, by: principal}]"

func defaultCallbackLimit() *yamlsrc.Node {
	return yamlsrc.Parse("the default of callbacks.rate_limit", []byte(callbackLimits), new(yamlsrc.Report))
}

// checkCallbacks reports targets that tell their backends to call back although nobody knows
// where.
func checkCallbacks(c *config.Config, table *routes.Table, report *yamlsrc.Report) {
	if c.PublicURL != "" {
		return
	}
	plans := table.Plans()
	for _, name := range slices.Sorted(maps.Keys(plans)) {
		if plans[name].CalledBack() {
			report.Addf(plans[name].CallbackPos(), "targets."+name, "add public_url: https://… to "+c.File+": what backends reach the gateway under",
				"target %s uses .callback_url, but %s has no public_url", name, c.File)
		}
	}
}

// errNoPublicURL is about a reload: what is read then is checked with a public_url that is not
// in force.
var errNoPublicURL = errors.New("a target uses .callback_url, and public_url takes effect with a restart only")

// mayBeCalledBack checks a table against the configuration in force.
func mayBeCalledBack(running *config.Config, table *routes.Table) error {
	if running.PublicURL != "" {
		return nil
	}
	for _, plan := range table.Plans() {
		if plan.CalledBack() {
			return errNoPublicURL
		}
	}
	return nil
}
