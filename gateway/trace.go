package gateway

import "strings"

// traceForm is the traceparent header of W3C Trace Context, level 1, section 3.2.2; x
// stands for a digit.
const traceForm = "xx-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx"

// trace gives the caller's traceparent; empty when there is none or it is not valid,
// which the standard wants ignored.
func (c *call) trace() string {
	values := c.req.Header["Traceparent"]
	if len(values) != 1 || !isTrace(values[0]) {
		return ""
	}
	return values[0]
}

func isTrace(value string) bool {
	if len(value) != len(traceForm) {
		return false
	}
	for i, c := range []byte(value) {
		if hex := '0' <= c && c <= '9' || 'a' <= c && c <= 'f'; traceForm[i] == 'x' && !hex || traceForm[i] == '-' && c != '-' {
			return false
		}
	}
	version, rest, _ := strings.Cut(value, "-")
	trace, rest, _ := strings.Cut(rest, "-")
	parent, _, _ := strings.Cut(rest, "-")
	return version != "ff" && strings.Trim(trace, "0") != "" && strings.Trim(parent, "0") != ""
}

// traceID is the trace's part of it, for the log.
func (c *call) traceID() string {
	_, rest, _ := strings.Cut(c.trace(), "-")
	id, _, _ := strings.Cut(rest, "-")
	return id
}
