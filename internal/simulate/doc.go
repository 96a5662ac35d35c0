// Package simulate owns stateful stand-ins for the backends a gateway delivers to: plain ones, flaky
// ones, refusing ones and the vendors of the recipes, together with the means to make each misbehave and
// to tell exactly what it was sent. It must not know the gateway: it imports nothing of this module, so
// that what it checks is the wire and not a shared misunderstanding.
//
// # Control
//
// Every backend answers these paths besides its own; they are neither counted nor recorded:
//
//	GET    /__stats             counters; ?keys=1 adds the count per idempotency key
//	DELETE /__stats             start counting afresh, forget the recorded requests
//	GET    /__requests?last=N   the newest N recorded requests, oldest first
//	POST   /__behave            {"path":"/x","method":"PUT","behave":"status=500","times":3}
//	GET    /__behave            the rules in force
//	DELETE /__behave            forget all rules and all positions in status sequences
//
// A single request can carry its own misbehaviour in the header X-Simulate or the query parameter
// __simulate; see [ParseBehaviour] for the language. The simulators trust whoever can reach them, keep
// credentials they were sent and call any callback URL: they are for tests and demonstrations only.
package simulate
