package routes

import (
	"reflect"
	"strings"
	"testing"
)

func TestChanges(t *testing.T) {
	before := mustLoad(t, options(new([]string)), shared, full)
	for name, tc := range map[string]struct {
		edit func(shared, full string) (string, string)
		want Changes
	}{
		"nothing": {func(s, f string) (string, string) { return s, f }, Changes{}},
		"comments, notation and order": {func(s, f string) (string, string) {
			s = strings.Replace(s, "  crm: {url: \"${CRM_URL}\", put: \"/contacts/${{ .params.id }}\", json: \"${{ .payload }}\"}\n", "", 1)
			return "# new\n" + s + "  crm:\n    put: /contacts/${{ .params.id }} # here\n    json: ${{ .payload }}\n    url: ${CRM_URL}\n", f
		}, Changes{}},
		"a target": {func(s, f string) (string, string) {
			return strings.Replace(s, "post: /events", "post: /event", 1), f
		}, Changes{Targets: Names{Changed: []string{"events"}}}},
		"an authenticator": {func(s, f string) (string, string) {
			return strings.Replace(s, "header: A", "header: B", 1), f
		}, Changes{Authenticators: Names{Changed: []string{"mobile"}}}},
		"a mapping": {func(s, f string) (string, string) {
			return s, strings.Replace(f, ".body.email", ".body.mail", 1)
		}, Changes{Routes: Names{Changed: []string{"profile-changed"}}}},
		"another route": {func(s, f string) (string, string) {
			f = strings.NewReplacer("name: open", "name: closed", "GET /open", "GET /closed").Replace(f)
			return s, f
		}, Changes{Routes: Names{Added: []string{"closed"}, Removed: []string{"open"}}}},
		"one target more": {func(s, f string) (string, string) {
			return s + "  more: {url: https://m.example.com, post: /}\n", f
		}, Changes{Targets: Names{Added: []string{"more"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := tc.edit(shared, full)
			after := mustLoad(t, options(new([]string)), s, f)
			got := before.ChangesTo(after)
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
			if same := before.Sum() == after.Sum(); same != got.None() {
				t.Errorf("the same sum: %t; differences: %+v", same, got)
			}
		})
	}
}
