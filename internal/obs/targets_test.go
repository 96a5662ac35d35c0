package obs

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTargets(t *testing.T) {
	m := New()
	m.Targets(func() []TargetState {
		return []TargetState{
			{Name: "billing"},
			{Name: "crm", Breaker: 2, Paused: true, Running: 3, Waits: map[string]uint64{"breaker": 7, "rate": 1}},
		}
	})
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{
		`headgate_breaker_state{target="billing"} 0`, `headgate_breaker_state{target="crm"} 2`,
		`headgate_target_paused{target="crm"} 1`, `headgate_running{target="crm"} 3`,
		`headgate_waits_total{reason="breaker",target="crm"} 7`, `headgate_waits_total{reason="rate",target="crm"} 1`,
	} {
		if !strings.Contains(answer.Body.String(), want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
}
