package target

import (
	"strings"

	"headgate/config/secret"
	"headgate/config/yamlsrc"
)

// TLS is how the connections to a target are made when the usual way will not do.
type TLS struct {
	ClientCert secret.Ref `yaml:"client_cert" jsonschema_description:"Where the client's certificate is kept, in PEM, those between it and its root after it."`
	ClientKey  secret.Ref `yaml:"client_key" jsonschema_description:"Where the key of client_cert is kept, in PEM."`
	CA         secret.Ref `yaml:"ca" jsonschema_description:"Where the roots are kept, in PEM, that the backend's certificate may come from. Default: those of the system."`
	ServerName string     `yaml:"server_name" jsonschema_description:"Name that the backend's certificate must have. Default: the host of the call."`
}

// mutualTLS is a compiled TLS.
type mutualTLS struct {
	refs       []secret.Ref // the zero Ref stands for none
	serverName string
	id         string // of all of that
}

// Places in mutualTLS.refs.
const (
	clientCertAt = iota
	clientKeyAt
	caAt
)

const tlsHint = "write {client_cert: {file: …}, client_key: {file: …}}, or leave the key out"

// tls checks the key of that name.
func (c *compiler) tls() {
	n, spec := c.target.Get("tls"), c.spec.TLS
	if n != nil && n.Kind == yamlsrc.Null {
		c.problem(n, tlsHint, "tls is empty")
	}
	if spec == nil || n.Kind != yamlsrc.Map {
		return // reported
	}
	m := &mutualTLS{refs: []secret.Ref{spec.ClientCert, spec.ClientKey, spec.CA}, serverName: spec.ServerName}
	switch cert, key := n.Get("client_cert"), n.Get("client_key"); {
	case len(n.Entries) == 0:
		c.problem(n, tlsHint, "tls says nothing")
	case cert != nil && key == nil:
		c.problem(cert, "add client_key: {file: …}", "client_cert has no client_key")
	case cert == nil && key != nil:
		c.problem(key, "add client_cert: {file: …}", "client_key has no client_cert")
	}
	if c.plan.home.origin != "" && !strings.HasPrefix(c.plan.home.origin, "https://") {
		c.problem(n, "write https:// in url, or leave tls out", "url is not https")
	}
	if name := n.Get("server_name"); name != nil && !hostName.MatchString(strings.ToLower(spec.ServerName)) {
		c.problem(name, "write a name such as api.internal.example.com", "server_name cannot be %q", spec.ServerName)
	}
	for i, key := range []string{clientCertAt: "client_cert", clientKeyAt: "client_key", caAt: "ca"} {
		if !m.refs[i].IsZero() {
			c.check(m.refs[i], find(n, key))
		}
		m.id += m.refs[i].String() + "\n"
	}
	m.id += m.serverName
	c.plan.tls = m
}
