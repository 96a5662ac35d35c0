package simulate_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"headgate/internal/simulate"
)

func TestParseBehaviour(t *testing.T) {
	body := `{"job_id":""}`
	for _, tt := range []struct {
		text string
		want simulate.Behaviour
	}{
		{"status=503,503,200 retry_after=2", simulate.Behaviour{Status: []int{503, 503, 200}, RetryAfter: 2}},
		{"status=503;delay=250ms", simulate.Behaviour{Status: []int{503}, RetryAfter: -1, Delay: 250 * time.Millisecond}},
		{"hang", simulate.Behaviour{RetryAfter: -1, Hang: simulate.Before}},
		{"hang=after", simulate.Behaviour{RetryAfter: -1, Hang: simulate.After}},
		{"drop", simulate.Behaviour{RetryAfter: -1, Drop: simulate.Before}},
		{"drop=after", simulate.Behaviour{RetryAfter: -1, Drop: simulate.After}},
		{"trickle", simulate.Behaviour{RetryAfter: -1, Trickle: 5 * time.Millisecond}},
		{"trickle=1s", simulate.Behaviour{RetryAfter: -1, Trickle: time.Second}},
		{"huge=50MB", simulate.Behaviour{RetryAfter: -1, Huge: 50 << 20}},
		{"huge=7", simulate.Behaviour{RetryAfter: -1, Huge: 7}},
		{"malformed", simulate.Behaviour{RetryAfter: -1, Malformed: true}},
		{"redirect=https://a.example/x?y=1", simulate.Behaviour{RetryAfter: -1, Redirect: "https://a.example/x?y=1"}},
		{"status=202 body=" + body, simulate.Behaviour{Status: []int{202}, RetryAfter: -1, Body: &body}},
		{`{"status":[503,200],"retry_after":0}`, simulate.Behaviour{Status: []int{503, 200}}},
		{`{"status":503,"hang":false,"drop":true}`, simulate.Behaviour{Status: []int{503}, RetryAfter: -1, Drop: simulate.Before}},
		{`{"delay":"1s","malformed":true}`, simulate.Behaviour{RetryAfter: -1, Delay: time.Second, Malformed: true}},
	} {
		t.Run(tt.text, func(t *testing.T) {
			got, err := simulate.ParseBehaviour(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			// The text it was read from is not part of what is compared.
			again := simulate.Behaviour{
				Status: got.Status, RetryAfter: got.RetryAfter, Delay: got.Delay, Hang: got.Hang, Drop: got.Drop,
				Trickle: got.Trickle, Huge: got.Huge, Malformed: got.Malformed, Redirect: got.Redirect, Body: got.Body,
			}
			if !reflect.DeepEqual(again, tt.want) {
				t.Errorf("got %+v, want %+v", again, tt.want)
			}
		})
	}
}

func TestParseBehaviourRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                   "empty",
		"explode":            `unknown word "explode"; known: body, delay`,
		"status=99":          "no status",
		"status=":            "no status",
		"status=abc":         "no status",
		"retry_after=-1":     "seconds",
		"delay=fast":         "duration",
		"delay":              "duration",
		"hang=sometimes":     "before nor after",
		"huge=big":           "size",
		"huge=-1MB":          "size",
		"malformed=yes":      "no value",
		"redirect=":          "no URL",
		`{"status":`:         "unexpected",
		`{"status":{"a":1}}`: "unexpected value",
		`{"statuses":[200]}`: "unknown word",
	} {
		if _, err := simulate.ParseBehaviour(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
}
