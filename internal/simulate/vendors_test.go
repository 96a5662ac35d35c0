package simulate_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"headgate/internal/simulate"
)

// exchange is a call, and what is to be found in its answer.
type exchange struct {
	path, body string
	header     []string // instead of the usual ones
	status     int
	want       string
}

func list(n int, item string) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }

// Each vendor's own limits, statuses and shapes of errors, call after call on one backend.
func TestVendors(t *testing.T) {
	key := strings.Repeat("k", 32)
	for _, tt := range []struct {
		backend *simulate.Backend
		header  []string
		calls   []exchange
	}{
		{simulate.NewBraze(simulate.VendorOptions{Secret: "s"}), []string{"Authorization", "Bearer s"}, []exchange{
			{"/users/track", `{"attributes":[{"external_id":"a"},{"x":1}]}`, nil, 201, `"errors":[{"index":1,"input_array":"attributes","type":"'external_id', 'braze_id' or 'user_alias' is required"}]`},
			{"/users/track", `{"events":[{"external_id":"a","name":"n","time":"t"}]}`, nil, 201, `{"events_processed":1,"message":"success"}`},
			{"/users/track", `{"attributes":[` + list(76, "{}") + `]}`, nil, 400, `"message":"The max number of attributes per request is 75"`},
			{"/users/track", `{"others":[]}`, nil, 400, "Valid data must be provided"},
			{"/users/track", `{`, nil, 400, "malformed JSON"},
			{"/users/track", `{}`, []string{"Authorization", "Bearer other"}, 401, "invalid credentials"},
		}},
		{simulate.NewIterable(simulate.VendorOptions{}), []string{"Api-Key", "s"}, []exchange{
			{"/api/users/bulkUpdate", `{"users":[{"email":"a@x.org"},{"email":"x"},{"userId":""}]}`, nil, 200, `"failCount":2,"failedUpdates":{"conflictEmails":[],"forgottenEmails":[],"invalidEmails":["x"],"invalidUserIds":[""]}`},
			{"/api/users/bulkUpdate", `{"users":[` + list(1001, `{"userId":"a"}`) + `]}`, nil, 400, "users must hold 1 to 1000 items, got 1001"},
			{"/api/users/bulkUpdate", `{"users":[{}]}`, nil, 400, `"code":"BadParams"`},
			{"/api/users/bulkUpdate", strings.Repeat(" ", 4<<20+1), nil, 413, "more than"},
			{"/api/users/bulkUpdate", `{}`, []string{}, 401, `"code":"BadApiKey"`},
		}},
		{simulate.NewCustomerIO(simulate.VendorOptions{}), []string{"Basic", "site:key"}, []exchange{
			{"/api/v2/batch", `{"batch":[{"type":"person","action":"identify","identifiers":{"id":1}}]}`, nil, 200, "{}"},
			{"/api/v2/batch", `{"batch":[{"type":"delivery","action":"x"},{"type":"person","action":"identify"},7]}`, nil, 207, `{"errors":[{"batch_index":1,"field":"identifiers","message":"identifiers are required","reason":"required"},{"batch_index":2,`},
			{"/api/v2/batch", `{"batch":[{"type":"person","action":"` + strings.Repeat("a", 32000) + `"}]}`, nil, 207, `"reason":"too_large"`},
			{"/api/v2/batch", strings.Repeat(" ", 500_000), nil, 413, "more than 499999 bytes"},
			{"/api/v2/batch", `{"batch":[]}`, nil, 400, "batch is empty"},
			{"/api/v2/batch", `{}`, []string{"Basic", ":key"}, 401, `"reason":"Unauthorized"`},
		}},
		{simulate.NewIntercom(simulate.VendorOptions{PollsUntilDone: 1}), []string{"Authorization", "Bearer s", "Intercom-Version", "Preview"}, []exchange{
			{"/contacts/bulk", `{"contacts":[{"email":"a"}]}`, nil, 202, `"id":"job_v2_1","state":"pending"`},
			{"GET /contacts/bulk/job_v2_1", ``, nil, 200, `"state":"completed"`},
			{"/contacts/bulk", `{"contacts":[{"email":"b"},{"email":"a"}]}`, nil, 202, `"item_count":2`},
			{"GET /contacts/bulk/job_v2_2", ``, nil, 200, `"state":"completed_with_errors"`},
			{"GET /contacts/bulk/job_v2_3", ``, nil, 404, `"code":"job_not_found"`},
			{"/contacts/bulk", `{"contacts":[` + list(101, "{}") + `]}`, nil, 422, "maximum number of contacts per request is 100"},
			{"/contacts/bulk", `{}`, []string{"Authorization", "Bearer s"}, 404, "in this version"},
			{"/contacts/bulk", `{}`, []string{}, 401, `"code":"unauthorized"`},
		}},
		{simulate.NewElasticsearch(simulate.VendorOptions{}), []string{"Authorization", "ApiKey s", "Content-Type", "application/x-ndjson"}, []exchange{
			{"/people/_bulk", "{\"index\":{\"_id\":\"1\"}}\n{\"n\":1}\n{\"index\":{\"_id\":\"2\"}}\n{\"n\":\"x\"}\n", nil, 200, `"errors":true,"items":[{"index":{"_id":"1","_version":1,"status":201}},{"index":{"_id":"2","error":{"reason":"failed to parse field [n]"`},
			{"/people/_bulk?filter_path=items", "{\"index\":{\"_id\":\"1\"}}\n{\"n\":2}\n{\"create\":{\"_id\":\"1\"}}\n{}\n", nil, 200, `{"items":[{"index":{"_id":"1","_version":2,"status":200}},{"create":{"_id":"1","error":{"reason":"document already exists"`},
			{"/people/_bulk", "{\"index\":{\"_id\":\"busy-1\"}}\n{}\n{\"index\":{\"_id\":\"3\"}}\n{}\n", nil, 200, `"type":"es_rejected_execution_exception"},"status":429}},{"index":{"_id":"3","_version":1,"status":201}}`},
			{"/people/_bulk", "{\"index\":{\"_id\":\"busy-1\"}}\n{}\n", nil, 200, `"_id":"busy-1","_version":1,"status":201`},
			{"/people/_bulk", "{\"index\":{}}\n{}", nil, 400, "must be terminated by a newline"},
			{"/people/_bulk", "{\"index\":{}}\n", nil, 400, "an action without its document"},
			{"/people/_bulk", "{}\n{}\n", nil, 400, "Malformed action/metadata line [1]"},
			{"/people/_bulk", "", []string{"Authorization", "s", "Content-Type", "text/plain"}, 406, "is not supported"},
			{"/people/_bulk", "", []string{}, 401, "security_exception"},
		}},
		{simulate.NewKlaviyo(simulate.VendorOptions{Secret: "s", PollsUntilDone: 1, Now: everyMinute()}), klaviyoHeader("s"), []exchange{
			{klaviyoJobs, klaviyoBody(`{"email":"a@x.org"}`, `{"email":"x"}`, `[]`), nil, 400, `"source":{"pointer":"/data/attributes/profiles/data/1/attributes/email"}`},
			{klaviyoJobs, klaviyoBody(`{"email":"a@x.org"}`, `{}`), nil, 400, `"source":{"pointer":"/data/attributes/profiles/data/1/attributes"}`},
			{klaviyoJobs, klaviyoBody(`{"email":"a@x.org","n":"` + strings.Repeat("n", 100_000) + `"}`), nil, 400, "more than 100 KB"},
			{klaviyoJobs, klaviyoBody(strings.Split(list(10_001, "{}"), ",")...), nil, 400, "1 to 10000 items, got 10001"},
			{klaviyoJobs, strings.Repeat(" ", 5_000_001), nil, 413, "more than"},
			{klaviyoJobs, klaviyoBody(strings.Split(list(25, `{"external_id":"a"|"phone_number":"5"}`), ",")...), nil, 202, `"status":"queued","total_count":25`},
			{"GET " + klaviyoJobs + "/job000001/import-errors", "", nil, 200, `{"data":[],"links":{"next":null,`},
			{"GET " + klaviyoJobs + "/job000001", "", nil, 200, `"failed_count":25,"status":"complete"`},
			{"GET " + klaviyoJobs + "/job000001/import-errors", "", nil, 200, `/job000001/import-errors?page%5Bcursor%5D=20`},
			{"GET " + klaviyoJobs + "/job000001/import-errors?page%5Bcursor%5D=20", "", nil, 200, `"original_payload":{"external_id":"a","phone_number":"5"},"source":{"pointer":"/data/attributes/profiles/data/24/`},
			{"GET " + klaviyoJobs + "/job000001/import-errors?page%5Bsize%5D=101", "", nil, 400, "out of range"},
			{"GET " + klaviyoJobs + "/job000002", "", nil, 404, `"code":"not_found"`},
			{klaviyoJobs, "{}", klaviyoHeader("s")[:2], 400, "a valid revision header is required"},
			{klaviyoJobs, "{}", klaviyoHeader("other"), 401, `"code":"not_authenticated"`},
		}},
		{simulate.NewPagerDuty(simulate.VendorOptions{Secret: key}), nil, []exchange{
			{"/v2/enqueue", `{"routing_key":"` + key + `","event_action":"trigger","dedup_key":"d","payload":{"summary":"s","source":"h","severity":"error"}}`, nil, 202, `{"dedup_key":"d","message":"Event processed","status":"success"}`},
			{"/v2/enqueue", `{"routing_key":"` + key + `","event_action":"trigger","payload":{"source":"h","severity":"error"}}`, nil, 400, `"errors":["'payload.summary' is missing or blank"]`},
			{"/v2/enqueue", `{"routing_key":"` + key + `","event_action":"resolve"}`, nil, 400, "'dedup_key' is missing"},
			{"/v2/enqueue", `{"routing_key":"` + strings.Repeat("x", 32) + `","event_action":"resolve","dedup_key":"d"}`, nil, 400, "Length of 'routing_key' is incorrect"},
			{"/v2/enqueue", strings.Repeat(" ", 512<<10+1), nil, 413, "more than"},
		}},
	} {
		t.Run(tt.backend.Name(), func(t *testing.T) {
			c := serve(t, tt.backend)
			for _, call := range tt.calls {
				method, path := "POST", call.path
				if get, ok := strings.CutPrefix(path, "GET "); ok {
					method, path = "GET", get
				}
				header := tt.header
				if call.header != nil {
					header = call.header
				}
				if r := c.do(call.status, method, path, call.body, header...); !strings.Contains(r.body, call.want) {
					t.Errorf("%s %.80s: %s\nwant %s", call.path, call.body, r.body, call.want)
				}
			}
		})
	}
}

