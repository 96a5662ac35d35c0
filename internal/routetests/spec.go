// Package routetests owns tests that people write for their own route files: it reads
// them, runs each through the gateway's mapping and the engine of the workers against
// backends that follow a script, in fake time, and says where what happened is not what
// was written. It must not know the command line, and it never touches a network.
package routetests

import (
	"github.com/invopop/jsonschema"

	"headgate/config/editor"
	"headgate/config/unit"
	"headgate/config/yamlsrc"
)

// File is a file of tests as a person writes it.
type File struct {
	Env map[string]string `yaml:"env" jsonschema_description:"Values for the ${NAME} of headgate.yaml and the route files, before those of the environment."`
	// Secrets are for those whose form is checked.
	Secrets map[string]string `yaml:"secrets" jsonschema_description:"Values of secrets by the name of their variable or file, where secret:NAME will not do, such as a key in base64. They are no real ones."`
	Tests   []Test            `yaml:"tests,required" jsonschema:"required" jsonschema_description:"What requests must become."`

	name string
}

// Test says what one request must become.
type Test struct {
	Name    string            `yaml:"name,required" jsonschema:"required" jsonschema_description:"What the test shows, unique in the file."`
	Request Request           `yaml:"request,required" jsonschema:"required" jsonschema_description:"What a client sends. Authentication and rate limits are left out."`
	Targets map[string]Target `yaml:"targets" jsonschema_description:"For each target that is looked at, its calls and its outcome. The request must go to it; targets that are not named are not run."`
	Skipped []string          `yaml:"skipped" jsonschema_description:"Targets of the route that the request must not go to: their when is false."`
	Refused int               `yaml:"refused" jsonschema:"minimum=400,maximum=599" jsonschema_description:"Instead of targets and skipped: the status with which the gateway refuses the request, such as 422."`

	node *yamlsrc.Node
}

// Request is what a client sends, and who it is.
type Request struct {
	Method  string            `yaml:"method,required" jsonschema:"required" jsonschema_description:"Method, such as POST."`
	Path    string            `yaml:"path,required" jsonschema:"required" jsonschema_description:"Path, such as /profiles/42; with ? its query, too."`
	Headers map[string]string `yaml:"headers" jsonschema_description:"Headers. A body without Content-Type is application/json."`
	Body    *yamlsrc.Node     `yaml:"body" jsonschema_description:"Body, as the JSON value that it is. Without it the request has none."`
	Claims  map[string]any    `yaml:"claims" jsonschema_description:"Claims of the caller's token, for .claims."`
	Tenant  string            `yaml:"tenant" jsonschema_description:"Tenant of the caller. Expressions see it behind the name of the route's first authenticator: mobile/acme. Default: example."`
}

// Target says what a target must be sent and how its delivery ends.
type Target struct {
	Calls    []Call          `yaml:"calls" jsonschema_description:"All calls that must be made, in their order, and what the backend answers. Any other call fails the test."`
	Records  []*yamlsrc.Node `yaml:"records" jsonschema_description:"Of a target with batch: the payloads of the batch, instead of that of the request alone."`
	States   []string        `yaml:"states" jsonschema_description:"State of the delivery after each run, in order; of a target with batch, that of the batch."`
	Outcome  *Outcome        `yaml:"outcome" jsonschema_description:"How the delivery ends; of a target with batch, how each record ends."`
	Outcomes []Outcome       `yaml:"outcomes" jsonschema_description:"Of a target with batch, instead of outcome: how each record ends, in their order."`
	Within   *unit.Duration  `yaml:"within" jsonschema_description:"How long after the request it has ended, at the latest. Calls take no time, and jitter is always half of what it may be."`
}

// Call is a call that must be made, and its answer.
type Call struct {
	Expect Expect  `yaml:"expect" jsonschema_description:"What must be sent. Only what is written is compared."`
	Answer *Answer `yaml:"answer,required" jsonschema:"required" jsonschema_description:"What the backend answers: a status, {timeout: true} or {refused: true}."`
	Repeat bool    `yaml:"repeat" jsonschema_description:"On the last call: it is made again and again, once at least, and answered in the same way each time."`
}

// Expect is what a call must be like.
type Expect struct {
	Method  string                   `yaml:"method" jsonschema_description:"Method, such as PUT."`
	URL     string                   `yaml:"url" jsonschema_description:"Whole URL, as it is sent."`
	Path    string                   `yaml:"path" jsonschema_description:"Path of the URL, as it is sent; with ? its query, too."`
	Headers map[string]*yamlsrc.Node `yaml:"headers" jsonschema_description:"Headers with their values; null says that a header is not sent. A secret is sent as secret:NAME, by the name of its variable or file."`
	JSON    *yamlsrc.Node            `yaml:"json" jsonschema_description:"Whole body as JSON. Numbers are compared by their digits: 1.10 is not 1.1."`
	Body    *string                  `yaml:"body" jsonschema_description:"Whole body as text."`
}

// Answer is what a backend answers.
type Answer struct {
	Status  int               `yaml:"status" jsonschema:"minimum=200,maximum=599" jsonschema_description:"HTTP status."`
	Headers map[string]string `yaml:"headers" jsonschema_description:"Headers of the answer."`
	JSON    *yamlsrc.Node     `yaml:"json" jsonschema_description:"Body as JSON."`
	Body    string            `yaml:"body" jsonschema_description:"Body as text."`
	Base64  string            `yaml:"base64" jsonschema_description:"Body as Base64: of an archive, say."`
	Timeout bool              `yaml:"timeout" jsonschema_description:"There is no answer in time."`
	Refused bool              `yaml:"refused" jsonschema_description:"The connection is refused."`
}

// Outcome is how a delivery ends.
type Outcome struct {
	State   string        `yaml:"state,required" jsonschema:"required" jsonschema_description:"Final state: succeeded, warned, rejected, failed or unknown."`
	Reason  *string       `yaml:"reason" jsonschema_description:"Reason, one of docs/reference/reasons.md; empty says that there is none."`
	Message *string       `yaml:"message" jsonschema_description:"Text that the message holds; empty says that there is none."`
	Result  *yamlsrc.Node `yaml:"result" jsonschema_description:"Whole result of the target."`
	JobID   *string       `yaml:"job_id" jsonschema_description:"The backend's job ID."`
}

// Schema gives the JSON Schema of a file of tests, for editors.
func Schema() ([]byte, error) {
	defs := jsonschema.Definitions{}
	schema := editor.Schema(&File{}, defs)
	schema.Definitions = defs
	schema.Title = "Headgate test file"
	return editor.Encode(schema)
}
