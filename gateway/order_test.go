package gateway

import (
	"strings"
	"testing"

	"headgate/config/secret"
	"headgate/config/yamlsrc"
	"headgate/dispatch"
	"headgate/dispatch/target"
	"headgate/policies"
)

func ordered(t *testing.T, key string) *dispatch.Fanout {
	t.Helper()
	var report yamlsrc.Report
	text := "{url: 'http://h', post: /x, order: {key: '" + key + "'}}"
	plan := target.Compile("crm", yamlsrc.Parse("t.yaml", []byte(text), &report), secret.Access{}, &report)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	return &dispatch.Fanout{Bindings: []dispatch.Binding{{Plan: plan}}}
}

// A key is made of what the route mapped, of the path and of who calls.
func TestKeyOfAnOrder(t *testing.T) {
	r := &policies.Request{
		Body: []byte(`{"id": 12345678901234567890}`), Params: map[string]string{"id": "42"},
		Principal: policies.Principal{Authenticator: "keys", Tenant: "acme"},
	}
	for key, want := range map[string]string{
		"${{ .payload.id }}": "12345678901234567890", "${{ .params.id }}": "42",
		"${{ .tenant }}/${{ .params.id }}": r.Principal.TenantKey() + "/42",
	} {
		if mapped, faults, notJSON := MapBody(r, ordered(t, key)); mapped.Keys["crm"] != want || len(faults) > 0 || notJSON {
			t.Errorf("%s gives %q, %v; want %q", key, mapped.Keys["crm"], faults, want)
		}
	}
	_, faults, _ := MapBody(r, ordered(t, "${{ .payload.email }}"))
	if len(faults) != 1 || !strings.Contains(mappingDetail(faults[0]), "target crm: ") || strings.Contains(mappingDetail(faults[0]), "${{") {
		t.Errorf("a key of nothing: %v", faults)
	}
	r.Body = []byte("no JSON")
	if _, _, notJSON := MapBody(r, ordered(t, "${{ .payload.id }}")); !notJSON {
		t.Error("what is no JSON passes")
	}
}
