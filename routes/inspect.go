package routes

import "headgate/policies"

// Authenticators gives the authenticators of the files by name.
func (t *Table) Authenticators() map[string]policies.Authenticator {
	out := make(map[string]policies.Authenticator, len(t.authenticators))
	for _, a := range t.authenticators {
		out[a.name] = a.Authenticator
	}
	return out
}
