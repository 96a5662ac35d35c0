package target

import (
	"fmt"
	"net/url"
	"strings"

	"headgate/dispatch/fault"
	"headgate/dispatch/transform"
)

// place is where a call goes.
type place struct {
	url  string
	host string // with its port where one is written, for people
	// other says that it is not the host of the target's url. Then it is dialled behind
	// the guard, and nothing goes there that was meant for the target: neither its auth
	// and headers nor the keys by which its calls are known.
	other   bool
	guarded bool // an answer named its host, which is not that of url
	// signed is the query of a URL that an answer gave: it may be as good as a credential.
	signed string
}

// place evaluates where a call goes. A path is appended to the base: since it begins with
// / or ?, it never leaves the host of the target, whatever it evaluates to. A path that is
// one expression may give a whole URL instead, from an earlier answer: to the target itself,
// or to a host of allow_hosts.
func (p *Plan) place(to *transform.Text, scope transform.Scope, at home) (place, *fault.Fault) {
	text, err := to.URL(scope)
	if err != nil {
		return place{}, &fault.Fault{Reason: fault.Internal, Message: err.Error(), Err: err}
	}
	if to.IsLiteral() && strings.Contains(text, "://") && text[0] != '/' && text[0] != '?' {
		u, err := url.Parse(text)
		if err != nil {
			return place{}, &fault.Fault{Reason: fault.Internal, Message: "the URL of the call is not valid", Err: err}
		}
		return place{url: text, host: u.Host}, nil // the author of the file wrote it, as url
	}
	if to.IsExpression() && strings.Contains(text, "://") && text[0] != '/' && text[0] != '?' {
		return p.judge(text, "", at, p.home)
	}
	if err := at.checkPath(text); err != nil {
		reason := fault.Internal
		for _, root := range []string{"saved", "response"} {
			if names, all := to.Fields(root); len(names) > 0 || all { // an answer gave it
				reason = fault.BadResponse
			}
		}
		return place{}, &fault.Fault{Reason: reason, Message: err.Error(), Err: err}
	}
	return place{url: at.url + text, host: at.host, guarded: at.guarded}, nil
}

// checkPath looks at what is appended to the base. It never climbs over a segment: that
// interpolated values are safe is seen to by transform.Text, but a path may also be one
// expression on an answer.
func (h home) checkPath(text string) error {
	if text != "" && text[0] != '/' && text[0] != '?' {
		return fmt.Errorf("the path %q does not begin with /", clip(text, 100))
	}
	u, err := url.Parse(h.url + text)
	if err != nil || u.Fragment != "" {
		return fmt.Errorf("the path %q makes no URL of the target", clip(text, 100))
	}
	if segment := dots(u.Path); segment != "" {
		return fmt.Errorf("the path %q has the segment %q", clip(text, 100), segment)
	}
	return nil
}

// dots gives a segment that would change the path; empty when there is none.
func dots(path string) string {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return segment
		}
	}
	return ""
}

// judge says where a whole URL goes that an expression gave: to one of the target's own
// hosts or to one of allow_hosts, or nowhere. key is the key of the expression, empty for
// a path. What is said about it names its host only: a signed URL is a credential. It is
// no fault of the record and another try would end the same, so the delivery becomes a
// dead letter.
func (p *Plan) judge(text, key string, own ...home) (place, *fault.Fault) {
	refuse := func(format string, args ...any) (place, *fault.Fault) {
		return place{}, &fault.Fault{Reason: fault.BadResponse, Message: "not sent: " + key + fmt.Sprintf(format, args...)}
	}
	u, err := url.Parse(text)
	if err != nil {
		return refuse("the expression gives no URL that can be read")
	}
	name, port, usual, ok := authority(u)
	shown := clean(name, 100)
	switch {
	case u.Scheme != "https" && u.Scheme != "http", !ok:
		return refuse("the expression gives no http or https URL with a plain host")
	case u.User != nil:
		return refuse("the URL for the host %s holds credentials", shown)
	case u.Fragment != "":
		return refuse("the URL for the host %s has a fragment", shown)
	case dots(u.Path) != "":
		return refuse("the path of the URL for the host %s has the segment %q", shown, dots(u.Path))
	}
	for _, h := range own {
		if originOf(u) == h.origin {
			return place{url: u.String(), host: u.Host, guarded: h.guarded, signed: u.RawQuery}, nil
		}
	}
	if port != usual {
		shown += ":" + port
	}
	for i := range p.allow {
		if !p.allow[i].allows(name, port, usual) {
			continue
		}
		if u.Scheme == "http" && !strings.HasPrefix(p.home.origin, "http://") {
			return refuse("the URL for the host %s is not https", shown)
		}
		return place{url: u.String(), host: shown, other: true, guarded: true, signed: u.RawQuery}, nil
	}
	return refuse("the URL goes to the host %s, which is not in allow_hosts of target %s; add it there if it is meant", shown, p.Name)
}
