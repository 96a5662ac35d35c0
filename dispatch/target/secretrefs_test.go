package target

import (
	"slices"
	"testing"

	"headgate/config/secret"
)

func TestSecretRefs(t *testing.T) {
	for name, tc := range map[string]struct {
		yaml string
		want []secret.Ref
	}{
		"none":    {"{url: 'http://x', post: /}", nil},
		"one":     {"{url: 'http://x', post: /, auth: {bearer: {env: CRM_TOKEN}}}", []secret.Ref{{Env: "CRM_TOKEN"}}},
		"signed":  {"{url: 'http://x', post: /, auth: {webhook: {secret: {env: CRM_TOKEN}}}}", []secret.Ref{{Env: "CRM_TOKEN"}}},
		"granted": {"{url: 'http://x', post: /, auth: {oauth2: {token_url: 'http://t', client_id: a, client_secret: {env: CRM_TOKEN}}}}", []secret.Ref{{Env: "CRM_TOKEN"}}},
		"steps inherit, replace and leave out": {`
url: http://x
auth: {basic: {user: u, password: {env: CRM_PASSWORD}}}
steps:
  - {name: a, post: /a}
  - {name: b, post: /b, auth: {query: {name: key, value: {env: CRM_KEY}}}}
  - {name: c, post: /c, auth: none}
  - {name: d, post: /d, auth: {header: {name: X-Key, value: {env: CRM_KEY}}}}
  - {name: e, post: /e}
`, []secret.Ref{{Env: "CRM_KEY"}, {Env: "CRM_PASSWORD"}}},
	} {
		t.Run(name, func(t *testing.T) {
			p := mustCompile(t, "", tc.yaml)
			if got := p.SecretRefs(); !slices.Equal(got, tc.want) {
				t.Errorf("%v, want %v", got, tc.want)
			}
			kept, err := FromSource(p.Name, p.Source)
			if err != nil {
				t.Fatal(err)
			}
			if got := kept.SecretRefs(); !slices.Equal(got, tc.want) {
				t.Errorf("kept: %v, want %v", got, tc.want)
			}
		})
	}
}
