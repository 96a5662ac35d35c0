package target

import (
	"slices"
	"testing"
)

func TestSameFlow(t *testing.T) {
	const steps = "url: https://a.example.com\nsteps:\n- {name: one, post: /one}\n- {name: two, post: /two}\n"
	base := mustCompile(t, "", steps)
	if got := base.StepNames(); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("steps %v", got)
	}
	for text, same := range map[string]bool{
		steps: true,
		steps + "limits: {concurrency: 3, timeout: 1s}\nretry: {attempts: 2}\nbreaker: {failures: 3}\n": true,
		steps + "headers: {X-A: b}\n": false,
		"url: https://a.example.com\nsteps:\n- {name: two, post: /two}\n- {name: one, post: /one}\n":   false,
		"url: https://a.example.com\nsteps:\n- {name: one, post: /other}\n- {name: two, post: /two}\n": false,
	} {
		if got := base.SameFlow(mustCompile(t, "", text)); got != same {
			t.Errorf("the same flow: %t, want %t:\n%s", got, same, text)
		}
	}
}
