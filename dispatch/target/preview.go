package target

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strings"

	"headgate/config/unit"
	"headgate/dispatch/fault"
	"headgate/dispatch/transform"
)

// Preview is one request as a step would send it, for `headgate explain`.
type Preview struct {
	Kind    string // step, setup, reconcile or finally
	Step    string
	About   string // one line on when a call is made that is no step, empty for a step
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
	// Base is one line on where calls go when that is not url, which stands for it; else empty.
	Base string
	When string // the condition under which the call is made, empty: always
	More string // the expression that gives further headers, when they are not known yet
}

// Preview renders the request of every step, and of the calls beside them, without sending
// anything. Values of .saved and .setup that are not known stand as <saved.job>. For a batch,
// the payload is its only record.
func (p *Plan) Preview(in Input) ([]Preview, error) {
	if p.Batch != nil { // as the only record of its batch
		in.Upload = &Upload{Records: [][]byte{in.Payload}, Keys: []string{DeliveryKey(in.Tracking, p.Name)}, Of: 1}
	}
	in.CallbackURL = cmp.Or(in.CallbackURL, ExampleCallbackURL)
	var out []Preview
	known := map[string]bool{}
	for name := range in.Delivery.Saved {
		known[name] = true
	}
	open := map[string]any{} // what earlier steps save and nobody knows yet
	add := func(s *step, kind, about string) error {
		v, err := p.previewStep(s, &in, open)
		if err != nil {
			return fmt.Errorf("%s %s: %w", kind, s.name, err)
		}
		v.Kind, v.About = kind, about
		out = append(out, v)
		return nil
	}
	for _, s := range p.setups {
		if err := add(s, "setup", fmt.Sprintf("made once in %s, for all workers", unit.Duration(s.ttl))); err != nil {
			return nil, err
		}
	}
	for _, s := range p.steps {
		if s.probe != nil {
			if err := add(s.probe.call, "reconcile", "made first when an earlier try may have got through; unless it did, the call follows"); err != nil {
				return nil, err
			}
		}
		if err := add(s, "step", ""); err != nil {
			return nil, err
		}
		for _, saved := range s.save {
			if !known[saved.name] {
				open[saved.name] = placeholder("saved", saved.name)
			}
		}
	}
	for _, s := range p.finally {
		about := "made after the end"
		if s.when == nil {
			about += ", unless it is unknown"
		}
		if err := add(s, "finally", about); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// placeholder stands for a value of a root that is not known before the call is made.
func placeholder(root, name string) string { return "<" + root + "." + name + ">" }

// placeholderEnd stands for how a delivery ended.
const placeholderEnd = "<state>"

// beginsUnknown reports whether a URL begins with a placeholder.
func beginsUnknown(text string) bool {
	return strings.HasPrefix(text, "<saved.") || strings.HasPrefix(text, "<setup.")
}

// unknown fills in what only the setups of a worker know, or the end of a delivery.
func (p *Plan) unknown(s *step, scope transform.Scope) (names []string) {
	found := map[string]any{}
	for _, setup := range p.setups {
		for _, saved := range setup.save {
			found[saved.name] = placeholder("setup", saved.name)
			if s.wants[setup.name] {
				names = append(names, ".setup."+saved.name)
			}
		}
	}
	scope["setup"] = found
	if s.uses["state"] {
		scope["state"] = placeholderEnd
		names = append(names, ".state")
	}
	return names
}
func (p *Plan) previewStep(s *step, in *Input, open map[string]any) (Preview, error) {
	v := Preview{Step: s.name, Method: s.method, Header: map[string]string{}, Until: s.poll.line(), Hosts: p.hostsLine(s), When: s.notes.when}
	if s.ttl == 0 { // a setup is made at url itself
		v.Base = p.baseLine()
	}
	scope, err := s.scope(in)
	if err != nil {
		return v, err
	}
	if saved, ok := scope["saved"].(map[string]any); ok {
		for name, stand := range open {
			saved[name] = stand
		}
	}
	v.Unknown = p.unknown(s, scope)
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
		v.URL = p.home.url + s.path.Source()
		return v, nil
	}
	v.URL, v.Body = req.to.url, string(req.body)
	v.Note = strings.Join(p.notes(s, req), "; ")
	for name := range open {
		v.URL = plainly(v.URL, placeholder("saved", name))
	}
	v.URL = plainly(v.URL, placeholderEnd)
	for _, setup := range p.setups {
		for _, saved := range setup.save {
			v.URL = plainly(v.URL, placeholder("setup", saved.name))
		}
	}
	for name, values := range req.header {
		v.Header[name] = strings.Join(values, ", ")
	}
	return v, nil
}

// notes says how a body is sent otherwise than shown.
func (p *Plan) notes(s *step, req *request) (out []string) {
	if req.body != nil && s.body.gzip {
		out = append(out, "sent compressed with gzip")
	}
	switch {
	case s.body != nil && s.body.streaming != nil:
		out = append(out, fmt.Sprintf("more than %s are written record by record and not held in memory", unit.Size(HeldBytes)))
	case s.whole != "" && p.Batch.uploadMax() > HeldBytes:
		out = append(out, fmt.Sprintf("up to %s are held in memory, since %s", unit.Size(p.Batch.uploadMax()), s.whole))
	}
	return out
}

// plainly writes a placeholder in a URL so that it can be read.
func plainly(text, placeholder string) string {
	return strings.ReplaceAll(text, url.PathEscape(placeholder), placeholder)
}

// preview makes the call of a step without its secrets. A whole URL that is not known
// yet is shown as going where the least is sent.
func (p *Plan) preview(s *step, in *Input, scope transform.Scope) (*request, *fault.Fault) {
	if s.path.IsExpression() {
		if text, err := s.path.URL(scope); err == nil && beginsUnknown(text) {
			return p.requestTo(context.Background(), place{url: text, other: len(p.allow) > 0}, s, in, scope, nil)
		}
	}
	return p.request(context.Background(), p.home, s, in, scope, nil)
}

// hostsLine says for a person where a URL from an expression may go.
func (p *Plan) hostsLine(s *step) string {
	if !s.path.IsExpression() || len(p.allow) == 0 {
		return ""
	}
	without := "without the target's auth and headers"
	if s.ownAuth {
		without = "with the step's own auth, without the target's headers"
	}
	return fmt.Sprintf("a URL of %s itself, or of allow_hosts (%s) at public addresses, %s", p.home.host, p.hostNames(), without)
}

func (p *Plan) hostNames() string {
	names := make([]string, len(p.allow))
	for i := range p.allow {
		names[i] = p.allow[i].text
	}
	return strings.Join(names, ", ")
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
