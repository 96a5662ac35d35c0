package simulate

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
)

// maxSequences bounds how many status sequences are followed; past it the oldest knowledge goes.
const maxSequences = 1 << 20

// Rule makes requests under a path misbehave.
type Rule struct {
	Path   string     // prefix of the path; "/" or "" for all
	Method string     // "" for any
	Behave *Behaviour // what they do
	Times  int        // how many requests are left; 0 means no end
}

// ruleJSON is a rule on the wire; behave is text or an object.
type ruleJSON struct {
	Path   string          `json:"path"`
	Method string          `json:"method,omitempty"`
	Behave json.RawMessage `json:"behave"`
	Times  int             `json:"times,omitempty"`
}

// MarshalJSON shows the behaviour as it was written.
func (r Rule) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(r.Behave.text)
	if err != nil {
		return nil, err
	}
	return json.Marshal(ruleJSON{Path: r.Path, Method: r.Method, Behave: text, Times: r.Times})
}

// UnmarshalJSON reads {"path","method","behave","times"}.
func (r *Rule) UnmarshalJSON(data []byte) error {
	var in ruleJSON
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields() // a rule that silently lost its "times" would never end
	if err := dec.Decode(&in); err != nil {
		return err
	}
	text := string(in.Behave)
	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(in.Behave, &text); err != nil {
			return err
		}
	}
	behave, err := ParseBehaviour(text)
	if err != nil {
		return err
	}
	*r = Rule{Path: in.Path, Method: in.Method, Behave: behave, Times: in.Times}
	return nil
}

// rules holds what a backend was told to do wrong, and how far each status sequence has come.
type rules struct {
	mu    sync.Mutex
	rules []*Rule
	steps map[string]int
}

func newRules() *rules { return &rules{steps: map[string]int{}} }

// put adds a rule or replaces the one for the same path and method.
func (rs *rules) put(rule Rule) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for i, old := range rs.rules {
		if old.Path == rule.Path && old.Method == rule.Method {
			rs.rules[i] = &rule
			return
		}
	}
	rs.rules = append(rs.rules, &rule)
}

func (rs *rules) clear() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.rules, rs.steps = nil, map[string]int{}
}

func (rs *rules) list() []Rule {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	out := make([]Rule, len(rs.rules))
	for i, r := range rs.rules {
		out[i] = *r
	}
	return out
}

// find gives a request's behaviour: its own first, then that of the longest matching path, where a rule
// for the method goes before one for any. It uses up one of the rule's times.
func (rs *rules) find(r *http.Request) (*Behaviour, error) {
	own, err := fromRequest(r)
	if own != nil || err != nil {
		return own, err
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	best := -1
	for i, rule := range rs.rules {
		if !strings.HasPrefix(r.URL.Path, rule.Path) || (rule.Method != "" && rule.Method != r.Method) {
			continue
		}
		if best < 0 || rule.beats(rs.rules[best]) {
			best = i
		}
	}
	if best < 0 {
		return nil, nil
	}
	rule := rs.rules[best]
	if rule.Times > 0 {
		if rule.Times--; rule.Times == 0 {
			rs.rules = append(rs.rules[:best], rs.rules[best+1:]...)
		}
	}
	return rule.Behave, nil
}

// beats tells which of two matching rules is the more exact.
func (r *Rule) beats(other *Rule) bool {
	if len(r.Path) != len(other.Path) {
		return len(r.Path) > len(other.Path)
	}
	return r.Method != "" && other.Method == ""
}

// next gives the request's place in the status sequence; 0 when there is none.
func (rs *rules) next(b *Behaviour, r *http.Request) int {
	switch len(b.Status) {
	case 0:
		return 0
	case 1:
		return b.Status[0] // no need to remember anything
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if len(rs.steps) >= maxSequences {
		rs.steps = map[string]int{}
	}
	id := b.text + "\x00" + r.Header.Get("Idempotency-Key")
	i := rs.steps[id]
	if i < len(b.Status)-1 {
		rs.steps[id] = i + 1
	}
	return b.Status[i]
}
