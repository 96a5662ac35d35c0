package target

import (
	"net/http"
	"net/url"
	"strings"

	"headgate/config/yamlsrc"
)

// secretNames are names under which backends take secrets, in lower case and without - and _.
// Expressions may stand under them: what they give is data, or what an answer gave.
var secretNames = map[string]bool{
	"apikey": true, "apitoken": true, "apisecret": true, "appsecret": true, "accesskey": true, "accesstoken": true, "authkey": true,
	"authtoken": true, "bearertoken": true, "clientsecret": true, "integrationkey": true, "passphrase": true, "passwd": true,
	"password": true, "privatekey": true, "refreshtoken": true, "routingkey": true, "secret": true, "secretkey": true,
	"sharedsecret": true, "signingkey": true, "token": true, "webhooksecret": true,
}

// leastSecret is how short a text under such a name may be and still be taken for a secret.
const leastSecret = 8

func namesSecret(name string) bool {
	name = strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))
	return secretNames[name] || secretNames[strings.TrimPrefix(name, "x")]
}

// looksSecret reports whether a literal may be one: long enough, in one word, and no
// placeholder of the backend's own such as {{Contact.Field(C_Token)}}.
func looksSecret(text string) bool {
	return len(text) >= leastSecret && !strings.ContainsAny(text, " \t\n") && !strings.Contains(text, "{{")
}

// secretsInClear reports secrets that are sent as they stand in the file. The plan, which is
// kept in the store, would have them, too.
func (c *compiler) secretsInClear() {
	if !c.kept {
		c.callInClear(c.target)
	}
}

// callInClear looks at a target, or at a call of it.
func (c *compiler) callInClear(n *yamlsrc.Node) {
	for _, e := range n.Entries {
		switch e.Key {
		case "auth": // looks at itself
		case "reconcile":
			c.callInClear(e.Value)
		case "steps", "setup", "finally":
			for _, item := range e.Value.Items {
				c.callInClear(item)
			}
		default:
			c.inClear(e)
		}
	}
}

func (c *compiler) inClear(e yamlsrc.Entry) {
	switch {
	case methods[e.Key] != "" && e.Value.Kind == yamlsrc.Scalar:
		c.queryInClear(e.Value)
	case secretHeaders[http.CanonicalHeaderKey(e.Key)]: // told with the headers
	case namesSecret(e.Key) && e.Value.Kind == yamlsrc.Scalar && e.Value.IsString() && looksSecret(e.Value.Text):
		c.clear(e.Value, e.Key)
	default:
		c.inClearBelow(e.Value)
	}
}

func (c *compiler) inClearBelow(n *yamlsrc.Node) {
	if name, raw := n.Get("name"), n.Get("raw"); name != nil && raw != nil && namesSecret(name.Text) && looksSecret(raw.Text) { // a part
		c.clear(raw, name.Text)
	}
	for _, e := range n.Entries {
		c.inClear(e)
	}
	for _, item := range n.Items {
		c.inClearBelow(item)
	}
}

// queryInClear looks at the parameters of a path that no expression gives.
func (c *compiler) queryInClear(n *yamlsrc.Node) {
	_, query, _ := strings.Cut(n.Text, "?")
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err == nil && namesSecret(plain) && looksSecret(value) {
			c.clear(n, plain)
		}
	}
}

func (c *compiler) clear(n *yamlsrc.Node, name string) {
	c.report.AddSecretf(n, "write it into auth, such as {header: {name: …, value: {env: NAME}}}, query or body; if it is no secret, make it an expression: ${{ \"…\" }}",
		"a secret must not stand in the file in clear: %s", name)
}
