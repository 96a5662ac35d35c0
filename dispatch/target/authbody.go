package target

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"headgate/config/yamlsrc"
	"headgate/dispatch/fault"
)

// hasPlace reports a call whose body has no place for its secret.
func (c *compiler) hasPlace(n *yamlsrc.Node, s *step) {
	if s.auth == nil || s.auth.kind != "body" {
		return
	}
	if s.body == nil || s.body.content == nil || s.body.encoder.Name() != "json" || s.body.gzip {
		c.problem(n, "add json, without gzip, or give the call another auth", "auth: body needs a body that is a JSON object")
	}
}

// intoBody adds the secret to the object that the body is. A record never decides what is
// sent as a credential: with a field of that name of its own it is not sent.
func (a *auth) intoBody(r *request, value string) *fault.Fault {
	refuse := func(message string) *fault.Fault {
		return &fault.Fault{Reason: fault.Rejected, Message: "not sent: " + message}
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(r.body, &fields); err != nil || fields == nil {
		return refuse("the body is no JSON object, which the secret is a field of")
	}
	for name := range fields {
		if strings.EqualFold(name, a.name) { // some parsers do not tell them apart
			return refuse("the body has the field " + name + " already, which the secret belongs in")
		}
	}
	field, err := json.Marshal(map[string]string{a.name: value})
	if err != nil {
		return &fault.Fault{Reason: fault.Internal, Err: err, Message: "the secret " + a.refs[0].String() + " cannot be written as JSON"}
	}
	open := bytes.LastIndexByte(r.body, '}')
	if len(fields) > 0 {
		field[0] = ','
	} else {
		field = field[1:]
	}
	// The body may be the payload itself, which is not ours to change.
	r.body = slices.Concat(r.body[:open], field)
	if escaped, err := json.Marshal(value); err == nil {
		r.secrets = append(r.secrets, strings.Trim(string(escaped), `"`))
	}
	return nil
}
