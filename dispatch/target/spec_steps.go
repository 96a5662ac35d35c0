package target

import "headgate/config/unit"

// Reconcile asks whether a call that was made has had its effect. It goes out with the
// headers and the auth of its step.
type Reconcile struct {
	Request `yaml:",inline"`
	Expect  []int          `yaml:"expect" jsonschema_description:"Statuses that found can tell something from, such as [200, 404]. Default: any 2xx. Any other is a failed attempt."`
	Found   string         `yaml:"found,required" jsonschema:"required" jsonschema_description:"Condition on .response: true means that the earlier try had got through. The step counts as done then; otherwise its call is made."`
	Save    map[string]any `yaml:"save" jsonschema_description:"The values that save of the step gives, from the answer of this call."`
}

// CleanUp is a call of finally.
type CleanUp struct {
	Name    string `yaml:"name,required" jsonschema:"required,pattern=^[a-z0-9_-]+$" jsonschema_description:"Name of the call, unique among those of the target."`
	When    string `yaml:"when" jsonschema_description:"Condition on what steps can send, and on .state, the end of the delivery: succeeded, warned, rejected, failed or unknown. Default: unless it is unknown, since the backend's job may still run then. A call that needs a saved value which there is none of is passed over."`
	Request `yaml:",inline"`
	Headers map[string]string `yaml:"headers" jsonschema_description:"Headers of this call; the same name replaces the target's."`
	Auth    any               `yaml:"auth" jsonschema:"oneof_type=string;object" jsonschema_description:"Instead of the target's auth; none sends no credentials."`
	Timeout unit.Duration     `yaml:"timeout" jsonschema_description:"Instead of limits.timeout."`
	Expect  []int             `yaml:"expect" jsonschema_description:"Statuses that mean the call worked, such as [204, 404]. Default: any 2xx. Any other is told in the log."`
}

// Setup is a call whose answer is kept for the calls of many deliveries. Its expressions see
// what setups before it have saved, and nothing of a delivery.
type Setup struct {
	Name    string `yaml:"name,required" jsonschema:"required,pattern=^[a-z0-9_-]+$" jsonschema_description:"Name of the call, unique among those of the target."`
	Request `yaml:",inline"`
	Headers map[string]string `yaml:"headers" jsonschema_description:"Headers of this call; the same name replaces the target's."`
	Auth    any               `yaml:"auth" jsonschema:"oneof_type=string;object" jsonschema_description:"Instead of the target's auth; none sends no credentials."`
	Timeout unit.Duration     `yaml:"timeout" jsonschema_description:"Instead of limits.timeout."`
	Expect  []int             `yaml:"expect" jsonschema_description:"Statuses that mean the call worked. Default: any 2xx."`
	Assert  string            `yaml:"assert" jsonschema_description:"Condition on an answer with an expected status: false means that the call failed all the same, and that the delivery which needed it is tried again later."`
	Save    map[string]any    `yaml:"save,required" jsonschema:"required" jsonschema_description:"Values of the answer, used as .setup.NAME. Null and empty are failures."`
	TTL     unit.Duration     `yaml:"ttl" jsonschema_description:"How long the values are used before the call is made again. Default 24h."`
}
