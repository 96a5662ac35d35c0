package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"headgate/config/yamlsrc"
)

// RedisMode is how Redis is run.
type RedisMode string

// The modes.
const (
	Single   RedisMode = "single"
	Unix     RedisMode = "unix"
	Sentinel RedisMode = "sentinel"
	Cluster  RedisMode = "cluster"
	Embedded RedisMode = "embedded" // a private child process, or an emulation
)

// RedisURL is a parsed redis.url. It never holds a password.
type RedisURL struct {
	Mode   RedisMode
	Addrs  []string // host:port; of the sentinels in mode Sentinel; the socket's path in mode Unix
	Master string   // the name that the sentinels know, in mode Sentinel only
	DB     int      // always 0 in mode Cluster
	User   string   // the user part of the URL; redis.username goes before it
	TLS    bool
}

const redisForms = "write redis://host:6379/0, rediss://…, unix:///path, redis+sentinel://host:26379/master, redis+cluster://host:6379, or embedded"

// errClearPassword marks a password in a URL: the URL must not be repeated then.
var errClearPassword = errors.New("a password must not stand in the URL in clear")

// String gives the URL again.
func (u RedisURL) String() string {
	schemes := map[RedisMode]string{Single: "redis", Unix: "unix", Sentinel: "redis+sentinel", Cluster: "redis+cluster"}
	scheme, ok := schemes[u.Mode]
	if !ok {
		return string(u.Mode)
	}
	if u.TLS {
		scheme = strings.Replace(scheme, "redis", "rediss", 1)
	}
	user := ""
	if u.User != "" {
		user = url.User(u.User).String() + "@"
	}
	out := scheme + "://" + user + strings.Join(u.Addrs, ",")
	switch u.Mode {
	case Unix:
		if u.DB > 0 {
			out += "?db=" + strconv.Itoa(u.DB)
		}
	case Sentinel:
		out += "/" + u.Master
		if u.DB > 0 {
			out += "/" + strconv.Itoa(u.DB)
		}
	case Single:
		out += "/" + strconv.Itoa(u.DB)
	case Cluster, Embedded:
	}
	return out
}

// MarshalJSON writes the URL as a string.
func (u RedisURL) MarshalJSON() ([]byte, error) { return json.Marshal(u.String()) }

// DecodeYAML implements yamlsrc.Decoder.
func (u *RedisURL) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	if n.Kind != yamlsrc.Scalar {
		n.Wrong("a Redis URL", report)
		return
	}
	parsed, err := ParseRedisURL(n.Text)
	switch {
	case errors.Is(err, errClearPassword):
		report.AddSecretf(n, "leave it out here and write password: {env: REDIS_PASSWORD} beside url", "%s", err)
	case err != nil:
		report.Addf(n.Pos, n.Path, redisForms, "url is not a Redis URL: %s", err)
	default:
		*u = parsed
	}
}

// ParseRedisURL reads a redis.url. Ports default to 6379, those of sentinels to 26379.
// Its errors never repeat the URL.
func ParseRedisURL(s string) (RedisURL, error) {
	if s == string(Embedded) {
		return RedisURL{Mode: Embedded}, nil
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return RedisURL{}, errors.New("there is no scheme")
	}
	modes := map[string]RedisMode{
		"redis": Single, "rediss": Single, "unix": Unix,
		"redis+sentinel": Sentinel, "rediss+sentinel": Sentinel, "redis+cluster": Cluster, "rediss+cluster": Cluster,
	}
	u := RedisURL{Mode: modes[scheme], TLS: strings.HasPrefix(scheme, "rediss")}
	if u.Mode == "" {
		return u, fmt.Errorf("the scheme %q is unknown", scheme)
	}
	rest, query, _ := strings.Cut(rest, "?")
	// A list of hosts is no host of net/url: its parts are taken apart here. The last @
	// ends the credentials, since a password may hold one.
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, _, password := strings.Cut(rest[:at], ":")
		if password {
			return u, errClearPassword
		}
		name, err := url.PathUnescape(user)
		if err != nil {
			return u, errors.New("the user is not percent-encoded")
		}
		u.User, rest = name, rest[at+1:]
	}
	if err := u.readQuery(query); err != nil {
		return u, err
	}
	if u.Mode == Unix {
		u.Addrs = []string{rest}
		if !strings.HasPrefix(rest, "/") {
			return u, errors.New("the socket's path must be absolute")
		}
		return u, nil
	}
	hosts, path, _ := strings.Cut(rest, "/")
	if err := u.readHosts(hosts); err != nil {
		return u, err
	}
	return u, u.readPath(path)
}

func (u *RedisURL) readQuery(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the query cannot be read")
	}
	for key, value := range values {
		switch {
		case strings.Contains(strings.ToLower(key), "pass"):
			return errClearPassword
		case key != "db":
			return fmt.Errorf("the parameter %q is unknown", key)
		}
		if err := u.readDB(value[0]); err != nil {
			return err
		}
	}
	return nil
}

func (u *RedisURL) readHosts(hosts string) error {
	port := "6379"
	if u.Mode == Sentinel {
		port = "26379"
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if host == "" {
			return errors.New("a host is missing")
		}
		bracketed := strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]")
		if bracketed || !strings.Contains(host, ":") {
			host = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
		if err := checkAddress(host, false); err != nil {
			return err
		}
		u.Addrs = append(u.Addrs, host)
	}
	if u.Mode == Single && len(u.Addrs) > 1 {
		return errors.New("several hosts need redis+sentinel:// or redis+cluster://")
	}
	return nil
}

func (u *RedisURL) readPath(path string) error {
	if u.Mode == Sentinel {
		u.Master, path, _ = strings.Cut(path, "/")
		if u.Master == "" {
			return errors.New("the name of the master is missing behind the hosts")
		}
	}
	if path == "" {
		return nil
	}
	return u.readDB(path)
}

func (u *RedisURL) readDB(text string) error {
	db, err := strconv.Atoi(text)
	if err != nil || db < 0 {
		return errors.New("the database is not a number")
	}
	if u.Mode == Cluster && db != 0 {
		return errors.New("a cluster has no databases")
	}
	u.DB = db
	return nil
}
