package target

// Reconcile asks whether a call that was made has had its effect. It goes out with the
// headers and the auth of its step.
type Reconcile struct {
	Request `yaml:",inline"`
	Expect  []int          `yaml:"expect" jsonschema_description:"Statuses that found can tell something from, such as [200, 404]. Default: any 2xx. Any other is a failed attempt."`
	Found   string         `yaml:"found,required" jsonschema:"required" jsonschema_description:"Condition on .response: true means that the earlier try had got through. The step counts as done then; otherwise its call is made."`
	Save    map[string]any `yaml:"save" jsonschema_description:"The values that save of the step gives, from the answer of this call."`
}
