package app

import (
	"headgate/config/yamlsrc"
	"headgate/dispatch/transform"
	"headgate/policies"
	"headgate/policies/apikey"
	"headgate/policies/body"
	"headgate/policies/jwt"
	"headgate/policies/ratelimit"
	"headgate/policies/scopes"
)

// Builtin is the list of everything a route file can name. An addition is a folder and
// a line here.
func Builtin() *policies.Registry {
	r := policies.NewRegistry()
	jwt.Register(r)
	apikey.Register(r)
	scopes.Register(r)
	ratelimit.Register(r)
	body.Register(r)
	return r
}

// compileText lends the expressions of dispatch to policies, which do not know dispatch.
func compileText(n *yamlsrc.Node, roots []string, report *yamlsrc.Report) func(scope map[string]any) (string, error) {
	text := transform.CompileText(n, roots, report)
	if text == nil {
		return nil
	}
	return text.Eval
}
