package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"headgate/chaos/world"
)

// stage is where contenders are measured: it has what all of them share.
type stage struct {
	ctx      context.Context //nolint:containedctx // of one benchmark
	dir      string
	self     string // this program
	binaries world.Binaries
	key      *rsa.PrivateKey // the issuer's
	pem      []byte          // its public key
	token    string
	sink     string // URL of the backends
	profiles string // folder for profiles; empty: none are taken
	cleanups []func()
}

func newStage(ctx context.Context, o options, binaries world.Binaries) (*stage, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &stage{ctx: ctx, dir: o.dir, self: self, binaries: binaries, profiles: o.profiles}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, err
	}
	if err := s.issue(); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	bare, err := s.world("sink", world.Spec{Bare: true, NoRedis: true})
	if err != nil {
		return nil, err
	}
	s.sink = "http://127.0.0.1:" + port
	_, err = bare.Run(ctx, "sink", "sink is up", self, "sink", port)
	return s, err
}

func (s *stage) close() {
	for i := len(s.cleanups) - 1; i >= 0; i-- {
		s.cleanups[i]()
	}
}

// world starts processes in a folder of their own.
func (s *stage) world(name string, spec world.Spec) (*world.World, error) {
	dir := filepath.Join(s.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	w, err := world.New(s.ctx, dir, spec, s.binaries)
	if err == nil {
		s.cleanups = append(s.cleanups, w.Close)
	}
	return w, err
}

// issue makes the issuer's key and one token.
func (s *stage) issue() (err error) {
	if s.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	if err != nil {
		return err
	}
	s.pem = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	s.token, err = s.tokenOf("acme")
	return err
}

// tokenOf makes the token of a tenant.
func (s *stage) tokenOf(tenant string) (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": "https://id.example.com", "aud": "headgate", "sub": "bench", "org": tenant,
		"scope": "profiles:write", "exp": time.Now().Add(24 * time.Hour).Unix(),
	}).SignedString(s.key)
}

// benchAuth is who may: the bearer of a token that the issuer has signed.
const benchAuth = `
auth:
  bench:
    jwt: {issuer: https://id.example.com, audience: headgate, public_key: issuer.pem, algorithms: [RS256], tenant: "${{ .claims.org }}"}
`

// benchTargets are three, with as many slots together as naive has.
const benchTargets = `
targets:
  crm: {url: "${BACKENDS_URL}", post: "/crm/${{ .params.id }}", json: "${{ .payload }}", limits: {concurrency: 22}}
  newsletter: {url: "${BACKENDS_URL}", post: "/newsletter/${{ .params.id }}", json: "${{ .payload }}", limits: {concurrency: 21}}
  analytics: {url: "${BACKENDS_URL}", post: "/analytics/${{ .params.id }}", json: "${{ .payload }}", limits: {concurrency: 21}}
`

// benchRoute has a limit for each principal and a mapping for each target.
const benchRoute = `
routes:
- name: profile-changed
  match: POST /profiles/:id
  auth: {any: [bench], scopes: ["profiles:write"]}
  rate_limit: [{limit: 1000000000, per: 1h, by: principal}]
  body: {max: 256KB}
  idempotency: optional
  targets:
    crm: {transform: {id: "${{ .params.id }}", email: "${{ .body.email | ascii_downcase }}", name: "${{ .body.first + \" \" + .body.last }}", city: "${{ .body.address.city }}"}}
    newsletter: {when: "${{ .body.consent == true }}", transform: {email: "${{ .body.email }}", first_name: "${{ .body.first }}"}}
    analytics: {optional: true, transform: {user: "${{ .params.id }}", plan: "${{ .body.plan }}", balance: "${{ .body.balance }}"}}
`

// benchRoutes is what Headgate does in the measurements.
const benchRoutes = benchAuth + benchTargets + benchRoute

// benchBody is 250 bytes.
const benchBody = `{"email":"Ada.Lovelace@Example.com","first":"Ada","last":"Lovelace","consent":true,"plan":"gold","balance":1024.50,"address":{"street":"12 St James's Square","city":"London","zip":"SW1Y 4JH","country":"GB"},"tags":["math","engines"],"lang":"en-GB" }  `

