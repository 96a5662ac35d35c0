package target

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"headgate/config/yamlsrc"
	"headgate/dispatch/transform"
)

// Order says which deliveries are sent one after the other.
type Order struct {
	Key       string `yaml:"key,required" jsonschema:"required" jsonschema_description:"Expression that says what a delivery is about, such as ${{ .payload.id }}. It is evaluated when the request comes, on .payload (what the route made for the target), .params and .tenant; null, an empty text or a list refuses the request with 422. Each tenant has its own keys. Only a hash of it is kept."`
	OnFailure string `yaml:"on_failure" jsonschema:"enum=pass,enum=block" jsonschema_description:"What a delivery that ends as failed or unknown means for those behind it. pass: they are sent. block: they wait until somebody has replayed it with success or dropped it. Default pass."`
	Coalesce  string `yaml:"coalesce" jsonschema:"enum=latest" jsonschema_description:"latest: of those that wait for their turn, only the newest is sent; the others end as superseded and name it. For payloads that say all there is to say about their key. Default: all are sent."`
}

// words of Order.
const (
	failedPass     = "pass"
	failedBlock    = "block"
	coalesceLatest = "latest"
)

// Ordering is a compiled Order.
type Ordering struct {
	Blocks    bool // a failed one holds up those behind it
	Coalesces bool // only the newest of those that wait is sent
	key       *transform.Text
}

// String says for a person what becomes of those that wait.
func (o *Ordering) String() string {
	switch {
	case o.Coalesces:
		return "of those that wait only the newest is sent"
	case o.Blocks:
		return "one that fails holds up those behind it"
	}
	return "one that fails lets those behind it pass"
}

// Reads reports whether the key takes anything of a root of the scope.
func (o *Ordering) Reads(root string) bool { return o.key.Reads(root) }

// Key evaluates the key on what the gateway mapped and on scope's params and tenant. What it
// cannot be made of is the caller's fault.
func (o *Ordering) Key(scope transform.Scope, payload json.RawMessage) (string, error) {
	own := transform.Scope{"params": scope["params"], "tenant": scope["tenant"]}
	if o.key.Reads("payload") {
		dec := json.NewDecoder(bytes.NewReader(payload))
		dec.UseNumber()
		var value any
		if err := dec.Decode(&value); err != nil {
			return "", fmt.Errorf("order.key: the payload is not JSON: %w", err)
		}
		own["payload"] = value
	}
	key, err := o.key.Eval(own)
	switch {
	case errors.Is(err, transform.ErrEmpty), err == nil && key == "":
		return "", errors.New("order.key: it is empty")
	case err != nil:
		return "", err
	}
	return key, nil
}

// order compiles what is sent one after the other.
func (c *compiler) order() {
	n, o := c.target.Get("order"), c.spec.Order
	if n == nil {
		return
	}
	if o == nil {
		if n.Kind == yamlsrc.Null {
			c.problem(n, `write {key: "${{ .payload.id }}"}, or leave the key out`, "order is empty")
		}
		return
	}
	out := &Ordering{Blocks: o.OnFailure == failedBlock, Coalesces: o.Coalesce == coalesceLatest}
	if w := n.Get("on_failure"); w != nil && w.Kind == yamlsrc.Scalar && o.OnFailure != failedPass && o.OnFailure != failedBlock {
		c.problem(w, "write pass or block", "%q is not what a failure can do to those behind it", o.OnFailure)
	}
	if w := n.Get("coalesce"); w != nil && w.Kind == yamlsrc.Scalar && o.Coalesce != coalesceLatest {
		c.problem(w, "write latest, or leave the key out", "%q is no way to coalesce", o.Coalesce)
	}
	if out.Blocks && out.Coalesces {
		c.problem(n.Get("on_failure"), "leave one of them out", "on_failure: block keeps a failed one that coalesce: latest lets a newer one replace")
	}
	key := n.Get("key")
	if key == nil || key.Kind == yamlsrc.Null {
		return // reported as missing or as empty
	}
	// The gateway evaluates it, so that no step needs what it uses.
	c.step = newStep()
	out.key = c.text(key, []string{"payload", "params", "tenant"})
	if out.key != nil && out.key.IsLiteral() {
		c.problem(key, `write "${{ .payload.id }}", or what says what a delivery is about`, "key is the same for all deliveries")
	}
	c.plan.Order = out
}
