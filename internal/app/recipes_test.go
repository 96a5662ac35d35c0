package app_test

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"headgate/dispatch/tracking"
	"headgate/internal/simulate"
)

// use is how a recipe is used against its simulator: the target, and what becomes of each
// record. A batch is full with all of them. A record that comes twice has a blank the second
// time, of which nothing is left once it is read. What follows -- in a name tells uses of one
// recipe apart.
type use struct {
	backend *simulate.Backend
	target  string
	records map[string]tracking.State
	sends   int // calls that bring something
}

func uses() map[string]use {
	o := simulate.VendorOptions{PollsUntilDone: 1}
	const good, no, nobody = tracking.Succeeded, tracking.Rejected, tracking.Unknown
	return map[string]use{
		"braze": {simulate.NewBraze(o), "with: {url: URL, key: {env: ATTACK_SECRET}}", map[string]tracking.State{
			`{"external_id":"a"}`: good, `{"external_id":"b","plan":"pro"}`: good, `{"plan":"pro"}`: no,
		}, 1},
		"customerio": {simulate.NewCustomerIO(o), "with: {site: abc, key: {env: ATTACK_SECRET}}\n    url: URL", map[string]tracking.State{
			`{"type":"person","action":"identify","identifiers":{"id":"1"}}`: good, `{"type":"person","action":"identify"}`: no, `{"type":"person","action":"identify"} `: no, `{"type":"company"}`: no,
		}, 1},
		"customerio-import": {simulate.NewCustomerIOImports(o), customerIOImport, map[string]tracking.State{
			`{"id":"1","plan":"a"}`: good, `{"id":"2"}`: good,
		}, 1},
		"customerio-import--refused": {simulate.NewCustomerIOImports(simulate.VendorOptions{Name: "customerio-import--refused", PollsUntilDone: 1}), customerIOImport, map[string]tracking.State{
			`{"id":"1","plan":"a"}`: nobody, `{"id":"2"}`: nobody, `{"id":"2"} `: nobody, `{"plan":"b"}`: nobody,
		}, 1},
		"elasticsearch": {simulate.NewElasticsearch(o), "with: {url: URL, index: people, authorization: {env: ATTACK_SECRET}}", map[string]tracking.State{
			`{"id":"1","age":"x"}`: good, `{"id":"2"}`: good, `{"id":"2"} `: good, `{"name":"no ID"}`: good, `[1]`: no, `{"id":"busy-1"}`: good,
		}, 2}, // the second for what there was no room for
		"eloqua": {simulate.NewEloqua(simulate.EloquaOptions{Name: "eloqua", PollsUntilDone: 1}),
			`with: {url: URL, company: Acme, user: me, password: {env: ATTACK_SECRET}, fields: {C_EmailAddress: "{{Contact.Field(C_EmailAddress)}}"}}`, map[string]tracking.State{
				`{"C_EmailAddress":"a@example.com"}`: good, `{"C_EmailAddress":"b@example.com"}`: good,
				`{"C_EmailAddress":"nobody"}`: no, `{"C_EmailAddress":"nobody"} `: no,
			}, 3},
		"hubspot": {simulate.NewHubSpot(simulate.VendorOptions{Secret: "secret", PollsUntilDone: 1}),
			"with: {token: {env: ATTACK_SECRET}, columns: [firstname, email], url: URL}", map[string]tracking.State{
				`{"email":"a@example.com"}`: good, `{"email": "a@example.com"}`: good, `{"email":"No Body"}`: no, `{"email": "No Body"}`: no,
				`{"firstname":"two\nlines","email":"b@example.com"}`: good, `{"firstname":"x"}`: no, `[1]`: no,
			}, 1},
		"intercom": {simulate.NewIntercom(o), "with: {token: {env: ATTACK_SECRET}}\n    url: URL", map[string]tracking.State{
			`{"email":"a@example.com"}`: nobody, `{"name":"nobody"}`: nobody,
		}, 1},
		"iterable": {simulate.NewIterable(o), "with: {key: {env: ATTACK_SECRET}}\n    url: URL", map[string]tracking.State{
			`{"email":"A@example.com"}`: good, `{"email":"No Body"}`: no, `{"userId":"7"}`: good,
		}, 1},
		"klaviyo": {simulate.NewKlaviyo(o), "with: {authorization: {env: ATTACK_KLAVIYO}, url: URL}", map[string]tracking.State{
			`{"email":"a@example.com","first_name":"A"}`: good, `{"external_id":"7"}`: good, `{"external_id":"7"} `: good,
			`{"email":"nobody"}`: no, `[1]`: no, `{"email":"b@example.com","phone_number":"5"}`: no, `{"email":"b@example.com","phone_number":"5"} `: no,
		}, 2}, // once more without those for which the first import was refused
		"mailchimp": {simulate.NewMailchimp(o), "with: {key: {env: ATTACK_SECRET}, dc: us1, list: l}\n    url: URL\n    allow_hosts: [\"localhost:PORT\"]", map[string]tracking.State{
			`{"email_address":"a@example.com"}`: good, `{"email_address":"b@example.com"}`: good, `{"email_address":"b@example.com"} `: good,
			`{"email_address":"nobody"}`: no, `{"email_address":"nobody"} `: no, `[1]`: no,
		}, 1},
		"pagerduty": {simulate.NewPagerDuty(o), "with: {routing_key: {env: ATTACK_KEY_32}}\n    url: URL", map[string]tracking.State{
			`{"summary":"Disk full","source":"db-1"}`: good, `{"summary":"Disk full"}`: no, `{"event_action":"resolve","dedup_key":"a"}`: good,
		}, 3},
		"s3": {simulate.NewS3(simulate.VendorOptions{Secret: "secret"}), "with: {url: URL, bucket: acme, region: eu-central-1, prefix: \"a b/\", access_key: {env: ATTACK_KEY_32}, secret_key: {env: ATTACK_SECRET}}", map[string]tracking.State{
			`{"id":1}`: good, `{"id":2}`: good, `{"id":2} `: good, `[1]`: good,
		}, 1},
		"marketo": {simulate.NewMarketo(simulate.VendorOptions{PollsUntilDone: 1, TokenCalls: 3, Secret: "secret"}),
			"with: {url: URL, client_id: me, client_secret: {env: ATTACK_SECRET}}\n    limits: {rate: 100/s}", map[string]tracking.State{
				`{"email":"a@example.com"}`: good, `{"email": "a@example.com"}`: good, `{"email":"B@example.com","leadScore":"x"}`: tracking.Warned,
				`{"email":"No Body"}`: no, `{"email": "No Body"}`: no, `{"lastName":"L"}`: no, `[1]`: no,
			}, 1},
		// Its token is refused after three calls. Records with the same ID are refused together.
		"salesforce": {simulate.NewSalesforce(simulate.VendorOptions{PollsUntilDone: 1, TokenCalls: 3, Secret: "secret"}),
			"with: {url: URL, client_id: me, client_secret: {env: ATTACK_SECRET}, object: Contact, external_id: Number__c}\n    allow_hosts: []", map[string]tracking.State{
				`{"Number__c":"1","Email":"a@example.com","Ok":true}`: good, `{"Number__c":"2","Email":null}`: good, `{"Number__c":"3","Email":"nobody"}`: no,
				`{"Number__c":"4"}`: no, `{"Number__c": "4"}`: no, `{"Email":"b@example.com"}`: no, `[1]`: no,
			}, 5},
		"sendgrid": {simulate.NewSendGrid(simulate.SendGridOptions{Name: "sendgrid", PollsUntilDone: 1}), "with: {key: {env: ATTACK_SECRET}, url: URL}", map[string]tracking.State{
			`{"email":"a@example.com"}`: good, `{"email":"b@example.com"}`: good,
		}, 1},
		"sendgrid-csv": {simulate.NewSendGrid(simulate.SendGridOptions{Name: "sendgrid-csv", Token: "secret", PollsUntilDone: 1}),
			"with: {key: {env: ATTACK_SECRET}, columns: [first_name, email, plan], url: URL}\n    allow_hosts: []", map[string]tracking.State{
				`{"email":"a@example.com","plan":"pro"}`: good, `{"email": "a@example.com"}`: good, `{"email":"No Body"}`: no, `{"email": "No Body"}`: no,
				`{"first_name":"x"}`: no, `[1]`: no,
			}, 2},
		"slack": {simulate.NewSlack(o), "with: {token: {env: ATTACK_SECRET}, channel: \"${{ .payload.to }}\"}\n    url: URL\n    limits: {rate: 100/s}", map[string]tracking.State{
			`{"to":"C1","text":"Hello"}`: good, `{"to":"x","text":"Hello"}`: no, `{"to":"C1"}`: no,
		}, 3},
		"webhook": {simulate.NewWebhook(simulate.VendorOptions{Secret: webhookKey}), "with: {url: URL, secret: {env: ATTACK_WEBHOOK}}", map[string]tracking.State{
			`{"type":"a"}`: good, `[1]`: good,
		}, 2},
	}
}

