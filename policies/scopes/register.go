package scopes

import "headgate/policies"

// Config is what a route's `auth.scopes` is written as.
type Config []string

// Register registers the policy. Routes build it from `auth.scopes`.
func Register(r *policies.Registry) {
	r.Policy("scopes", &Config{}, func(b policies.Build) policies.Policy {
		before := b.Report.Len()
		var required Config
		b.Node.Decode(&required, b.Report)
		for i, scope := range required {
			if scope == "" {
				item := b.Node.Items[i]
				b.Report.Addf(item.Pos, item.Path, "write the scope's name, or leave it out", "a scope is empty")
			}
		}
		if b.Report.Len() > before {
			return nil
		}
		return New(required)
	})
}
