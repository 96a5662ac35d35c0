// Package config owns the operator's file, headgate.yaml: its types, defaults and
// checks. It opens nothing, and knows neither routes nor what its settings configure.
package config

import (
	"encoding/json"
	"time"

	"headgate/config/secret"
	"headgate/config/unit"
	"headgate/config/yamlsrc"
)

// Config is the operator's file with defaults filled in. It holds secrets by reference
// only, so that it can be printed. Keys that are tagged reload:"live" take effect with a
// reload, all others with a restart; see Changed.
type Config struct {
	Listen         string        `yaml:"listen" json:"listen" jsonschema:"default=:8080" jsonschema_description:"Address that clients reach: host:port."`
	PublicURL      string        `yaml:"public_url" json:"public_url,omitempty" jsonschema_description:"URL under which clients see this gateway, such as https://api.example.com. Default: links are relative."`
	TrustedProxies []Prefix      `yaml:"trusted_proxies" json:"trusted_proxies,omitempty" jsonschema_description:"Networks (CIDR) of proxies whose forwarding headers are believed."`
	Admin          Admin         `yaml:"admin" json:"admin" jsonschema_description:"The second listener: health, metrics, dashboard, operations."`
	Redis          Redis         `yaml:"redis" json:"redis" jsonschema_description:"Where dispatches and queues are kept."`
	DataDir        string        `yaml:"data_dir" json:"data_dir" jsonschema:"default=data" jsonschema_description:"Folder for what this process keeps on disk; relative to this file."`
	Routes         []string      `yaml:"routes" reload:"live" json:"routes" jsonschema_description:"Route files as globs, relative to this file. Files whose names end in _test, such as orders_test.yaml, are left out: they are for headgate test. Default: routes/*.yaml."`
	RoutesMayRead  secret.Access `yaml:"routes_may_read" reload:"live" json:"routes_may_read" jsonschema_description:"Which of the operator's variables and files the authors of routes may name. Default: none."`
	Tracking       Tracking      `yaml:"tracking" json:"tracking" jsonschema_description:"The tracking API and how long it remembers."`
	Callbacks      Callbacks     `yaml:"callbacks" json:"callbacks" jsonschema_description:"How backends may call back, where a target tells them to with .callback_url: by POST to public_url and /callbacks/TOKEN."`
	DeadLetters    DeadLetters   `yaml:"dead_letters" json:"dead_letters" jsonschema_description:"Deliveries that gave up, and how long they can be replayed."`
	Egress         Egress        `yaml:"egress" json:"egress" jsonschema_description:"Where calls to hosts that a backend's answer names may go, besides public addresses."`
	Limits         Limits        `yaml:"limits" json:"limits" jsonschema_description:"Bounds of the client listener."`
	Telemetry      Telemetry     `yaml:"telemetry" json:"telemetry" jsonschema_description:"What the process tells about itself."`
	Watch          bool          `yaml:"watch" reload:"live" json:"watch" jsonschema:"default=true" jsonschema_description:"Read the files again when one of them has changed: this one, route files and schemas, also when a ConfigMap is updated. A file that is wrong changes nothing and is told once. With false, only SIGHUP and headgate reload do."`
	Strict         bool          `yaml:"strict" json:"strict" jsonschema_description:"Refuse to start where otherwise there would be a warning, such as Redis without persistence."`

	// File and Dir are the file as it was named and its folder, made absolute.
	File string `yaml:"-" json:"-"`
	Dir  string `yaml:"-" json:"-"`
	// RouteFiles are the files that Routes stands for: sorted, each once, named relative
	// to the working directory when File was, so that problems stay short.
	RouteFiles []string `yaml:"-" json:"route_files,omitempty"`
}

// Admin is the second listener.
type Admin struct {
	Listen string     `yaml:"listen" json:"listen" jsonschema:"default=127.0.0.1:9090" jsonschema_description:"Address of the admin listener; off for none."`
	Token  secret.Ref `yaml:"token" reload:"live" json:"token" jsonschema_description:"Token that the admin listener asks for."`
	// TokenPos is where Token stands: whether it can be read is known only when it is.
	TokenPos yamlsrc.Pos `yaml:"-" json:"-"`
	// Asynqmon is Read or Write.
	Asynqmon   string `yaml:"asynqmon" json:"asynqmon" jsonschema:"enum=read,enum=write,default=read" jsonschema_description:"What may be done in the dashboard of the queues: look (read), or pause queues and run, archive and delete tasks as well (write)."`
	Prometheus string `yaml:"prometheus" json:"prometheus,omitempty" jsonschema_description:"URL of the Prometheus that scrapes the admin listeners, such as http://prometheus:9090, for the charts of the dashboard. Default: no charts."`
}

// What may be done in the dashboard of the queues.
const (
	Read  = "read"
	Write = "write"
)

// Off is what `admin: {listen: off}` is written as.
const Off = "off"

