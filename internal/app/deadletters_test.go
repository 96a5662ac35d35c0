package app_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
	"headgate/gateway"
	"headgate/gateway/admin"
	"headgate/internal/redisstore"
	"headgate/internal/testenv"
)

// giveUpSoon lets crm give up after two attempts.
func giveUpSoon(s string) string {
	return strings.Replace(s, "    put: /contacts", "    retry: {attempts: 2, first: 10ms, max: 20ms}\n    put: /contacts", 1)
}

// ask asks the admin listener and decodes its answer.
func (r *rig) ask(ctx context.Context, method, path, body string, into any) (status int, err error) {
	resp, err := r.open(ctx, method, path, body)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || into == nil {
		return resp.StatusCode, err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return resp.StatusCode, fmt.Errorf("%d %s: %w", resp.StatusCode, text, err)
	}
	return resp.StatusCode, nil
}

func (r *rig) open(ctx context.Context, method, path, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+r.AdminAddr()+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer admin")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	return r.client.Do(req)
}

// stateOf gives one target of a finished dispatch.
func (r *rig) stateOf(t *testing.T, id, target string) gateway.DeliveryView {
	t.Helper()
	view, err := r.await(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range view.Targets {
		if m.Name == target {
			return m.Value
		}
	}
	t.Fatalf("%s has no target %s", id, target)
	return gateway.DeliveryView{}
}

// keysSeen lists the idempotency keys that a backend saw for a dispatch, each once.
func (r *rig) keysSeen(target, id string) (out []string, bodies []string) {
	seen := map[string]bool{}
	for _, request := range r.backends.Backend(target).Requests(0) {
		key := request.Header.Get("Idempotency-Key")
		if strings.HasPrefix(key, id) {
			if !seen[key] {
				out = append(out, key)
			}
			seen[key] = true
			bodies = append(bodies, string(request.Body))
		}
	}
	return out, bodies
}

// died posts a request whose delivery to crm gives up.
func (r *rig) died(t *testing.T, n int) (id string) {
	t.Helper()
	crm := r.backends.Backend("crm")
	if err := crm.Behave("/", "status=503", 0); err != nil {
		t.Fatal(err)
	}
	id, err := r.post(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	if d := r.stateOf(t, id, "crm"); d.State != tracking.Failed || d.Attempts != 2 {
		t.Fatalf("crm is %+v", d)
	}
	crm.ClearBehaviour()
	return id
}

// A delivery gives up, is listed, and is replayed once its backend is mended: the backend
// sees the same idempotency key.
func TestDeadLetterIsReplayed(t *testing.T) { deadLetterIsReplayed(t, newRig(t, giveUpSoon)) }

func deadLetterIsReplayed(t *testing.T, r *rig) {
	r.start(t)
	id := r.died(t, 1)
	var page admin.DeadPageView
	if status, err := r.ask(t.Context(), "GET", "/deadletters?target=crm&reason=server_error&since=1h", "", &page); err != nil || status != 200 || len(page.DeadLetters) != 1 {
		t.Fatalf("%d %+v, %v", status, page, err)
	}
	l := page.DeadLetters[0]
	if l.TrackingID != id || l.Attempts != 2 || l.HTTPStatus != 503 || l.Message == "" || l.Route != "profile-changed" || l.Payload != nil || !l.DeadLetter {
		t.Errorf("listed as %+v", l)
	}
	var shown admin.DeadLetterView
	if status, err := r.ask(t.Context(), "GET", "/deadletters/"+id+"/crm", "", &shown); err != nil || status != 200 || !strings.Contains(string(shown.Payload), "user1@example.com") {
		t.Errorf("%d %+v, %v", status, shown, err)
	}
	var replayed admin.ReplayedView
	if status, err := r.ask(t.Context(), "POST", "/deadletters/"+id+"/crm/replay", "", &replayed); err != nil || status != 202 || replayed.Replays != 1 || replayed.NewKey {
		t.Fatalf("%d %+v, %v", status, replayed, err)
	}
	if d := r.stateOf(t, id, "crm"); d.State != tracking.Succeeded || d.Replays != 1 || d.Attempts != 1 {
		t.Errorf("crm ended as %+v", d)
	}
	if keys, _ := r.keysSeen("crm", id); len(keys) != 1 || keys[0] != id+":crm" {
		t.Errorf("keys %v", keys)
	}
	if status, err := r.ask(t.Context(), "POST", "/deadletters/"+id+"/crm/replay", "{}", nil); err != nil || status != 409 {
		t.Errorf("a replay of what succeeded: %d, %v", status, err)
	}
	if status, err := r.ask(t.Context(), "GET", "/deadletters?target=crm", "", &page); err != nil || status != 200 || len(page.DeadLetters) != 0 {
		t.Errorf("still listed: %d %+v, %v", status, page, err)
	}
	r.nothingLeft(t)
}

// A corrected payload is other work: the backend sees another key.
func TestCorrectedPayloadHasNewKey(t *testing.T) {
	r := newRig(t, giveUpSoon)
	r.start(t)
	id := r.died(t, 2)
	if status, err := r.ask(t.Context(), "POST", "/deadletters/"+id+"/crm/replay", `{"payload":{"email":"mended@example.com"}}`, nil); err != nil || status != 202 {
		t.Fatal(status, err)
	}
	if d := r.stateOf(t, id, "crm"); d.State != tracking.Succeeded {
		t.Errorf("crm ended as %+v", d)
	}
	keys, bodies := r.keysSeen("crm", id)
	if len(keys) != 2 || keys[1] != id+":crm.r1" || !strings.Contains(bodies[len(bodies)-1], "mended@example.com") {
		t.Errorf("keys %v, bodies %v", keys, bodies)
	}
}

// The owner tries what failed again, and nothing else.
func TestOwnerReplays(t *testing.T) {
	r := newRig(t, giveUpSoon)
	r.start(t)
	id := r.died(t, 3)
	path := "/tracking/" + id + "/replay"
	if status, text, err := r.do(t.Context(), "POST", path, `{"targets":["crm","nothing"]}`); err != nil || status != 422 || !strings.Contains(string(text), "nothing") {
		t.Errorf("an unknown target: %d %s %v", status, text, err)
	}
	status, text, err := r.do(t.Context(), "POST", path, `{"targets":["crm","billing"]}`)
	var view gateway.ReplayView
	if err == nil {
		err = json.Unmarshal(text, &view)
	}
	if err != nil || status != 202 || view.Status != tracking.InProgress || fmt.Sprint(view.Replayed) != "[crm]" || len(view.NotReplayed) != 1 {
		t.Fatalf("%d %s %v", status, text, err)
	}
	if d := r.stateOf(t, id, "crm"); d.State != tracking.Succeeded {
		t.Errorf("crm ended as %+v", d)
	}
	if status, text, err := r.do(t.Context(), "POST", path, ""); err != nil || status != 409 || !strings.Contains(string(text), "nothing-to-replay") {
		t.Errorf("with nothing to replay: %d %s %v", status, text, err)
	}
	if status, _, err := r.do(t.Context(), "GET", path, ""); err != nil || status != 405 {
		t.Errorf("GET of it: %d %v", status, err)
	}
}

// bury writes n dead letters to crm as a fleet would have left them.
func (r *rig) bury(t *testing.T, n int) {
	t.Helper()
	rdb := r.rdb(t)
	store := redisstore.New(rdb, rdb)
	defer store.Close()
	plan := r.Table().Plans()["crm"].Hash
	if err := store.SavePlan(t.Context(), plan, r.Table().Plans()["crm"].Source); err != nil {
		t.Fatal(err)
	}
	each(32, n, func(i int) {
		id, err := tracking.NewID("")
		if err != nil {
			t.Error(err)
			return
		}
		ref := tracking.Ref{Tracking: id, Target: "crm"}
		_, err = store.Accept(t.Context(), &tracking.Acceptance{
			Dispatch: &tracking.Dispatch{
				ID: id, Route: "profile-changed", Tenant: "mobile/acme", Rule: tracking.DoneAll, Params: map[string]string{"id": fmt.Sprint(i)},
				Targets: []tracking.TargetRef{{Name: "crm"}},
				Deliveries: map[string]tracking.Delivery{"crm": {
					Fence: tracking.Fence{Seq: 1}, Phase: tracking.Queued, State: tracking.Pending, Plan: plan,
				}},
			},
			Payloads: map[string]json.RawMessage{"crm": json.RawMessage(`{"email":"a@example.com"}`)}, Retention: time.Hour,
		})
		if err != nil {
			t.Error(err)
			return
		}
		c, err := store.Claim(t.Context(), ref, 1, "run", time.Minute)
		if err != nil {
			t.Error(err)
			return
		}
		end := tracking.Apply(c.Delivery, tracking.AttemptFailed{Final: true, Fault: &fault.Fault{Reason: fault.Unreachable}}, c.Now)
		if err := store.Apply(t.Context(), ref, c.Delivery.Fence, end); err != nil {
			t.Error(err)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
}

// replayAll asks for a paced replay and reads its lines; enough ends it early.
func (r *rig) replayAll(t *testing.T, body string, enough func(admin.ProgressLine) bool) (last admin.ProgressLine) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	resp, err := r.open(ctx, http.MethodPost, "/deadletters/replay", body)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s: %s", resp.Status, text)
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		last = admin.ProgressLine{}
		if err := json.NewDecoder(bytes.NewReader(lines.Bytes())).Decode(&last); err != nil {
			t.Fatal(err)
		}
		if enough(last) {
			return last
		}
	}
	return last
}

// Thousands are replayed at a pace; the client goes away in the middle and goes on from
// the cursor: each is sent once.
func TestManyDeadLettersReplayed(t *testing.T) { manyDeadLettersReplayed(t, newRig(t, nil)) }

func manyDeadLettersReplayed(t *testing.T, r *rig) {
	letters := 5000
	if testing.Short() {
		letters = 1500
	}
	r.start(t)
	r.bury(t, letters)
	never := func(admin.ProgressLine) bool { return false }
	counted := r.replayAll(t, `{"target":"crm","dry_run":true}`, never)
	if counted.Matched != letters || !counted.Finished || counted.Done != 0 || !counted.DryRun {
		t.Fatalf("the dry run says %+v", counted)
	}
	crm := r.backends.Backend("crm")
	if n := crm.Stats().Requests; n != 0 {
		t.Fatalf("a dry run sent %d requests", n)
	}
	begun := time.Now()
	first := r.replayAll(t, `{"target":"crm","rate":1000}`, func(l admin.ProgressLine) bool { return l.Done > 1 })
	if first.Done >= letters || first.Finished || first.Cursor == "" {
		t.Fatalf("not interrupted in the middle: %+v", first)
	}
	if most := int(time.Since(begun).Seconds()*1000) + 2; first.Done > most {
		t.Errorf("%d done after %v, at most %d are due", first.Done, time.Since(begun), most)
	}
	// What the first one still does before it notices is not done again.
	second := r.replayAll(t, fmt.Sprintf(`{"target":"crm","rate":5000,"cursor":%q}`, first.Cursor), never)
	if !second.Finished || second.Cursor != "" || second.Done > letters-first.Done || second.Done == 0 {
		t.Fatalf("first %+v, then %+v", first, second)
	}
	testenv.Eventually(t, time.Minute, func() bool { return crm.Stats().UniqueKeys == letters }, "all are sent")
	r.nothingLeft(t)
	if stats := crm.Stats(); stats.Requests != letters || stats.Duplicates != 0 {
		t.Errorf("%d requests for %d letters, %d duplicates", stats.Requests, letters, stats.Duplicates)
	}
	if keys, err := keysOf(t.Context(), r.rdb(t), "hg:*:dead"); err != nil || len(keys) != 0 {
		t.Errorf("dead letters are left: %v, %v", keys, err)
	}
}
