package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"headgate/config/unit"
	"headgate/config/yamlsrc"
)

// Prefix is a network, written as CIDR or as one address.
type Prefix struct{ netip.Prefix }

// DecodeYAML implements yamlsrc.Decoder.
func (p *Prefix) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	if n.Kind == yamlsrc.Scalar {
		if address, err := netip.ParseAddr(n.Text); err == nil && address.Zone() == "" {
			p.Prefix = netip.PrefixFrom(address, address.BitLen())
			return
		}
		if prefix, err := netip.ParsePrefix(n.Text); err == nil {
			p.Prefix = prefix.Masked()
			return
		}
	}
	n.Wrong("a network such as 10.0.0.0/8 or an address", report)
}

// Proxies gives the trusted networks in the standard library's form.
func (c *Config) Proxies() []netip.Prefix { return plain(c.TrustedProxies) }

// Networks gives what URLs from answers may reach in the standard library's form.
func (e Egress) Networks() []netip.Prefix { return plain(e.MayReach) }

func plain(list []Prefix) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, p := range list {
		out[i] = p.Prefix
	}
	return out
}

// checker finds what is wrong beyond types; it points at the key in question, or at the
// closest mapping that is there.
type checker struct {
	root   *yamlsrc.Node
	report *yamlsrc.Report
}

func (k checker) fail(at, hint, format string, args ...any) {
	n := k.root
	for key := range strings.SplitSeq(at, ".") {
		next := n.Get(key)
		if next == nil {
			break
		}
		n = next
	}
	k.report.Addf(n.Pos, at, hint, format, args...)
}

func (k checker) check(c *Config) {
	if err := checkAddress(c.Listen, true); err != nil {
		k.fail("listen", "write host:port, such as :8080", "listen: %s", err)
	}
	k.admin(c)
	k.publicURL(c)
	k.redis(c)
	for i, pattern := range c.RoutesMayRead.Env {
		if _, err := path.Match(pattern, ""); err != nil || strings.Contains(pattern, "/") {
			k.item("routes_may_read.env", i, "write names with * and ? as wildcards, such as CRM_*", "%q is not a pattern for names", pattern)
		}
	}
	k.limits(c)
	k.oneOf("telemetry.log.level", c.Telemetry.Log.Level, "debug", "info", "warn", "error")
	k.oneOf("telemetry.log.format", c.Telemetry.Log.Format, "json", "text")
	if share := c.Telemetry.Log.AccessSample; !(share >= 0 && share <= 1) {
		k.fail("telemetry.log.access_sample", "write a share from 0 to 1, such as 0.01", "telemetry.log.access_sample cannot be %v", share)
	}
}

func (k checker) item(at string, i int, hint, format string, args ...any) {
	n := k.root
	for key := range strings.SplitSeq(at, ".") {
		n = n.Get(key)
	}
	if n == nil || i >= len(n.Items) {
		return
	}
	k.report.Addf(n.Items[i].Pos, n.Items[i].Path, hint, format, args...)
}

func (k checker) admin(c *Config) {
	if !c.Admin.Enabled() {
		return
	}
	if err := checkAddress(c.Admin.Listen, true); err != nil {
		k.fail("admin.listen", "write host:port, such as 127.0.0.1:9090, or off", "admin.listen: %s", err)
	}
	if c.Admin.Listen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
		k.fail("admin.listen", "give it an address of its own, such as 127.0.0.1:9090", "the admin listener has the address of the clients' listener")
	}
	if c.Admin.Token.IsZero() && k.root.Get("admin").Get("token") == nil {
		k.fail("admin.token", "write token: {env: HEADGATE_ADMIN_TOKEN}, or listen: off", "the admin listener needs a token")
	}
	k.oneOf("admin.asynqmon", c.Admin.Asynqmon, Read, Write)
	k.prometheus(c)
}

