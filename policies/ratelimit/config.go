package ratelimit

import (
	"fmt"
	"strings"
	"time"

	"headgate/config/unit"
	"headgate/config/yamlsrc"
	"headgate/policies"
)

// Config is the YAML of a route's `rate_limit`: rules that all hold at once.
type Config []Rule

// Rule is one limit.
type Rule struct {
	Limit   int64         `yaml:"limit,required" jsonschema_description:"Requests that may pass in one window." jsonschema:"minimum=1"`
	Per     unit.Duration `yaml:"per,required" jsonschema_description:"Length of the window in whole seconds, such as 1m. Windows are fixed: around an edge up to twice the limit can pass."`
	By      By            `yaml:"by,required" jsonschema_description:"What is counted apart: principal, tenant, ip, route or header:NAME. Without a principal the first two count by ip." jsonschema:"pattern=^(principal|tenant|ip|route|header:.+)$"`
	OnError OnError       `yaml:"on_error" jsonschema_description:"What happens while Redis is away: deny answers 503, allow lets pass." jsonschema:"enum=deny,enum=allow,default=deny"`
}

// By is what a rule counts apart from each other.
type By string

// The kinds of By; a header is written as header:NAME.
const (
	ByPrincipal By = "principal"
	ByTenant    By = "tenant"
	ByIP        By = "ip"
	ByRoute     By = "route"

	headerPrefix = "header:"
)

// OnError is what a rule does when hits cannot be counted.
type OnError string

// The settings of OnError; empty means deny.
const (
	OnErrorDeny  OnError = "deny"
	OnErrorAllow OnError = "allow"
)

// DecodeYAML implements yamlsrc.Decoder.
func (b *By) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	name, isHeader := strings.CutPrefix(n.Text, headerPrefix)
	switch by := By(n.Text); {
	case n.Kind == yamlsrc.Scalar && (by == ByPrincipal || by == ByTenant || by == ByIP || by == ByRoute):
		*b = by
	case n.Kind == yamlsrc.Scalar && isHeader && policies.IsHeaderName(name):
		*b = headerPrefix + By(policies.CanonicalHeader(name))
	default:
		n.Wrong("principal, tenant, ip, route or header:NAME", report)
	}
}

// DecodeYAML implements yamlsrc.Decoder.
func (o *OnError) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	if v := OnError(n.Text); n.Kind == yamlsrc.Scalar && (v == OnErrorDeny || v == OnErrorAllow) {
		*o = v
		return
	}
	n.Wrong("deny or allow", report)
}

// New builds the policy; nil when something is wrong, which is in b.Report.
func New(b policies.Build) *Policy {
	before := b.Report.Len()
	var cfg Config
	b.Node.Decode(&cfg, b.Report)
	if b.Report.Len() == before {
		cfg.check(b.Node, b.Report)
	}
	if b.Report.Len() > before {
		return nil
	}
	p := &Policy{limit: b.Deps.Limit}
	names := make([]string, 0, len(cfg))
	for _, r := range cfg {
		one := newRule(r)
		p.rules = append(p.rules, one)
		names = append(names, fmt.Sprintf("%q;q=%d;w=%d", one.name, r.Limit, int64(r.Per.D()/time.Second)))
	}
	p.declared = strings.Join(names, ", ")
	return p
}

func (cfg Config) check(n *yamlsrc.Node, report *yamlsrc.Report) {
	if len(cfg) == 0 {
		report.Addf(n.Pos, n.Path, "write [{limit: 100, per: 1m, by: principal}], or leave rate_limit out", "no limit is given")
	}
	type window struct {
		by  By
		per unit.Duration
	}
	seen := map[window]int{}
	for i, r := range cfg {
		item := n.Items[i]
		if r.Limit < 1 {
			at := item.Get("limit")
			report.Addf(at.Pos, at.Path, "write a number of requests such as 100", "a limit of %d lets nothing pass", r.Limit)
		}
		if r.Per.D() < time.Second || r.Per.D()%time.Second != 0 {
			at := item.Get("per")
			report.Addf(at.Pos, at.Path, "write whole seconds, such as 1s, 1m or 1h", "a window of %s cannot be counted", r.Per)
		}
		w := window{r.By, r.Per}
		if first, dup := seen[w]; dup {
			report.Addf(item.Pos, item.Path, "keep the lower limit", "rule %d already counts by %s per %s", first, r.By, r.Per)
			continue
		}
		seen[w] = i
	}
}
