package target

import (
	"slices"
	"testing"
	"time"
)

// Calls that change something and may be cut are told, at the line that makes them long.
func TestOverlong(t *testing.T) {
	p := mustCompile(t, "", `
url: http://h
limits:
  timeout: 30s
steps:
- {name: a, post: /a}
- {name: b, put: /b, timeout: 20s}
- {name: c, get: /c}
- {name: d, delete: /d, timeout: 1m}
- {name: e, post: /e, until: {state: "${{ .response.body.s }}", succeeded: [ok]}}
`)
	got := p.Overlong(25 * time.Second)
	var steps []string
	for _, o := range got {
		steps = append(steps, o.Step)
	}
	if !slices.Equal(steps, []string{"a", "d"}) || got[0].Pos.Line != 4 || got[0].Timeout != 30*time.Second || got[1].Pos.Line != 9 {
		t.Errorf("%+v", got)
	}
	if got := mustCompile(t, "", "url: http://h\npost: /x").Overlong(time.Second); len(got) != 1 || got[0].Step != "" || got[0].Pos.Line != 1 {
		t.Errorf("%+v", got)
	}
}
