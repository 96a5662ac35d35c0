package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"headgate/config"
	"headgate/config/yamlsrc"
)

// certificates are those for Redis. Files that have changed are read again for the next
// connection; while they cannot be read, half written perhaps, the former ones hold.
type certificates struct {
	files config.RedisTLS
	log   *slog.Logger

	mu     sync.Mutex
	last   *tls.Config
	stamp  [3]stamp
	looked time.Time
}

// stamp tells one state of a file from another.
type stamp struct {
	changed time.Time
	size    int64
}

// lookInterval is how often the files are looked at, however many connections are made.
const lookInterval = time.Second

// check reads the files for the first time; its error tells where they are named.
func (c *certificates) check() error {
	_, err := c.config()
	if err == nil {
		return nil
	}
	var report yamlsrc.Report
	pos, path := c.files.CertPos, "redis.tls.cert"
	if errors.Is(err, errCA) {
		pos, path = c.files.CAPos, "redis.tls.ca"
	}
	report.Addf(pos, path, "name a PEM file that this process can read", "%s", err)
	return report.Err()
}

// config gives what a new connection is to use.
func (c *certificates) config() (*tls.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil && time.Since(c.looked) < lookInterval {
		return c.last, nil
	}
	c.looked = time.Now()
	// Looked at before they are read: a change in between is seen the next time.
	now := [3]stamp{stampOf(c.files.CA), stampOf(c.files.Cert), stampOf(c.files.Key)}
	if c.last != nil && now == c.stamp {
		return c.last, nil
	}
	read, err := c.read()
	switch {
	case err == nil:
		c.last, c.stamp = read, now
	case c.last == nil:
		return nil, err
	default:
		c.log.Warn("changed certificates for redis cannot be read; the former ones hold", "error", err)
	}
	return c.last, nil
}

func stampOf(file string) stamp {
	info, err := os.Stat(file)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}

var errCA = errors.New("the authorities to trust cannot be read")

func (c *certificates) read() (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.files.ServerName}
	if c.files.CA != "" {
		pem, err := os.ReadFile(c.files.CA)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errCA, err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: %s holds no certificate", errCA, c.files.CA)
		}
	}
	if c.files.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
		if err != nil {
			return nil, fmt.Errorf("the client certificate cannot be read: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}
