package gateway

import (
	"regexp"
	"strings"
)

// traceParent is the traceparent header of W3C Trace Context, level 1, section 3.2.2.
var traceParent = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// trace gives the caller's traceparent; empty when there is none or it is not valid,
// which the standard wants ignored.
func (c *call) trace() string {
	values := c.req.Header["Traceparent"]
	if len(values) != 1 || !traceParent.MatchString(values[0]) {
		return ""
	}
	part := strings.Split(values[0], "-")
	if part[0] == "ff" || strings.Trim(part[1], "0") == "" || strings.Trim(part[2], "0") == "" {
		return ""
	}
	return values[0]
}

// traceID is the trace's part of it, for the log.
func (c *call) traceID() string {
	if t := c.trace(); t != "" {
		return strings.Split(t, "-")[1]
	}
	return ""
}
