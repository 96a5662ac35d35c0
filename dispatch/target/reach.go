package target

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"headgate/config/secret"
)

// Endpoint is a server that calls of a target go to. It is comparable: two targets that reach
// the same server in the same way have the same one.
type Endpoint struct {
	Origin string // scheme://host:port
	TLS    string // how connections are made, empty: as usual; only to tell endpoints apart

	tls *mutualTLS
}

// Endpoints lists the servers that are known before a call is made: that of url, unless base
// gives another one, and those that access tokens are asked of.
func (p *Plan) Endpoints() (out []Endpoint) {
	if p.base == nil {
		e := Endpoint{Origin: p.home.origin}
		if p.tls != nil {
			e.TLS, e.tls = p.tls.id, p.tls
		}
		out = append(out, e)
	}
	auths := []*auth{p.baseAuth}
	for _, s := range p.calls() {
		auths = append(auths, s.auth)
	}
	for _, a := range auths {
		if a == nil || a.oauth == nil {
			continue
		}
		if u, err := url.Parse(a.oauth.url); err == nil {
			out = append(out, Endpoint{Origin: originOf(u)})
		}
	}
	slices.SortStableFunc(out, func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(a.Origin, b.Origin), cmp.Compare(a.TLS, b.TLS))
	})
	return slices.CompactFunc(out, func(a, b Endpoint) bool { return a.Origin == b.Origin && a.TLS == b.TLS })
}

// Reached is how far a connection to an Endpoint came.
type Reached struct {
	Took time.Duration // all of it
	// Stage is where it ended when Err is not nil: dns, tcp, tls, or secret when what the
	// connection is made of cannot be read.
	Stage string
	Err   error
	// Server is until when and since when the certificates of the server are good, those of the
	// way to its root included; Client is that of our own. Zero without.
	Server, Client Lifetime
}

// Lifetime is when a certificate is good.
type Lifetime struct{ From, Until time.Time }

// alertWait is how long a server is given to say that it does not take our certificate: in
// TLS 1.3 it says so after the handshake.
const alertWait = 300 * time.Millisecond

// Reach looks up the endpoint's name, connects as calls do, and shakes hands. Nothing is sent
// beyond that. ctx bounds it, and so do the time-outs that calls have.
func (e Endpoint) Reach(ctx context.Context, o Outgoing) (r Reached) {
	began := time.Now()
	defer func() { r.Took = time.Since(began) }()
	u, err := url.Parse(e.Origin)
	if err != nil {
		return Reached{Stage: "dns", Err: err}
	}
	resolver := cmp.Or(o.Resolver, net.DefaultResolver)
	if _, err := resolver.LookupHost(ctx, u.Hostname()); err != nil {
		return Reached{Stage: "dns", Err: err}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.tls != nil {
		values, f := readAll(e.tls.refs, secret.Ref.Read)
		if f != nil {
			return Reached{Stage: "secret", Err: f}
		}
		pair, f := e.tls.pair(values, o)
		if f != nil {
			return Reached{Stage: "secret", Err: f}
		}
		defer pair.close()
		config = pair.own.TLSClientConfig.Clone()
		if pair.client != nil {
			r.Client = Lifetime{pair.client.NotBefore, pair.client.NotAfter}
		}
	}
	dialer := &net.Dialer{Timeout: dialTimeout, Resolver: o.Resolver}
	conn, err := dialer.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		r.Stage, r.Err = "tcp", err
		return r
	}
	defer func() { _ = conn.Close() }()
	if u.Scheme == "https" {
		r.shake(ctx, conn, config, u.Hostname())
	}
	return r
}

// shake shakes hands.
func (r *Reached) shake(ctx context.Context, conn net.Conn, config *tls.Config, host string) {
	config.ServerName = cmp.Or(config.ServerName, host)
	config.NextProtos = []string{"h2", "http/1.1"}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		r.Stage, r.Err = "tls", err
		return
	}
	for _, chain := range secure.ConnectionState().VerifiedChains {
		if l := lifetimeOf(chain); l.Until.After(r.Server.Until) {
			r.Server = l
		}
	}
	if len(config.Certificates) == 0 || secure.SetReadDeadline(time.Now().Add(alertWait)) != nil {
		return
	}
	_, err := secure.Read(make([]byte, 1))
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		r.Stage, r.Err = "tls", errors.New("the server does not take the client certificate: "+strings.TrimPrefix(op.Err.Error(), "tls: "))
	}
}

// lifetimeOf gives when a whole chain is good: that of the certificate that ends first.
func lifetimeOf(chain []*x509.Certificate) (out Lifetime) {
	for _, c := range chain {
		if out.Until.IsZero() || c.NotAfter.Before(out.Until) {
			out = Lifetime{c.NotBefore, c.NotAfter}
		}
	}
	return out
}
