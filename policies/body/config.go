package body

import (
	"mime"
	"path"
	"strings"

	"headgate/config/unit"
	"headgate/config/yamlsrc"
	"headgate/policies"
	"headgate/policies/schema"
)

// Config is the YAML of a route's `body`.
type Config struct {
	Max           unit.Size        `yaml:"max" jsonschema_description:"Largest body, such as 256KB." jsonschema:"default=1MB"`
	Depth         int              `yaml:"depth" jsonschema_description:"How deep objects and lists may be nested." jsonschema:"default=32,minimum=1,maximum=512"`
	DuplicateKeys Duplicates       `yaml:"duplicate_keys" jsonschema_description:"What happens to a field that is there twice: refuse answers 400, allow takes the last." jsonschema:"enum=refuse,enum=allow,default=refuse"`
	ContentType   policies.Strings `yaml:"content_type" jsonschema_description:"Accepted media types; a * stands for any part. The body is read as JSON whatever its type. Default: application/json and application/*+json." jsonschema:"oneof_type=string;array"`
	Schema        *yamlsrc.Node    `yaml:"schema" jsonschema_description:"JSON Schema (2020-12) of the body: the path of a JSON or YAML file relative to this one, or the schema itself." jsonschema:"oneof_type=string;object"`
}

// Defaults of Config.
const (
	DefaultMax   = unit.Size(1 << 20)
	DefaultDepth = 32

	// maxDepth keeps the recursion of the decoder and of what reads its result small.
	maxDepth = 512
)

// Duplicates is what happens to a field that is there twice.
type Duplicates string

// The settings of Duplicates.
const (
	DuplicatesRefuse Duplicates = "refuse"
	DuplicatesAllow  Duplicates = "allow"
)

// DecodeYAML implements yamlsrc.Decoder.
func (d *Duplicates) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	if v := Duplicates(n.Text); n.Kind == yamlsrc.Scalar && (v == DuplicatesRefuse || v == DuplicatesAllow) {
		*d = v
		return
	}
	n.Wrong("refuse or allow", report)
}

// New builds the policy; nil when something is wrong, which is in b.Report. An empty
// node gives the defaults.
func New(b policies.Build) *Policy {
	before := b.Report.Len()
	node := b.Node
	if node == nil {
		node = &yamlsrc.Node{}
	}
	cfg := Config{
		Max: DefaultMax, Depth: DefaultDepth, DuplicateKeys: DuplicatesRefuse,
		ContentType: policies.Strings{"application/json", "application/*+json"},
	}
	node.Decode(&cfg, b.Report)
	problem := func(key, hint, format string, args ...any) {
		at := node.Get(key)
		b.Report.Addf(at.Pos, at.Path, hint, format, args...)
	}
	if n := node.Get("max"); n != nil && cfg.Max < 1 {
		problem("max", "write a size such as 256KB", "a body of at most %s can hold nothing", cfg.Max)
	}
	if cfg.Depth < 1 || cfg.Depth > maxDepth {
		problem("depth", "leave it out for 32", "the depth should be from 1 to %d, not %d", maxDepth, cfg.Depth)
	}
	if len(cfg.ContentType) == 0 && node.Get("content_type") != nil {
		problem("content_type", "write [application/json]", "no media type is accepted")
	}
	for i, pattern := range cfg.ContentType {
		cfg.ContentType[i] = strings.ToLower(pattern)
		if !isMediaRange(pattern) {
			problem("content_type", "write a type such as application/json, without parameters", "%q is not a media type", pattern)
		}
	}
	p := &Policy{cfg: cfg}
	if cfg.Schema != nil {
		p.schema = schema.Compile(cfg.Schema, b.Dir, b.Report)
	}
	if b.Report.Len() > before {
		return nil
	}
	return p
}

func isMediaRange(s string) bool {
	if _, err := path.Match(s, ""); err != nil || strings.ContainsAny(s, `;[]\?`) {
		return false
	}
	kind, params, err := mime.ParseMediaType(strings.ReplaceAll(s, "*", "x"))
	return err == nil && len(params) == 0 && strings.Count(kind, "/") == 1
}
