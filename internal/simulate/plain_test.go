package simulate_test

import (
	"testing"
	"time"

	"headgate/internal/simulate"
)

func TestSyncAnswersStableIDs(t *testing.T) {
	c := serve(t, simulate.NewSync("crm"))
	for _, tt := range []struct {
		name                 string
		status               int
		method, pathA, bodyA string
		keyA, pathB, keyB    string
		bodyB                string
		same                 bool
	}{
		{"put same path", 200, "PUT", "/contacts/1", "a", "k1", "/contacts/1", "k2", "b", true},
		{"put other path", 200, "PUT", "/contacts/1", "a", "k1", "/contacts/2", "k1", "a", false},
		{"post same key", 201, "POST", "/events", "a", "k1", "/events", "k1", "b", true},
		{"post other key", 201, "POST", "/events", "a", "k1", "/events", "k2", "a", false},
		{"post no key, same body", 201, "POST", "/events", "a", "", "/events", "", "a", true},
		{"post no key, other body", 201, "POST", "/events", "a", "", "/events", "", "b", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			send := func(path, body, key string) any {
				id := c.do(tt.status, tt.method, path, body, "Idempotency-Key", key).json(t, "id")
				if text, _ := id.(string); text == "" {
					t.Fatalf("no id in the answer")
				}
				return id
			}
			a, b := send(tt.pathA, tt.bodyA, tt.keyA), send(tt.pathB, tt.bodyB, tt.keyB)
			if (a == b) != tt.same {
				t.Errorf("ids %v and %v, want same: %v", a, b, tt.same)
			}
		})
	}
	c.do(204, "DELETE", "/contacts/1", "")
	if allow := c.do(405, "OPTIONS", "/contacts/1", "").header.Get("Allow"); allow == "" {
		t.Error("405 without Allow")
	}
}

func TestFlakyFailsPerKey(t *testing.T) {
	c := serve(t, simulate.NewFlaky("analytics", 2, 1500*time.Millisecond))
	for _, step := range []struct {
		key  string
		want int
	}{{"a", 503}, {"b", 503}, {"a", 503}, {"a", 200}, {"b", 503}, {"b", 200}, {"a", 200}, {"", 503}, {"", 503}, {"", 200}} {
		r := c.do(step.want, "POST", "/events", `{}`, "Idempotency-Key", step.key)
		retry := ""
		if step.want == 503 {
			retry = "2" // 1.5 s rounded up: never earlier than asked
		}
		equal(t, "Retry-After", r.header.Get("Retry-After"), retry)
	}
	c.do(503, "POST", "/other", `{}`) // without a key each path fails by itself
}

func TestFlakyWithoutRetryAfter(t *testing.T) {
	c := serve(t, simulate.NewFlaky("f", 1, 0))
	if _, ok := c.do(503, "PUT", "/x", "").header["Retry-After"]; ok {
		t.Error("Retry-After sent")
	}
	c.do(200, "PUT", "/x", "")
}

func TestRejectingRefusesEverything(t *testing.T) {
	c := serve(t, simulate.NewRejecting("billing"))
	for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
		r := c.do(422, method, "/charges", "")
		equal(t, "code", r.json(t, "error", "code"), "card_expired")
		if m, _ := r.json(t, "error", "message").(string); m == "" {
			t.Error("no message")
		}
	}
}
