package target

import (
	"fmt"
	"testing"
)

// The servers that are known beforehand are those of url and of token_url, each once; not what
// a base gives.
func TestEndpoints(t *testing.T) {
	oauth := "auth: {oauth2: {token_url: https://ID.example.com/token, client_id: c, client_secret: {env: CRM_TOKEN}}}\n"
	for text, want := range map[string]string{
		"post: /x\n":         "[https://crm.example.com:8443]",
		oauth + "post: /x\n": "[https://crm.example.com:8443 https://id.example.com:443]",
		oauth + "base: ${{ .token.instance_url }}\nallow_hosts: [\"*.example.com\"]\npost: /x\n": "[https://id.example.com:443]",
	} {
		p := mustCompile(t, "https://crm.example.com:8443/api", "url: ${URL}\n"+text)
		got := []string{}
		for _, e := range p.Endpoints() {
			got = append(got, e.Origin)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: %v, want %s", text, got, want)
		}
	}
}