func (k checker) prometheus(c *Config) {
	if c.Admin.Prometheus == "" {
		return
	}
	const hint = "write a URL such as http://prometheus:9090"
	u, err := url.Parse(c.Admin.Prometheus)
	switch {
	case err != nil:
		k.fail("admin.prometheus", hint, "admin.prometheus cannot be read as a URL")
	case u.User != nil:
		if n := k.root.Get("admin").Get("prometheus"); n != nil {
			k.report.AddSecretf(n, hint, "admin.prometheus must not hold credentials: the dashboard's page shows it")
		}
	case (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		k.fail("admin.prometheus", hint, "admin.prometheus should be an absolute http or https URL without a query")
	}
}

func (k checker) publicURL(c *Config) {
	if c.PublicURL == "" {
		return
	}
	const hint = "write a URL such as https://api.example.com"
	u, err := url.Parse(c.PublicURL)
	switch {
	case err != nil:
		k.fail("public_url", hint, "public_url cannot be read as a URL")
	case u.User != nil:
		if n := k.root.Get("public_url"); n != nil {
			k.report.AddSecretf(n, hint, "public_url must not hold credentials")
		}
	case (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		k.fail("public_url", hint, "public_url should be an absolute http or https URL")
	case u.RawQuery != "" || u.Fragment != "":
		k.fail("public_url", hint, "public_url should have neither query nor fragment")
	default:
		c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	}
}

func (k checker) redis(c *Config) {
	r := c.Redis
	if r.PoolSize < 0 {
		k.fail("redis.pool_size", "write a number of connections", "redis.pool_size is negative")
	}
	switch {
	case r.Ack.Replicas < 0:
		k.fail("redis.ack.replicas", "write a number of replicas, 0 for none", "redis.ack.replicas is negative")
	case r.Ack.Replicas > 0 && r.URL.Mode == Embedded:
		k.fail("redis.ack", "leave ack out, or name a Redis that has replicas in redis.url", "an embedded Redis has no replicas to wait for")
	case r.Ack.Replicas == 0 && k.root.Get("redis").Get("ack").Get("timeout") != nil:
		k.fail("redis.ack", "write ack: {replicas: 1, …}, or leave ack out", "redis.ack.timeout has no effect without replicas")
	}
	if d := r.Ack.Timeout; d < unit.Duration(time.Millisecond) || d > MaxAckTimeout {
		k.fail("redis.ack.timeout", "write a duration such as 50ms", "redis.ack.timeout should lie between 1ms and %s, not be %s", MaxAckTimeout, d)
	}
	if (r.TLS.Cert == "") != (r.TLS.Key == "") {
		k.fail("redis.tls", "write both cert and key, or neither", "a client certificate needs its key, and the key its certificate")
	}
	if r.TLS.isSet() && !r.URL.TLS {
		k.fail("redis.tls", "write rediss:// in redis.url", "redis.tls has no effect without TLS in redis.url")
	}
	if r.URL.Mode == Embedded && (!r.Password.IsZero() || r.Username != "") {
		k.fail("redis", "leave username and password out", "an embedded Redis is private and takes no credentials")
	}
}

func (k checker) limits(c *Config) {
	l := c.Limits
	for _, d := range []struct {
		at string
		d  unit.Duration
	}{
		{"tracking.retention", c.Tracking.Retention},
		{"dead_letters.retention", c.DeadLetters.Retention},
		{"limits.read_timeout", l.ReadTimeout},
		{"limits.write_timeout", l.WriteTimeout},
		{"limits.idle_timeout", l.IdleTimeout},
		{"limits.shutdown", l.Shutdown},
		{"limits.max_wait", l.MaxWait},
	} {
		if d.d <= 0 {
			k.fail(d.at, "write a duration above zero, or leave the key out for the default", "%s is zero", d.at)
		}
	}
	if l.WriteTimeout > 0 && l.WriteTimeout <= l.MaxWait {
		k.fail("limits.write_timeout", fmt.Sprintf("write more than %s, or lower limits.max_wait", l.MaxWait),
			"a client that waits for %s would be cut off after %s", l.MaxWait, l.WriteTimeout)
	}
	if l.MaxBody < 1 || l.MaxBody > 1<<30 {
		k.fail("limits.max_body", "write a size such as 10MB", "limits.max_body should lie between 1 byte and 1GB, not be %s", l.MaxBody)
	}
	if l.HeaderSize < 1<<10 || l.HeaderSize > 1<<20 {
		k.fail("limits.header_size", "write a size such as 16KB", "limits.header_size should lie between 1KB and 1MB, not be %s", l.HeaderSize)
	}
	if c.Tracking.MaxWaiters < 0 {
		k.fail("tracking.max_waiters", "write a number of requests, 0 for no waiting", "tracking.max_waiters is negative")
	}
}

func (k checker) oneOf(at, value string, known ...string) {
	if !slices.Contains(known, value) {
		k.fail(at, yamlsrc.UnknownHint(value, known), "%s cannot be %q; it is one of %s", at, value, strings.Join(known, ", "))
	}
}

// checkAddress reads host:port; the host may be left out where something listens. Port
// 0, any free port, is for listeners only.
func checkAddress(s string, listen bool) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is not an address with a port", s)
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 && !listen {
		return fmt.Errorf("the port %q is not a number up to 65535", port)
	}
	if host == "" && !listen {
		return errors.New("a host is missing")
	}
	return nil
}
