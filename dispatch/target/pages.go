package target

import (
	"errors"
	"net/url"
	"strconv"
	"strings"

	"headgate/dispatch/fault"
	"headgate/dispatch/transform"
)

// pages is where the reading of a list stands.
type pages struct {
	list   *rejects
	first  place
	to     place           // the page to be read next
	read   int             // items, of all pages so far
	seen   map[string]bool // what led to the pages so far
	astray bool            // a page leads back to an earlier one: the list has no end that can be found
}

// pagesOf begins a list; of one in the last answer there is nothing to be found out.
func (r *run) pagesOf(list *rejects) (*pages, *fault.Fault) {
	p := &pages{list: list, seen: map[string]bool{}}
	if list.path == nil {
		return p, nil
	}
	to, f := r.plan.place(list.path, r.scope, r.home)
	if f != nil {
		return nil, f
	}
	p.first, p.to = to, to
	if list.Page != nil && list.cursor == nil && !list.linked() {
		p.offset()
	}
	p.seen[p.to.url] = true
	return p, nil
}

// linked reports whether an answer gives the URL of the next page.
func (l *rejects) linked() bool { return l.Page != nil && (l.following != nil || l.Page.Link) }

// turn goes on to the page after resp, which had got items; false when there is none, or
// when it was there before.
func (p *pages) turn(r *run, scope transform.Scope, resp *response, got int) (bool, *fault.Fault) {
	var more bool
	var f *fault.Fault
	switch {
	case p.list.Page == nil:
		return false, nil
	case p.list.cursor != nil:
		more, f = p.turnByCursor(scope, resp)
	case p.list.linked():
		more, f = p.turnByLink(r, scope, resp)
	default:
		more, f = p.turnByOffset(scope, resp, got)
	}
	if f != nil || !more {
		return false, f
	}
	if p.seen[p.to.url] {
		p.astray = true
		return false, nil
	}
	p.seen[p.to.url] = true
	return true, nil
}

func (p *pages) turnByOffset(scope transform.Scope, resp *response, got int) (bool, *fault.Fault) {
	more, err := got >= p.list.Page.Limit, error(nil)
	if p.list.more != nil {
		more, err = p.list.more.Eval(scope)
	}
	if err != nil {
		return false, unreadable(resp, err)
	}
	p.offset()
	p.astray = more && got == 0 // an empty page ends the list, but it should not have been the last
	return more && got > 0, nil
}

func (p *pages) offset() {
	page := p.list.Page
	p.to = p.first
	p.to.url = addQuery(p.to.url, parameter(page.LimitParam, strconv.Itoa(page.Limit)))
	p.to.url = addQuery(p.to.url, parameter(page.OffsetParam, strconv.Itoa(p.read)))
}

func (p *pages) turnByCursor(scope transform.Scope, resp *response) (bool, *fault.Fault) {
	cursor, f := optional(p.list.cursor, scope, resp)
	if cursor == "" || f != nil {
		return false, f
	}
	p.to = p.first
	p.to.url = addQuery(p.to.url, parameter(p.list.Page.Param, cursor))
	return true, nil
}

func (p *pages) turnByLink(r *run, scope transform.Scope, resp *response) (bool, *fault.Fault) {
	link, f := nextLink(resp.header.Values("Link")), (*fault.Fault)(nil)
	if p.list.following != nil {
		link, f = optional(p.list.following, scope, resp)
	}
	if link == "" || f != nil {
		return false, f
	}
	here, err := url.Parse(p.to.url)
	if err != nil {
		return false, unreadable(resp, errors.New("the URL of the page cannot be read"))
	}
	there, err := here.Parse(link)
	if err != nil {
		return false, unreadable(resp, errors.New("the link to the next page is no URL"))
	}
	p.to, f = r.plan.judge(there.String(), "", r.home, r.plan.home)
	return true, f
}

// optional gives a text that an answer may have; null and nothing at all are the same.
func optional(e *transform.Value, scope transform.Scope, resp *response) (string, *fault.Fault) {
	v, err := e.Eval(scope)
	switch {
	case v == nil && (err == nil || errors.Is(err, transform.ErrEmpty)):
		return "", nil
	case err != nil:
		return "", unreadable(resp, err)
	}
	text, ok := textOf(v)
	if !ok {
		return "", unreadable(resp, errors.New("what leads to the next page is no text"))
	}
	return text, nil
}

func parameter(name, value string) string {
	return url.QueryEscape(name) + "=" + url.QueryEscape(value)
}

// nextLink finds the target of rel=next in Link headers (RFC 8288, section 3); empty when
// there is none.
func nextLink(headers []string) string {
	for _, rest := range headers {
		for {
			_, from, ok := strings.Cut(rest, "<")
			if !ok {
				break
			}
			target, params, ok := strings.Cut(from, ">")
			if !ok {
				break
			}
			// The parameters of a link end where the next one begins.
			own, _, _ := strings.Cut(params, "<")
			if isNext(own) {
				return target
			}
			rest = params
		}
	}
	return ""
}

// isNext reports whether the parameters of a link hold rel=next; rel may be a list of words.
func isNext(params string) bool {
	for param := range strings.FieldsFuncSeq(params, func(r rune) bool { return r == ';' || r == ',' }) {
		name, value, _ := strings.Cut(param, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "rel") {
			continue
		}
		for word := range strings.FieldsSeq(strings.Trim(strings.TrimSpace(value), `"`)) {
			if strings.EqualFold(word, "next") {
				return true
			}
		}
	}
	return false
}
