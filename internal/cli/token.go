package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"headgate/config/yamlsrc"
	"headgate/internal/app"
	"headgate/policies"
	"headgate/routes"
)

// signer is an authenticator that can mint tokens of its own kind: one whose key is a
// shared secret.
type signer interface {
	CanSign() bool
	Sign(claims map[string]any, ttl time.Duration) (string, error)
}

func newToken() *cobra.Command {
	c := &cobra.Command{
		Use:   "token",
		Short: "Mint a development token for a configured HMAC key",
		Long: "Signs a JWT with the key of an authenticator in the route files, for trying things\n" +
			"out. Only authenticators with a shared secret (key:) can be used: for the others the\n" +
			"private key is with your identity provider.",
		Example: "  headgate token --sub alice --claim org=acme --scope profiles:write",
		Args:    noArgs,
	}
	path := configFlag(c)
	auth := c.Flags().String("auth", "", "name of the authenticator; needed when several can sign")
	subject := c.Flags().String("sub", "developer", "the subject")
	claims := c.Flags().StringArray("claim", nil, "a further claim as name=value; repeatable")
	scopes := c.Flags().StringArray("scope", nil, "a scope; repeatable")
	ttl := c.Flags().Duration("ttl", time.Hour, "how long the token is valid")
	c.RunE = func(c *cobra.Command, _ []string) error {
		var report yamlsrc.Report
		_, table := app.Load(*path, policies.Deps{}, &report)
		if err := report.Err(); err != nil {
			return err
		}
		defer table.Close()
		token, err := mint(table, *auth, *subject, *claims, *scopes, *ttl)
		if err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), token)
		return nil
	}
	return c
}

func mint(table *routes.Table, auth, subject string, claims, scopes []string, ttl time.Duration) (string, error) {
	able := map[string]signer{}
	var names []string
	for name, a := range table.Authenticators() {
		if s, ok := a.(signer); ok && s.CanSign() {
			able[name] = s
			names = append(names, name)
		}
	}
	if auth == "" && len(names) == 1 {
		auth = names[0]
	}
	s, ok := able[auth]
	if !ok {
		return "", usagef("--auth %q: %s", auth, orNone(yamlsrc.UnknownHint(auth, names), "no authenticator of the files has a key to sign with"))
	}
	content := map[string]any{"sub": subject}
	if len(scopes) > 0 {
		content["scope"] = strings.Join(scopes, " ")
	}
	for _, claim := range claims {
		name, value, found := strings.Cut(claim, "=")
		if !found {
			return "", usagef("--claim %q: write name=value", claim)
		}
		content[name] = value
	}
	return s.Sign(content, ttl)
}

func orNone(s, none string) string {
	if s == "" {
		return none
	}
	return s
}
