package policies

import (
	"strings"

	"headgate/config/yamlsrc"
)

// Strings is a YAML value that is one string or a list of them.
type Strings []string

// DecodeYAML implements yamlsrc.Decoder.
func (s *Strings) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	if n.Kind == yamlsrc.Scalar {
		*s = Strings{n.Text}
		return
	}
	n.Decode((*[]string)(s), report)
}

// IsHeaderName reports whether s can be the name of a header (RFC 9110, section 5.6.2).
func IsHeaderName(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		letter := (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9')
		return !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	}) < 0
}

// Challenge makes a value for WWW-Authenticate (RFC 9110, section 11.6.1).
func Challenge(scheme, realm string) string {
	plain := strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, realm)
	return scheme + ` realm="` + plain + `"`
}
