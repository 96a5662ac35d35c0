package gateway

import (
	"strconv"
	"strings"
	"time"
)

// prefer is what this server understands of the Prefer header (RFC 7240).
type prefer struct {
	async bool          // respond-async
	wait  time.Duration // wait=N, bounded; 0: none
}

// readPrefer reads the preferences of all Prefer headers. What is not understood is
// ignored, as the RFC wants; of a repeated preference the first counts. Waiting is
// bounded by limit.
func readPrefer(values []string, limit time.Duration) prefer {
	var p prefer
	if len(values) == 0 {
		return p
	}
	seen := map[string]bool{}
	for _, value := range values {
		for _, member := range splitQuoted(value, ',') {
			name, arg := preference(member)
			if name == "" || seen[name] {
				continue
			}
			seen[name] = true
			switch name {
			case "respond-async":
				p.async = true
			case "wait":
				// More digits than these are more than any limit, and would overflow.
				if n, err := strconv.ParseUint(arg, 10, 31); err == nil {
					p.wait = min(time.Duration(n)*time.Second, limit)
				}
			}
		}
	}
	return p
}

// applied is the Preference-Applied header; empty when nothing was.
func (p prefer) applied(waited, async bool) string {
	var out []string
	if p.async && async {
		out = append(out, "respond-async")
	}
	if p.wait > 0 && waited {
		out = append(out, "wait="+seconds(p.wait))
	}
	return strings.Join(out, ", ")
}

// preference gives the lower-case name of one preference and its argument; its
// parameters are dropped.
func preference(member string) (name, arg string) {
	head := splitQuoted(member, ';')[0]
	name, arg, _ = strings.Cut(head, "=")
	arg = strings.Trim(arg, " \t")
	if len(arg) >= 2 && arg[0] == '"' && arg[len(arg)-1] == '"' {
		arg = arg[1 : len(arg)-1]
	}
	return strings.ToLower(strings.Trim(name, " \t")), arg
}

// splitQuoted splits at sep outside of quoted strings.
func splitQuoted(s string, sep byte) []string {
	var out []string
	start, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			out = append(out, s[start:i])
			start = i + 1
		}
	}
	return append(out, s[start:])
}
