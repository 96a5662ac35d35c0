package routes

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// methodIndex finds the routes of one method. A path without parameters is one look-up
// in a map: such a pattern beats every other, so nothing else need be asked.
type methodIndex struct {
	literal map[string]*Route
	tree    segment
}

// segment is a node of the tree of patterns with parameters.
type segment struct {
	literal map[string]*segment
	param   *segment
	route   *Route   // ends here
	names   []string // of the route's parameters
}

func newIndex(list []*Route) (map[string]*methodIndex, []string) {
	methods := map[string]*methodIndex{}
	var names []string
	for _, r := range list {
		m := methods[r.Method]
		if m == nil {
			m = &methodIndex{literal: map[string]*Route{}}
			methods[r.Method] = m
			names = append(names, r.Method)
		}
		m.add(r)
	}
	slices.Sort(names)
	return methods, names
}

func (m *methodIndex) add(r *Route) {
	if !strings.Contains(r.Pattern, "/:") {
		m.literal[r.Pattern] = r
		return
	}
	at := &m.tree
	for s := range strings.SplitSeq(r.Pattern[1:], "/") {
		if strings.HasPrefix(s, ":") {
			if at.param == nil {
				at.param = &segment{}
			}
			at = at.param
			continue
		}
		if at.literal == nil {
			at.literal = map[string]*segment{}
		}
		if at.literal[s] == nil {
			at.literal[s] = &segment{}
		}
		at = at.literal[s]
	}
	at.route, at.names = r, paramNames(r.Pattern)
}

func paramNames(pattern string) (names []string) {
	for s := range strings.SplitSeq(pattern, "/") {
		if name, ok := strings.CutPrefix(s, ":"); ok {
			names = append(names, name)
		}
	}
	return names
}

// Match finds the route. When only the method differs, allow lists the methods that
// the path has, sorted. path is as it came, still percent-encoded; params are decoded.
// Paths are told apart by case and by a slash at the end; where several patterns fit,
// a literal segment beats a parameter, from the left.
func (t *Table) Match(method, path string) (r *Route, params map[string]string, allow []string) {
	if m := t.methods[method]; m != nil {
		if r, params = m.find(path); r != nil {
			return r, params, nil
		}
	}
	for _, other := range t.names {
		if other == method {
			continue
		}
		if found, _ := t.methods[other].find(path); found != nil {
			allow = append(allow, other)
		}
	}
	return nil, nil, allow
}

func (m *methodIndex) find(path string) (*Route, map[string]string) {
	if r := m.literal[path]; r != nil {
		return r, nil
	}
	if path == "" || path[0] != '/' {
		return nil, nil
	}
	var room [8]string // most patterns have fewer parameters: no allocation for them
	end, values := m.tree.find(path[1:], room[:0])
	if end == nil {
		return nil, nil
	}
	params := make(map[string]string, len(values))
	for i, raw := range values {
		value, ok := decodeParam(raw)
		if !ok {
			return nil, nil
		}
		params[end.names[i]] = value
	}
	return end.route, params
}

// find walks down; rest is what follows the slash. It goes back where a literal has led
// to a dead end.
func (s *segment) find(rest string, values []string) (*segment, []string) {
	part, rest, more := strings.Cut(rest, "/")
	for _, next := range [2]*segment{s.literal[part], s.param} {
		if next == nil || part == "" {
			continue
		}
		found := values
		if next == s.param {
			found = append(values, part)
		}
		if !more {
			if next.route != nil {
				return next, found
			}
			continue
		}
		if end, all := next.find(rest, found); end != nil {
			return end, all
		}
	}
	return nil, nil
}

// decodeParam undoes percent-encoding once. What has no place in a name or a number is
// no match: control characters, broken UTF-8, and the two names that a backend would
// take for steps in its tree of paths.
func decodeParam(raw string) (string, bool) {
	value := raw
	if strings.IndexByte(raw, '%') >= 0 {
		var err error
		if value, err = url.PathUnescape(raw); err != nil {
			return "", false
		}
	}
	if value == "." || value == ".." || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
		return "", false
	}
	return value, true
}
