package target

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"headgate/config/secret"
	"headgate/dispatch/fault"
)

// tlsPool has the connections of targets that have tls. What they are made of is read with
// each call, like every secret: a certificate that was renewed takes effect with the next
// call, and the connections of the one before end as soon as they are idle.
type tlsPool struct {
	outgoing Outgoing
	mu       sync.Mutex
	pairs    map[string]*tlsPair // by mutualTLS.id
}

// tlsPair is what carries calls with one certificate.
type tlsPair struct {
	made         [sha256.Size]byte // hash of what it was made of
	own, guarded *http.Transport
	client       *x509.Certificate // nil: none
}

// get gives the transports of a target. now is the store's clock.
func (p *tlsPool) get(m *mutualTLS, read secretReader, now time.Time) (*tlsPair, *fault.Fault) {
	values, f := readAll(m.refs, read)
	if f != nil {
		return nil, f
	}
	h := sha256.New()
	for _, v := range values {
		fmt.Fprintf(h, "%d:%s", len(v.Reveal()), v.Reveal())
	}
	made := [sha256.Size]byte(h.Sum(nil))
	p.mu.Lock()
	defer p.mu.Unlock()
	pair := p.pairs[m.id]
	if pair == nil || pair.made != made {
		fresh, f := m.pair(values, p.outgoing)
		if f != nil {
			return nil, f
		}
		fresh.made = made
		pair.close()
		pair, p.pairs[m.id] = fresh, fresh
	}
	return pair, m.expired(pair.client, now)
}

// expired is the fault of a certificate that is not good now.
func (m *mutualTLS) expired(client *x509.Certificate, now time.Time) *fault.Fault {
	switch {
	case client == nil:
	case now.After(client.NotAfter):
		return m.wrong("the client certificate %s expired at %s", m.refs[clientCertAt], client.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(client.NotBefore):
		return m.wrong("the client certificate %s is not good before %s", m.refs[clientCertAt], client.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// wrong is a fault of the operator's files: another attempt helps once they are right.
func (m *mutualTLS) wrong(format string, args ...any) *fault.Fault {
	return &fault.Fault{Reason: fault.Auth, Retry: true, Message: "not sent: " + fmt.Sprintf(format, args...)}
}

// pair makes the transports from what the secrets hold.
func (m *mutualTLS) pair(values []secret.Value, o Outgoing) (*tlsPair, *fault.Fault) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: m.serverName}
	pair := &tlsPair{}
	if !m.refs[clientCertAt].IsZero() {
		both, err := tls.X509KeyPair([]byte(values[clientCertAt].Reveal()), []byte(values[clientKeyAt].Reveal()))
		if err != nil { // it tells kinds of blocks and keys, nothing of what is in them
			return nil, m.wrong("the client certificate %s with the key %s cannot be used: %s", m.refs[clientCertAt], m.refs[clientKeyAt], strings.TrimPrefix(err.Error(), "tls: "))
		}
		config.Certificates, pair.client = []tls.Certificate{both}, both.Leaf
	}
	if !m.refs[caAt].IsZero() {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(values[caAt].Reveal())) {
			return nil, m.wrong("the secret %s holds no certificate in PEM", m.refs[caAt])
		}
	}
	pair.own, pair.guarded = newTransport(o), newGuarded(o)
	pair.own.TLSClientConfig, pair.guarded.TLSClientConfig = config, config.Clone()
	return pair, nil
}

func (pair *tlsPair) close() {
	if pair != nil {
		pair.own.CloseIdleConnections()
		pair.guarded.CloseIdleConnections()
	}
}

func (p *tlsPool) close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pair := range p.pairs {
		pair.close()
	}
}

// carrier gives what carries a call. The target's certificate is for its own hosts.
func (r *run) carrier(to place) (http.RoundTripper, *fault.Fault) {
	e := r.engine
	if r.plan.tls != nil && e.tls != nil && !to.other {
		pair, f := e.tls.get(r.plan.tls, e.secrets, r.in.Now)
		switch {
		case f != nil:
			return nil, f
		case to.guarded:
			return pair.guarded, nil
		}
		return pair.own, nil
	}
	if to.guarded {
		return e.guarded, nil
	}
	return e.transport, nil
}

// handshakeFault says that a backend did not take our part of the handshake; nil when
// that is not what happened.
func (m *mutualTLS) handshakeFault(err error) *fault.Fault {
	var op *net.OpError
	if m == nil || m.refs[clientCertAt].IsZero() || !errors.As(err, &op) || op.Op != "remote error" {
		return nil
	}
	return &fault.Fault{Reason: fault.Auth, Retry: true, Err: err,
		Message: fmt.Sprintf("the backend does not take the client certificate %s: %s", m.refs[clientCertAt], strings.TrimPrefix(op.Err.Error(), "tls: "))}
}