func TestSlackAnswersErrorsWith200(t *testing.T) {
	clock := newClock()
	c := serve(t, simulate.NewSlack(simulate.VendorOptions{Secret: "s", Now: clock.Now}))
	post := func(status int, token, body string) reply {
		return c.do(status, "POST", "/chat.postMessage", body, "Authorization", "Bearer "+token, "Content-Type", "application/json")
	}
	for _, tt := range []struct{ token, body, want string }{
		{"other", `{}`, "invalid_auth"},
		{"s", `{`, "invalid_json"},
		{"s", `{"channel":"x","text":"t"}`, "channel_not_found"},
		{"s", `{"channel":"C1"}`, "no_text"},
		{"s", `{"channel":"C1","text":"` + strings.Repeat("t", 40001) + `"}`, "msg_too_long"},
	} {
		equal(t, tt.want, post(200, tt.token, tt.body).json(t, "error"), tt.want)
	}
	const message = `{"channel":"C1","text":"t"}`
	for range 5 {
		r := post(200, "s", message)
		equal(t, "ok", r.json(t, "ok"), true)
		equal(t, "warning", r.json(t, "warning"), "missing_charset")
	}
	r := post(429, "s", message)
	equal(t, "error", r.json(t, "error"), "ratelimited")
	equal(t, "Retry-After", r.header.Get("Retry-After"), "2")
	equal(t, "another channel", post(200, "s", `{"channel":"C2","text":"t"}`).json(t, "ok"), true)
	clock.advance(2 * time.Second)
	equal(t, "later", post(200, "s", message).json(t, "ok"), true)
}

