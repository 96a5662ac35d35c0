package jq

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"unicode/utf8"
)

// The regular expressions are the gateway's own: the interpreter's count characters from
// the beginning for each match, which is quadratic in a string that a client sends, and
// remember every expression for ever, also those that come from data.

// maxRegexps bounds what one machine remembers.
const maxRegexps = 32

type pattern struct {
	*regexp.Regexp
	global bool
	cost   int // units per 64 bytes of text
}

func compilePattern(source, flags string) (*pattern, error) {
	p := &pattern{}
	inline := ""
	for _, f := range flags {
		switch f {
		case 'g':
			p.global = true
		case 'i':
			inline += "i"
		case 'm', 's': // "." matches newlines: Oniguruma's word for it, and Perl's
			inline += "s"
		default:
			return nil, fmt.Errorf("unknown flag %q of a regular expression: g, i, m and s are known", string(f))
		}
	}
	if inline != "" {
		source = "(?" + inline + ")" + source
	}
	parsed, err := syntax.Parse(source, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("invalid regular expression: %w", err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, fmt.Errorf("invalid regular expression: %w", err)
	}
	if p.Regexp, err = regexp.Compile(source); err != nil {
		return nil, fmt.Errorf("invalid regular expression: %w", err)
	}
	p.cost = 8 + len(program.Inst) // the matcher follows them all at once, at worst
	return p, nil
}

// pattern reads the arguments: an expression, or a list of an expression and flags.
func (m *machine) pattern(re, flags any) (*pattern, error) {
	if list, ok := re.([]any); ok && len(list) > 0 && len(list) <= 2 {
		re = list[0]
		if len(list) == 2 {
			flags = list[1]
		}
	}
	source, ok := re.(string)
	if !ok {
		return nil, fmt.Errorf("expected a regular expression in a string, got %s", Describe(re))
	}
	options, ok := flags.(string)
	if !ok && flags != nil {
		return nil, fmt.Errorf("expected the flags of a regular expression in a string, got %s", Describe(flags))
	}
	key := options + "/" + source
	if p, known := m.regexps[key]; known {
		return p, nil
	}
	if err := m.budget.charge(100 * (1 + len(source))); err != nil {
		return nil, err
	}
	p, err := compilePattern(source, options)
	if err != nil {
		return nil, err
	}
	if len(m.regexps) >= maxRegexps || m.regexps == nil {
		m.regexps = map[string]*pattern{}
	}
	m.regexps[key] = p
	return p, nil
}

// prepare reads the arguments and charges the search.
func (m *machine) prepare(v, re, flags any) (string, *pattern, error) {
	s, ok := v.(string)
	if !ok {
		return "", nil, fmt.Errorf("expected a string to match, got %s", Describe(v))
	}
	p, err := m.pattern(re, flags)
	if err != nil {
		return "", nil, err
	}
	return s, p, m.budget.charge(len(s) * p.cost / 64)
}

// find gives the places of all matches, of the first when the expression is not global.
func (m *machine) find(s string, p *pattern, global bool) ([][]int, error) {
	if !global && !p.global {
		if place := p.FindStringSubmatchIndex(s); place != nil {
			return [][]int{place}, nil
		}
		return nil, nil
	}
	places := p.FindAllStringSubmatchIndex(s, -1)
	return places, m.budget.charge(len(places) * (4 + p.NumSubexp()))
}

func (m *machine) test(v, re, flags any) any {
	s, p, err := m.prepare(v, re, flags)
	if err != nil {
		return err
	}
	return p.MatchString(s)
}

// matches gives jq's match objects; offsets and lengths count characters.
func (m *machine) matches(v, re, flags any, global bool) any {
	s, p, err := m.prepare(v, re, flags)
	if err != nil {
		return err
	}
	places, err := m.find(s, p, global)
	if err != nil {
		return err
	}
	out := make([]any, len(places))
	offset, at := 0, 0 // counted once, from match to match
	for i, place := range places {
		offset += utf8.RuneCountInString(s[at:place[0]])
		at = place[0]
		out[i] = p.object(s, place, offset)
	}
	return out
}

func (p *pattern) object(s string, place []int, offset int) map[string]any {
	captures := make([]any, 0, p.NumSubexp())
	names := p.SubexpNames()
	for g := 1; g <= p.NumSubexp(); g++ {
		c := map[string]any{"name": nil, "offset": -1, "length": 0, "string": nil}
		if names[g] != "" {
			c["name"] = names[g]
		}
		if from, to := place[2*g], place[2*g+1]; from >= 0 {
			c["string"] = s[from:to]
			c["length"] = utf8.RuneCountInString(s[from:to])
			c["offset"] = offset + utf8.RuneCountInString(s[place[0]:from])
		}
		captures = append(captures, c)
	}
	text := s[place[0]:place[1]]
	return map[string]any{"offset": offset, "length": utf8.RuneCountInString(text), "string": text, "captures": captures}
}

// pieces cuts a string at its matches: the text between them, and for each match the
// object of its named groups, which is what a replacement sees.
func (m *machine) pieces(v, re, flags any) any {
	s, p, err := m.prepare(v, re, flags)
	if err != nil {
		return err
	}
	places, err := m.find(s, p, false)
	if err != nil {
		return err
	}
	out := make([]any, 0, 2*len(places)+1)
	at := 0
	for _, place := range places {
		groups := map[string]any{}
		for g, name := range p.SubexpNames() {
			switch {
			case name == "":
			case place[2*g] < 0:
				groups[name] = nil
			default:
				groups[name] = s[place[2*g]:place[2*g+1]]
			}
		}
		out = append(out, s[at:place[0]], groups)
		at = place[1]
	}
	return append(out, s[at:])
}

// replace puts the same text in the place of the first match, or of all.
func (m *machine) replace(v, re any, by string, flags any, global bool) any {
	s, p, err := m.prepare(v, re, flags)
	if err != nil {
		return err
	}
	places, err := m.find(s, p, global)
	if err != nil {
		return err
	}
	if err := m.budget.charge((len(s) + area(len(places), len(by))) / bytesPerUnit); err != nil {
		return err
	}
	out := make([]byte, 0, len(s))
	at := 0
	for _, place := range places {
		out = append(append(out, s[at:place[0]]...), by...)
		at = place[1]
	}
	return string(append(out, s[at:]...))
}

// cut gives the text between the matches.
func (m *machine) cut(v, re, flags any) any {
	s, p, err := m.prepare(v, re, flags)
	if err != nil {
		return err
	}
	places, err := m.find(s, p, true)
	if err != nil {
		return err
	}
	out := make([]any, 0, len(places)+1)
	at := 0
	for _, place := range places {
		out = append(out, s[at:place[0]])
		at = place[1]
	}
	return append(out, s[at:])
}