const customerIOImport = "with: {key: {env: ATTACK_SECRET}, bucket: BUCKET/acme/public, public: BUCKET/acme/public, region: auto, " +
	"access_key: {env: ATTACK_KEY_32}, secret_key: {env: ATTACK_SECRET}, api: URL}"

var webhookKey = "whsec_" + base64.StdEncoding.EncodeToString([]byte("a key that both sides have"))

// setVendorSecrets sets what the targets of uses read.
func setVendorSecrets(t *testing.T) {
	t.Helper()
	t.Setenv("ATTACK_SECRET", "secret")
	t.Setenv("ATTACK_KLAVIYO", "Klaviyo-API-Key secret")
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
	bucket := simulate.NewS3(simulate.VendorOptions{Name: "bucket", Secret: "secret"})
	vendors, err := simulate.Start("127.0.0.1:0", append(backends, bucket)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = vendors.Close(t.Context()) })
	_, port, err := net.SplitHostPort(vendors.Addr())
	if err != nil {
		t.Fatal(err)
	}
	var targets, routes strings.Builder
	for _, b := range backends {
		name := b.Name()
		u := uses()[name]
		recipe, _, _ := strings.Cut(name, "--")
		fmt.Fprintf(&targets, "  %s:\n    recipe: %s\n    %s\n", name, recipe, strings.NewReplacer("BUCKET", vendors.URL("bucket"), "URL", vendors.URL(name), "PORT", port).Replace(u.target))
		if name != "pagerduty" && name != "slack" && name != "webhook" {
			fmt.Fprintf(&targets, "    batch: {max_records: %d, linger: 10s}\n", len(u.records))
		}
		fmt.Fprintf(&routes, "  - {name: %s, match: POST /%s, auth: none, targets: {%s: }}\n", name, name, name)
	}
	r := attacked(t, "egress: {may_reach: [127.0.0.1]}\n", "targets:\n"+targets.String()+"routes:\n"+routes.String(), nil)
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
				if call.Method != http.MethodGet && call.Method != http.MethodDelete {
					sends++
				}
			}
			if sends != u.sends {
				t.Errorf("%d calls, want %d: %+v", sends, u.sends, vendors.Backend(name).Stats())
			}
		})
	}
}