func TestWebhookChecksSignatures(t *testing.T) {
	clock := newClock()
	key := []byte("a key of the webhook")
	c := serve(t, simulate.NewWebhook(simulate.VendorOptions{Secret: "whsec_" + base64.StdEncoding.EncodeToString(key), Now: clock.Now}))
	post := func(status int, id string, at time.Time, signed, body string) reply {
		seconds := strconv.FormatInt(at.Unix(), 10)
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.%s", id, seconds, signed)
		return c.do(status, "POST", "/", body, "Webhook-Id", id, "Webhook-Timestamp", seconds,
			"Webhook-Signature", "v1,other v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	equal(t, "first", post(200, "a", clock.Now(), "{}", "{}").json(t, "repeated"), false)
	equal(t, "again", post(200, "a", clock.Now(), "{}", "{}").json(t, "repeated"), true)
	post(401, "b", clock.Now(), "{}", "{ }")
	post(400, "b", clock.Now().Add(-6*time.Minute), "{}", "{}")
	post(400, "", clock.Now(), "{}", "{}")
	c.do(401, "POST", "/", "{}")
}

func TestVendorsHaveNames(t *testing.T) {
	server, err := simulate.Start("127.0.0.1:0", append(simulate.Quickstart(), simulate.Vendors()...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close(t.Context()) })
	if n := len(server.Names()); n != 23 {
		t.Errorf("%d backends: %v", n, server.Names())
	}
}
