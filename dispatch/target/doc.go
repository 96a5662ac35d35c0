// Package target owns a declared backend: it compiles the YAML of a target into a Plan
// and runs the steps of any Plan over HTTP, one step a run, telling what came of it as
// a tracking.Event.
//
// It must not know how records are kept or queued, nor the gateway, routes and
// policies: whoever calls Run applies the event and decides when the next run is.
package target
