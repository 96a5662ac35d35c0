package target

import (
	"slices"

	"headgate/config/yamlsrc"
	"headgate/dispatch/fault"
)

// callbackRoot is what expressions of requests know the URL as under which the backend may call
// back. That one of them uses it is what makes a target one that is called back.
const callbackRoot = "callback_url"

// ExampleCallbackURL stands for a callback URL where nothing is sent.
const ExampleCallbackURL = "https://headgate.example/callbacks/token"

// slowGap is the time between polls of a job whose backend calls back, unless the target has
// `every`: they are for the callback that never comes.
var slowGap = PollGap{First: duration("30s"), Factor: 1.5, Max: duration("10m")}

// CalledBack reports whether some call of the target tells the backend where to call back.
func (p *Plan) CalledBack() bool { return p.callbackAt != nil }

// CallbackPos tells where it does first.
func (p *Plan) CallbackPos() yamlsrc.Pos { return *p.callbackAt }

// NeedsCallbackURL reports whether a run that begins at a step needs Input.CallbackURL.
func (p *Plan) NeedsCallbackURL(name string) bool {
	return p.CalledBack() && slices.ContainsFunc(p.from(name), func(s *step) bool { return s.uses[callbackRoot] })
}

// usesCallbacks notes that a value of n uses the callback URL.
func (c *compiler) usesCallbacks(n *yamlsrc.Node) {
	if c.plan.CalledBack() {
		return
	}
	if at := mention(n, callbackRoot, ""); at != nil {
		n = at
	}
	c.plan.callbackAt, c.callbackIn = &n.Pos, n
}

// callbacks checks that a callback has something to bring forward.
func (c *compiler) callbacks() {
	if c.plan.CalledBack() && !slices.ContainsFunc(c.plan.steps, func(s *step) bool { return s.poll != nil }) {
		c.problem(c.callbackIn, "add until to the last step, or leave it out", "a callback brings a poll forward, and no step polls")
	}
}

// noCallbackURL is a run that would have to name a URL that there is not.
func noCallbackURL() *fault.Fault {
	return &fault.Fault{Reason: fault.Internal, Retry: true, Message: "not sent: the backend is to call back, and the operator's file has no public_url"}
}
