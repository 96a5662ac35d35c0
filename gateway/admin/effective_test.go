package admin

import (
	"strings"
	"testing"
)

func TestConfigAsAsked(t *testing.T) {
	type nested struct {
		Name string   `json:"name"`
		Odd  string   `json:"odd"`
		Size int      `json:"size"`
		List []string `json:"list"`
	}
	s := start(t, func(o *Options) {
		o.Config = func() any {
			return map[string]any{"file": "headgate.yaml", "config": nested{"z", "off", 3, []string{"*.yaml", "yes: no"}}, "routes": []any{}, "targets": []any{}}
		}
	})
	const (
		asJSON = `"config":{"name":"z","odd":"off","size":3,"list":["*.yaml","yes: no"]}`
		asYAML = "config:\n  name: z\n  odd: \"off\"\n  size: 3\n  list:\n  - \"*.yaml\"\n  - \"yes: no\"\n"
	)
	for accept, want := range map[string]string{
		"*/*": asJSON, "application/json": asJSON, "application/yaml": asYAML, "application/x-yaml, */*": asYAML, "text/yaml;q=0.9, application/json": asYAML,
		"application/json, application/yaml": asJSON,
	} {
		kind := "application/json"
		if want == asYAML {
			kind = "application/yaml"
		}
		res, text := ask(t, s, "GET", "/config", "", bearer, "Accept: "+accept)
		if res.status != 200 || res.header.Get("Content-Type") != kind || !strings.Contains(text, want) || res.header.Get("Vary") != "Accept" {
			t.Errorf("%s: %d %v\n%s, want\n%s", accept, res.status, res.header, text, want)
		}
	}
}