// operatorLines lets nothing but the promise bound the measurements.
const operatorLines = `tracking: {retention: 1h}
`

// contender is one system that is measured.
type contender struct {
	name  string
	world *world.World
	addr  string // host:port
	pid   int    // of the process that accepts
}

// redisArgs keep Redis from rewriting its append-only file while something is measured:
// when that happens is chance.
var redisArgs = []string{"--auto-aof-rewrite-percentage", "0"}

// headgate starts Headgate, with workers in the same process when it is to deliver.
func (s *stage) headgate(name string, deliver bool) (*contender, error) {
	return s.deploy(name, world.Spec{Whole: deliver, NoWorker: !deliver})
}

// deploy starts Headgate as spec says, on the conditions of all measurements.
func (s *stage) deploy(name string, spec world.Spec) (*contender, error) {
	folder := filepath.Join(s.dir, name, "routes")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(folder, "issuer.pem"), s.pem, 0o600); err != nil {
		return nil, err
	}
	if spec.Routes == "" {
		spec.Routes = benchRoutes
	}
	if spec.BackendsURL == "" {
		spec.BackendsURL = s.sink
	}
	if spec.RedisArgs == nil {
		spec.RedisArgs = redisArgs
	}
	spec.Operator = operatorLines
	w, err := s.world(name, spec)
	if err != nil {
		return nil, err
	}
	g := w.Gateways[0]
	return &contender{name: name, world: w, addr: strings.TrimPrefix(g.URL, "http://"), pid: g.PID()}, nil
}

// baseline starts one of the baselines.
func (s *stage) baseline(kind, name string, deliver bool) (*contender, error) {
	w, err := s.world(name, world.Spec{Bare: true, RedisArgs: redisArgs})
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	args := []string{kind, port, w.Redis.Addr(), s.sink}
	if deliver {
		args = append(args, "deliver")
	}
	p, err := w.Run(s.ctx, kind, "baseline is up", s.self, args...)
	if err != nil {
		return nil, err
	}
	return &contender{name: name, world: w, addr: "127.0.0.1:" + port, pid: p.PID()}, nil
}

// flood sends a load to a contender from a process of its own. What f does not say is
// that of the usual request.
func (s *stage) flood(c *contender, f flooding) (out flooded, err error) {
	f.Addr = c.addr
	f.Token, f.Path, f.Body = cmp.Or(f.Token, s.token), cmp.Or(f.Path, "/profiles/"), cmp.Or(f.Body, benchBody)
	f.Prefix = cmp.Or(f.Prefix, strconv.FormatInt(time.Now().UnixNano(), 36)+"-")
	f.Conns, f.Want = cmp.Or(f.Conns, 64), cmp.Or(f.Want, http.StatusAccepted)
	in, err := json.Marshal(f)
	if err != nil {
		return out, err
	}
	cmd := exec.CommandContext(s.ctx, s.self, "load") //nolint:gosec // this program itself
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("load on %s: %w", c.name, err)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		return out, err
	}
	if out.Failed > 0 || out.Done == 0 {
		return out, fmt.Errorf("load on %s: %d answers are not %d, such as %s", c.name, out.Failed, f.Want, out.Sample)
	}
	return out, nil
}

// empty removes everything from a contender's Redis and waits until the memory is free.
func (s *stage) empty(c *contender) error { return c.world.Redis.Client.FlushAll(s.ctx).Err() }

// usage is the processor time of a contender's process and its Redis so far.
func (c *contender) usage() (time.Duration, error) {
	parts, err := c.usageApart()
	return parts[0] + parts[1], err
}

// usageApart is the processor time of the process and of Redis.
func (c *contender) usageApart() (parts [2]time.Duration, err error) {
	if parts[0], err = cpuOf(c.pid); err != nil {
		return parts, err
	}
	parts[1], err = cpuOf(c.world.Redis.PID())
	return parts, err
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	_ = l.Close() // another process takes it
	return port, err
}
