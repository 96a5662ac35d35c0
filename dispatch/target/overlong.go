package target

import (
	"net/http"
	"time"

	"headgate/config/yamlsrc"
)

// Overlong is a call that may take longer than a stopping worker waits for it.
type Overlong struct {
	Step    string // empty for a target that is written without steps
	Pos     yamlsrc.Pos
	Timeout time.Duration
}

// Overlong lists the calls that may take longer than grace and change something: cut
// off, they are sent again, and whether the first one had effect nobody knows. To ask a
// second time, as polls do, does no harm.
func (p *Plan) Overlong(grace time.Duration) []Overlong {
	var out []Overlong
	for _, s := range p.steps {
		if s.timeout <= grace || s.method == http.MethodGet || s.poll != nil {
			continue
		}
		long := Overlong{Pos: s.pos, Timeout: s.timeout}
		if p.flow {
			long.Step = s.name
		}
		out = append(out, long)
	}
	return out
}
