package target

import (
	"encoding/json"
	"reflect"
)

// StepNames lists the steps in their order.
func (p *Plan) StepNames() []string {
	out := make([]string, len(p.steps))
	for i, s := range p.steps {
		out[i] = s.name
	}
	return out
}

// besideFlow are the keys of a target that say how fast and how often, not what is called.
var besideFlow = []string{"limits", "retry", "breaker"}

// SameFlow reports whether deliveries under both plans make the same calls. How often a call
// is tried, and how many are made at a time, is no part of it.
func (p *Plan) SameFlow(other *Plan) bool {
	return p.Hash == other.Hash || reflect.DeepEqual(p.calledBy(), other.calledBy())
}

func (p *Plan) calledBy() map[string]any {
	var tree map[string]any
	_ = json.Unmarshal(p.Source, &tree) // what seal has written
	for _, key := range besideFlow {
		delete(tree, key)
	}
	return tree
}
