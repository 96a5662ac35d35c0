package target

import (
	"headgate/config/unit"
	"headgate/config/yamlsrc"
)

// HeldBytes is how many bytes the records of an upload may have together to be held in memory
// although its body can be written record by record.
const HeldBytes = 5 << 20

// streams finds the steps whose bodies are written record by record, and checks that those
// that are not stay small.
func (c *compiler) streams() {
	if c.spec.Batch == nil {
		return
	}
	most := c.spec.Batch.uploadMax()
	for _, s := range c.plan.steps {
		if !s.sendsRecords() {
			continue
		}
		w, why := s.byRecord()
		switch {
		case why == "" && most > HeldBytes:
			w.most = most
			s.body.streaming = w
		case why != "":
			s.whole = why
			c.atMostHeld(s, most)
		}
	}
}

// atMostHeld checks the bound of an upload that is held in memory.
func (c *compiler) atMostHeld(s *step, most int64) {
	if unit.Size(most) <= maxHeldBytes {
		return
	}
	n := c.target.Get("batch")
	at := find(n, "max_bytes")
	if own := n.Get("chunk").Get("max_bytes"); own != nil {
		at = own
	}
	c.problem(at, "lower it, or write the body so that each record is written by itself, such as ndjson: ${{ .records }}",
		"an upload that is held in memory has at most %s; that of step %s is, since %s", maxHeldBytes, s.name, s.whole)
}

// byRecord tells how the body of a step is written record by record, or why it is not.
func (s *step) byRecord() (_ *streaming, why string) {
	switch {
	case s.around["records"]:
		return nil, "another expression of the call than its body uses .records"
	case s.uses["keys"]:
		return nil, "it uses .keys"
	case s.auth != nil && s.auth.kind == "body":
		return nil, "auth: body reads the whole body"
	case s.body.content != nil:
		return s.body.content.byRecord()
	}
	var found *streaming
	for i := range s.body.parts {
		p := &s.body.parts[i]
		if p.name.Reads("records") || (p.filename != nil && p.filename.Reads("records")) {
			return nil, "the name of a part uses .records"
		}
		if !p.readsRecords() {
			continue
		}
		if found != nil {
			return nil, "several parts use .records"
		}
		if found, why = p.byRecord(); why != "" {
			return nil, why
		}
		found.part = i
	}
	return found, ""
}

func (c *content) readsRecords() bool {
	return c.payload || (c.text != nil && c.text.Reads("records")) || (c.value != nil && c.value.Reads("records"))
}

// byRecord is that of a step, for a content that uses the records.
func (c *content) byRecord() (_ *streaming, why string) {
	if c.payload {
		return &streaming{content: c}, ""
	}
	switch c.encoder.Name() {
	case "json", "ndjson", "csv":
	default:
		return nil, c.encoder.Name() + " is written as a whole"
	}
	hollow, each, ok := c.value.Each("records")
	if ok && c.encoder.Name() != "json" {
		hollow, ok = nil, each.IsList(c.value)
	}
	if !ok {
		return nil, "it uses .records otherwise than as it is, in .records | map(…) or in [.records[] | …], once"
	}
	return &streaming{content: c, hollow: hollow, each: each}, ""
}

// Held is an upload that is held in memory as a whole.
type Held struct {
	Step string // empty for a target that is written without steps
	Pos  yamlsrc.Pos
	Most unit.Size
	Why  string
}

// Held lists the uploads that may have more than most bytes and are held in memory.
func (p *Plan) Held(most unit.Size) []Held {
	if p.Batch == nil || unit.Size(p.Batch.uploadMax()) <= most {
		return nil
	}
	var out []Held
	for _, s := range p.steps {
		if s.whole == "" {
			continue
		}
		held := Held{Pos: s.pos, Most: unit.Size(p.Batch.uploadMax()), Why: s.whole}
		if p.flow {
			held.Step = s.name
		}
		out = append(out, held)
	}
	return out
}

// Streams reports whether the records of a batch need not be held for a step, nor for those that
// may be passed over with it.
func (p *Plan) Streams(name string) bool {
	streams := false
	for _, s := range p.from(name) {
		if s.sendsRecords() && s.body.streaming == nil {
			return false
		}
		streams = streams || s.sendsRecords()
	}
	return streams
}
