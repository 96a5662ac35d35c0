// Package failpoint owns the places at which a test can end the process, as a power cut
// would, between two writes that belong together. In a binary that is built without the
// tag failpoint every call is empty, and neither the names nor the code are in it.
//
// With the tag, HEADGATE_FAILPOINT arms one place: "worker.applied:12" kills the process
// with SIGKILL when it comes there for the twelfth time.
package failpoint
