package target

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"headgate/dispatch/fault"
	"headgate/dispatch/transform"
)

// Preview is one request as a step would send it, for `headgate explain`.
type Preview struct {
	Step    string
	Method  string
	URL     string
	Header  map[string]string // secrets masked as ***
	Body    string
	Note    string   // one line on how the body is sent otherwise than shown, empty when it is not
	Unknown []string // what depends on earlier answers, such as ".saved.job"
	Until   string   // one line on polling, empty when the step does not poll
	// Hosts is one line on where a URL from an expression may go, empty when the host is
	// that of url.
	Hosts string
	When  string // the condition under which the call is made, empty: always
	More  string // the expression that gives further headers, when they are not known yet
}

// Preview renders every step's request without sending anything. Values of .saved that
// are not known stand as <saved.job>. For a batch, the payload is its only record.
func (p *Plan) Preview(in Input) ([]Preview, error) {
	if p.Batch != nil { // as the only record of its batch
		in.Payload = slices.Concat([]byte("["), in.Payload, []byte("]"))
		in.Keys = []string{DeliveryKey(in.Tracking, p.Name)}
	}
	in.CallbackURL = cmp.Or(in.CallbackURL, ExampleCallbackURL)
	var out []Preview
	known := map[string]bool{}
	for name := range in.Delivery.Saved {
		known[name] = true
	}
	open := map[string]any{} // what earlier steps save and nobody knows yet
	for _, s := range p.steps {
		v, err := p.previewStep(s, &in, open)
		if err != nil {
			return nil, fmt.Errorf("step %s: %w", s.name, err)
		}
		out = append(out, v)
		for _, saved := range s.save {
			if !known[saved.name] {
				open[saved.name] = placeholder(saved.name)
			}
		}
	}
	return out, nil
}

const placeholderStart = "<saved."

func placeholder(name string) string { return placeholderStart + name + ">" }

func (p *Plan) previewStep(s *step, in *Input, open map[string]any) (Preview, error) {
	v := Preview{Step: s.name, Method: s.method, Header: map[string]string{}, Until: s.poll.line(), Hosts: p.hostsLine(s), When: s.notes.when}
	scope, err := s.scope(in)
	if err != nil {
		return v, err
	}
	if saved, ok := scope["saved"].(map[string]any); ok {
		for name, stand := range open {
			saved[name] = stand
		}
	}
	for _, name := range sortedKeys(open) {
		if s.needs[name] {
			v.Unknown = append(v.Unknown, ".saved."+name)
		}
	}
	if s.more != nil && len(v.Unknown) > 0 {
		v.More = s.notes.more
		known := *s
		known.more, s = nil, &known
	}
	req, f := p.preview(s, in, scope)
	if f != nil {
		if len(v.Unknown) == 0 {
			return v, f
		}
		// A placeholder is a string; what the expressions make of the real value cannot
		// be shown. The path as written is more useful than an error.
		v.URL = p.base + s.path.Source()
		return v, nil
	}
	v.URL, v.Body = req.to.url, string(req.body)
	if req.body != nil && s.body.gzip {
		v.Note = "sent compressed with gzip"
	}
	for name := range open {
		v.URL = strings.ReplaceAll(v.URL, url.PathEscape(placeholder(name)), placeholder(name))
	}
	for name, values := range req.header {
		v.Header[name] = strings.Join(values, ", ")
	}
	return v, nil
}

// preview makes the call of a step without its secrets. A whole URL that is not known
// yet is shown as going where the least is sent.
func (p *Plan) preview(s *step, in *Input, scope transform.Scope) (*request, *fault.Fault) {
	if s.path.IsExpression() {
		if text, err := s.path.URL(scope); err == nil && strings.HasPrefix(text, placeholderStart) {
			return p.requestTo(place{url: text, other: len(p.allow) > 0}, s, in, scope, nil)
		}
	}
	return p.request(s, in, scope, nil)
}

// hostsLine says for a person where a URL from an expression may go.
func (p *Plan) hostsLine(s *step) string {
	if !s.path.IsExpression() || len(p.allow) == 0 {
		return ""
	}
	names := make([]string, len(p.allow))
	for i := range p.allow {
		names[i] = p.allow[i].text
	}
	without := "without the target's auth and headers"
	if s.ownAuth {
		without = "with the step's own auth, without the target's headers"
	}
	return fmt.Sprintf("a URL of %s itself, or of allow_hosts (%s) at public addresses, %s", p.host, strings.Join(names, ", "), without)
}

// line describes polling for a person.
func (p *poll) line() string {
	if p == nil {
		return ""
	}
	ends := map[ending][]string{}
	for _, word := range sortedKeys(p.words) {
		ends[p.words[word]] = append(ends[p.words[word]], word)
	}
	var parts []string
	for _, e := range []struct {
		end  ending
		name string
	}{{succeeded, "succeeded"}, {warned, "warned"}, {partial, "partial"}, {failed, "failed"}} {
		if words := ends[e.end]; len(words) > 0 {
			parts = append(parts, fmt.Sprintf("%s (%s)", strings.Join(words, ", "), e.name))
		}
	}
	return fmt.Sprintf("polls after %s, then ever more slowly up to %s, for at most %s, until the state is %s",
		p.Every.First, p.Every.Max, p.Deadline, strings.Join(parts, ", "))
}
