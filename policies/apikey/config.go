package apikey

import (
	"encoding/hex"
	"fmt"

	"headgate/config/yamlsrc"
	"headgate/policies"
)

// Config is the YAML of an authenticator for API keys.
type Config struct {
	Header string `yaml:"header" jsonschema_description:"Request header that carries the key." jsonschema:"default=X-API-Key"`
	Keys   []Key  `yaml:"keys,required" jsonschema_description:"The keys that are accepted."`
}

// Key is one accepted key.
type Key struct {
	ID     string   `yaml:"id,required" jsonschema_description:"Who holds the key; appears in logs, unique in this list."`
	SHA256 string   `yaml:"sha256,required" jsonschema_description:"SHA-256 of the key as 64 hex digits: printf %s KEY | sha256sum" jsonschema:"pattern=^[0-9a-fA-F]{64}$"`
	Tenant string   `yaml:"tenant" jsonschema_description:"Tenant that the key's dispatches belong to."`
	Scopes []string `yaml:"scopes" jsonschema_description:"Scopes that the key has."`

	node *yamlsrc.Node
}

// DecodeYAML implements yamlsrc.Decoder. It keeps the node, so that a later check can
// point at it.
func (k *Key) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	type plain Key
	n.Decode((*plain)(k), report)
	k.node = n
}

// New builds the authenticator; nil when something is wrong, which is in b.Report.
func New(b policies.Build) *Authenticator {
	before := b.Report.Len()
	cfg := Config{Header: "X-API-Key"}
	b.Node.Decode(&cfg, b.Report)
	a := &Authenticator{name: b.Name, header: policies.CanonicalHeader(cfg.Header)}
	if !policies.IsHeaderName(cfg.Header) {
		at := b.Node.Get("header")
		b.Report.Addf(at.Pos, at.Path, "write a name such as X-API-Key", "%q is not the name of a header", cfg.Header)
	}
	if len(cfg.Keys) == 0 && b.Report.Len() == before {
		b.Report.Addf(b.Node.Pos, b.Node.Path, "add a key: {id: …, sha256: …}", "there is no key, so nobody could pass")
	}
	ids, sums := map[string]int{}, map[[32]byte]int{}
	for i := range cfg.Keys {
		k := &cfg.Keys[i]
		if k.node.Kind != yamlsrc.Map {
			continue // already told
		}
		if k.ID == "" && k.node.Get("id") != nil {
			k.problem(b.Report, "id", "write who holds the key", "the id is empty")
		}
		if first, dup := ids[k.ID]; dup && k.ID != "" {
			k.problem(b.Report, "id", "give each key an id of its own", "the id %q is used twice, first by keys[%d]", k.ID, first)
		} else {
			ids[k.ID] = i
		}
		sum, ok := k.sum(b.Report)
		if !ok {
			continue
		}
		if first, dup := sums[sum]; dup {
			k.problem(b.Report, "sha256", "give each holder a key of its own", "keys[%d] is the same key", first)
			continue
		}
		sums[sum] = i
		a.keys = append(a.keys, key{sum: sum, principal: policies.Principal{
			Authenticator: b.Name, ID: k.ID, Tenant: k.Tenant, Scopes: k.Scopes,
		}})
	}
	if b.Report.Len() > before {
		return nil
	}
	return a
}

func (k *Key) sum(report *yamlsrc.Report) (sum [32]byte, ok bool) {
	if k.SHA256 == "" && k.node.Get("sha256") == nil {
		return sum, false // already told
	}
	raw, err := hex.DecodeString(k.SHA256)
	if err != nil || len(raw) != len(sum) {
		// What stands there may be the key itself: it is not repeated.
		k.problem(report, "sha256", "put the output of: printf %s KEY | sha256sum",
			"the key's SHA-256 should be 64 hex digits, not %d characters", len(k.SHA256))
		return sum, false
	}
	return [32]byte(raw), true
}

func (k *Key) problem(report *yamlsrc.Report, field, hint, format string, args ...any) {
	at := k.node.Get(field)
	if at == nil {
		at = k.node
	}
	report.Addf(at.Pos, at.Path, hint, "%s", fmt.Sprintf(format, args...))
}