// Enabled reports whether there is an admin listener.
func (a Admin) Enabled() bool { return a.Listen != "" && a.Listen != Off }

// Redis says where the store is and how to reach it.
type Redis struct {
	URL          RedisURL   `yaml:"url" json:"url" jsonschema_description:"redis://host:port/db, rediss://…, unix:///path, redis+sentinel://host:port,host:port/master, redis+cluster://host:port,host:port, or embedded. No password."`
	Username     string     `yaml:"username" json:"username,omitempty" jsonschema_description:"User of Redis's access control list."`
	Password     secret.Ref `yaml:"password" json:"password,omitzero" jsonschema_description:"Password of Redis."`
	DataDir      string     `yaml:"data_dir" json:"data_dir" jsonschema_description:"Folder of the embedded Redis; relative to this file. Default: redis below data_dir."`
	PoolSize     int        `yaml:"pool_size" json:"pool_size,omitempty" jsonschema:"minimum=0" jsonschema_description:"Connections at most, without subscriptions: a worker has one for each target besides. Default: what the concurrency of the targets needs, at least 64 and at most 1000; 64 in a gateway."`
	AutoPipeline bool       `yaml:"autopipeline" json:"autopipeline" jsonschema:"default=true" jsonschema_description:"Let concurrent requests share round trips. Has no effect on a cluster."`
	MaxMemory    unit.Fill  `yaml:"max_memory" json:"max_memory" jsonschema_description:"How full Redis may be before requests are answered 503, so that what is queued has room to be delivered: a part of its maxmemory, such as 90%, or a size, such as 6GB. A part has no effect on a Redis without maxmemory. Default 90%."`
	Ack          RedisAck   `yaml:"ack" json:"ack" jsonschema_description:"Acknowledge a request only when replicas of Redis have it, too."`
	TLS          RedisTLS   `yaml:"tls" json:"tls" jsonschema_description:"Certificates for rediss:// and the like; files that change are read again."`
}

// RedisAck says what it takes until a request is acknowledged.
type RedisAck struct {
	Replicas int           `yaml:"replicas" json:"replicas" jsonschema:"default=0,minimum=0" jsonschema_description:"Replicas that must have a request before it is answered 202; with too few the answer is 503, outcome-unknown."`
	Timeout  unit.Duration `yaml:"timeout" json:"timeout" jsonschema_description:"How long they are waited for, at most 2s. Default 50ms."`
}

// MaxAckTimeout bounds redis.ack.timeout: the connection's own time-outs must be longer.
const MaxAckTimeout = unit.Duration(2 * time.Second)

// RedisTLS names PEM files; the paths are relative to the operator's file and absolute
// after Load.
type RedisTLS struct {
	CA   string `yaml:"ca" json:"ca,omitempty" jsonschema_description:"PEM file with the authorities to trust. Default: those of the system."`
	Cert string `yaml:"cert" json:"cert,omitempty" jsonschema_description:"PEM file with the client certificate."`
	Key  string `yaml:"key" json:"key,omitempty" jsonschema_description:"PEM file with its private key."`
	// ServerName serves all servers, whatever their addresses are.
	ServerName string `yaml:"server_name" json:"server_name,omitempty" jsonschema_description:"Name that the servers' certificates are for. Default: the host of the address."`

	// CAPos and CertPos are where the files are named: whether they can be read is known
	// only when they are.
	CAPos   yamlsrc.Pos `yaml:"-" json:"-"`
	CertPos yamlsrc.Pos `yaml:"-" json:"-"`
}

func (t RedisTLS) isSet() bool {
	return t.CA != "" || t.Cert != "" || t.Key != "" || t.ServerName != ""
}

// Tracking configures GET /tracking.
type Tracking struct {
	Retention  unit.Duration `yaml:"retention" json:"retention" jsonschema_description:"How long a dispatch can be looked up after its end. Default 72h."`
	Auth       []string      `yaml:"auth" reload:"live" json:"auth,omitempty" jsonschema_description:"Authenticators of the route files that may ask. Default: all."`
	RateLimit  *yamlsrc.Node `yaml:"rate_limit" json:"rate_limit,omitempty" jsonschema_description:"Limits of the tracking API: a list of {limit, per, by}, as in a route."` // compiled by the rate_limit policy
	MaxWaiters int           `yaml:"max_waiters" json:"max_waiters" jsonschema:"default=1000,minimum=0" jsonschema_description:"Requests that may wait for a final state at a time."`

	// AuthPos is where Auth stands: its names can be checked only with the route files.
	AuthPos yamlsrc.Pos `yaml:"-" json:"-"`
}

// Callbacks configures POST /callbacks.
type Callbacks struct {
	RateLimit *yamlsrc.Node `yaml:"rate_limit" json:"rate_limit,omitempty" jsonschema_description:"Limits of callbacks: a list of {limit, per, by}, as in a route. Their principal is the job that is called back for. Default: 1000 each minute by ip, 60 each minute by principal."` // compiled by the rate_limit policy
}

