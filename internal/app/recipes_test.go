package app_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"headgate/dispatch/tracking"
	"headgate/internal/simulate"
)

// use is how a recipe is used against its simulator: the target, and what becomes of each
// record. A batch is full with all of them.
type use struct {
	backend *simulate.Backend
	target  string
	records map[string]tracking.State
	sends   int // calls that change something
}

func uses() map[string]use {
	o := simulate.VendorOptions{PollsUntilDone: 1}
	const good, no, nobody = tracking.Succeeded, tracking.Rejected, tracking.Unknown
	return map[string]use{
		"braze": {simulate.NewBraze(o), "with: {url: URL, key: {env: ATTACK_SECRET}}", map[string]tracking.State{
			`{"external_id":"a"}`: good, `{"external_id":"b","plan":"pro"}`: good, `{"plan":"pro"}`: no,
		}, 1},
		"customerio": {simulate.NewCustomerIO(o), "with: {site: abc, key: {env: ATTACK_SECRET}}\n    url: URL", map[string]tracking.State{
			`{"type":"person","action":"identify","identifiers":{"id":"1"}}`: good, `{"type":"person","action":"identify"}`: no, `{"type":"company"}`: no,
		}, 1},
		"elasticsearch": {simulate.NewElasticsearch(o), "with: {url: URL, index: people, authorization: {env: ATTACK_SECRET}}", map[string]tracking.State{
			`{"id":1,"age":"x"}`: good, `{"id":2}`: good, `{"name":"no ID"}`: good, `[1]`: no,
		}, 1},
		"eloqua": {simulate.NewEloqua(simulate.EloquaOptions{Name: "eloqua", PollsUntilDone: 1}),
			`with: {url: URL, company: Acme, user: me, password: {env: ATTACK_SECRET}, fields: {C_EmailAddress: "{{Contact.Field(C_EmailAddress)}}"}}`, map[string]tracking.State{
				`{"C_EmailAddress":"a@example.com"}`: good, `{"C_EmailAddress":"b@example.com"}`: good, `{"C_EmailAddress":"nobody"}`: no,
			}, 3},
		"intercom": {simulate.NewIntercom(o), "with: {token: {env: ATTACK_SECRET}}\n    url: URL", map[string]tracking.State{
			`{"email":"a@example.com"}`: nobody, `{"name":"nobody"}`: nobody,
		}, 1},
		"iterable": {simulate.NewIterable(o), "with: {key: {env: ATTACK_SECRET}}\n    url: URL", map[string]tracking.State{
			`{"email":"A@example.com"}`: good, `{"email":"No Body"}`: no, `{"userId":"7"}`: good,
		}, 1},
		"pagerduty": {simulate.NewPagerDuty(o), "with: {routing_key: {env: ATTACK_KEY_32}}\n    url: URL", map[string]tracking.State{
			`{"summary":"Disk full","source":"db-1"}`: good, `{"summary":"Disk full"}`: no, `{"event_action":"resolve","dedup_key":"a"}`: good,
		}, 3},
		"sendgrid": {simulate.NewSendGrid(simulate.SendGridOptions{Name: "sendgrid", PollsUntilDone: 1}), "with: {key: {env: ATTACK_SECRET}, url: URL}", map[string]tracking.State{
			`{"email":"a@example.com"}`: good, `{"email":"b@example.com"}`: good,
		}, 1},
		"slack": {simulate.NewSlack(o), "with: {token: {env: ATTACK_SECRET}, channel: \"${{ .payload.to }}\"}\n    url: URL\n    limits: {rate: 100/s}", map[string]tracking.State{
			`{"to":"C1","text":"Hello"}`: good, `{"to":"x","text":"Hello"}`: no, `{"to":"C1"}`: no,
		}, 3},
		"webhook": {simulate.NewWebhook(simulate.VendorOptions{Secret: webhookKey}), "with: {url: URL, secret: {env: ATTACK_WEBHOOK}}", map[string]tracking.State{
			`{"type":"a"}`: good, `[1]`: good,
		}, 2},
	}
}

var webhookKey = "whsec_" + base64.StdEncoding.EncodeToString([]byte("a key that both sides have"))

// setVendorSecrets sets what the targets of uses read.
func setVendorSecrets(t *testing.T) {
	t.Helper()
	t.Setenv("ATTACK_SECRET", "secret")
	t.Setenv("ATTACK_KEY_32", strings.Repeat("k", 32))
	t.Setenv("ATTACK_WEBHOOK", webhookKey)
}

// Every recipe does with its vendor what its page says: records go through gateway, Redis and
// worker to a simulator with the vendor's limits, and each ends by itself.
func TestRecipesReachTheirVendors(t *testing.T) {
	setVendorSecrets(t)
	var backends []*simulate.Backend
	for _, u := range uses() {
		backends = append(backends, u.backend)
	}
	vendors, err := simulate.Start("127.0.0.1:0", backends...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = vendors.Close(t.Context()) })
	var targets, routes strings.Builder
	for _, b := range backends {
		name := b.Name()
		u := uses()[name]
		fmt.Fprintf(&targets, "  %s:\n    recipe: %s\n    %s\n", name, name, strings.ReplaceAll(u.target, "URL", vendors.URL(name)))
		if name != "pagerduty" && name != "slack" && name != "webhook" {
			fmt.Fprintf(&targets, "    batch: {max_records: %d, linger: 1m}\n", len(u.records))
		}
		fmt.Fprintf(&routes, "  - {name: %s, match: POST /%s, auth: none, targets: {%s: }}\n", name, name, name)
	}
	r := attacked(t, "", "targets:\n"+targets.String()+"routes:\n"+routes.String(), nil)
	for name, u := range uses() {
		t.Run(name, func(t *testing.T) {
			var sending sync.WaitGroup
			for record, want := range u.records {
				sending.Go(func() {
					got := r.deliver(t, "/"+name, record)
					if got.State != want {
						t.Errorf("%s ended as %s (%s: %s), want %s", record, got.State, got.Reason, got.Message, want)
					}
				})
			}
			sending.Wait()
			sends := 0
			for _, call := range vendors.Backend(name).Requests(0) {
				if call.Method != http.MethodGet {
					sends++
				}
			}
			if sends != u.sends {
				t.Errorf("%d calls, want %d: %+v", sends, u.sends, vendors.Backend(name).Stats())
			}
		})
	}
}