// DeadLetters configures what is kept of deliveries that gave up.
type DeadLetters struct {
	Retention unit.Duration `yaml:"retention" json:"retention" jsonschema_description:"How long a dead letter is kept with its payload; its dispatch can be looked up as long. Default 30d."`
}

// Egress opens networks to URLs that come from answers. The targets' own hosts need
// no opening: whoever writes a target chooses them.
type Egress struct {
	MayReach []Prefix `yaml:"may_reach" json:"may_reach,omitempty" jsonschema_description:"Networks (CIDR) that are not public and yet may be reached by URLs from answers, for hosts of a target's allow_hosts: a storage of one's own, or 64:ff9b::/96 behind a NAT64. Default: none."`
}

// Limits bound the client listener.
type Limits struct {
	MaxBody      unit.Size     `yaml:"max_body" json:"max_body" jsonschema_description:"Largest body that any route may allow. Default 10MB."`
	ReadTimeout  unit.Duration `yaml:"read_timeout" json:"read_timeout" jsonschema_description:"How long a client may take to send its request. Default 10s."`
	WriteTimeout unit.Duration `yaml:"write_timeout" json:"write_timeout" jsonschema_description:"How long answering may take, waits included; longer than max_wait. Default 60s."`
	IdleTimeout  unit.Duration `yaml:"idle_timeout" json:"idle_timeout" jsonschema_description:"How long an idle connection is kept. Default 60s."`
	HeaderSize   unit.Size     `yaml:"header_size" json:"header_size" jsonschema_description:"Largest header of a request. Default 16KB."`
	Shutdown     unit.Duration `yaml:"shutdown" json:"shutdown" jsonschema_description:"How long to wait for work in progress when stopping. Default 25s."`
	Drain        unit.Duration `yaml:"drain" json:"drain" jsonschema_description:"How long requests are still taken after SIGTERM, while /readyz says 503 already and each answer ends its connection, so that load balancers send the next one elsewhere: longer than they take to notice. Before limits.shutdown, and on top of it. A second signal ends it. With 0s the process stops at once, for one that nothing balances load to. Default 0s."`
	MaxWait      unit.Duration `yaml:"max_wait" json:"max_wait" jsonschema_description:"Longest wait that a client may ask for with Prefer: wait. Default 30s."`
}

// Telemetry is what the process tells about itself.
type Telemetry struct {
	Log Log `yaml:"log" json:"log" jsonschema_description:"The log on standard error. Lines below a warning that follow others closely are written together, 0.1 s later at most."`
}

// Log configures the log.
type Log struct {
	Level  string `yaml:"level" reload:"live" json:"level" jsonschema:"enum=debug,enum=info,enum=warn,enum=error,default=info" jsonschema_description:"Least severe level that is written."`
	Format string `yaml:"format" json:"format" jsonschema:"enum=json,enum=text,default=json" jsonschema_description:"One JSON object or one line of text an entry."`
	// AccessSample is a share from 0 to 1.
	AccessSample float64 `yaml:"access_sample" json:"access_sample" jsonschema:"default=1,minimum=0,maximum=1" jsonschema_description:"Share of requests that get a line, of those that are answered below 400; 0.01 writes about one of a hundred. Those answered 400 and above always do. Metrics count all."`
}

// Default gives the configuration of an empty file: everything but the admin token,
// which has no default.
func Default() *Config {
	return &Config{
		Listen:  ":8080",
		Admin:   Admin{Listen: "127.0.0.1:9090", Asynqmon: Read},
		Redis:   Redis{URL: RedisURL{Mode: Single, Addrs: []string{"127.0.0.1:6379"}}, AutoPipeline: true, MaxMemory: unit.Fill{Percent: 90}, Ack: RedisAck{Timeout: unit.Duration(50 * time.Millisecond)}},
		DataDir: "data",
		Routes:  []string{"routes/*.yaml"},
		Watch:   true,
		Tracking: Tracking{
			Retention:  unit.Duration(72 * time.Hour),
			MaxWaiters: 1000,
		},
		DeadLetters: DeadLetters{Retention: unit.Duration(30 * 24 * time.Hour)},
		Limits: Limits{
			MaxBody:      10 << 20,
			ReadTimeout:  unit.Duration(10 * time.Second),
			WriteTimeout: unit.Duration(60 * time.Second),
			IdleTimeout:  unit.Duration(60 * time.Second),
			HeaderSize:   16 << 10,
			Shutdown:     unit.Duration(25 * time.Second),
			MaxWait:      unit.Duration(30 * time.Second),
		},
		Telemetry: Telemetry{Log: Log{Level: "info", Format: "json", AccessSample: 1}},
	}
}

// String gives the configuration as indented JSON. Secrets appear as references.
func (c *Config) String() string {
	out, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return "configuration: " + err.Error()
	}
	return string(out)
}
