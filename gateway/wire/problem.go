package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/http"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// ProblemType is the media type of a Problem (RFC 9457).
const ProblemType = "application/problem+json"

// URN gives the type member for the last part of a problem type. It is stable and
// refers to no host that would have to be kept alive.
func URN(slug string) string { return "urn:headgate:problem:" + slug }

// Problem is an error as clients see it (RFC 9457), in the order it is written.
type Problem struct {
	Type     string `json:"type"` // URN(slug)
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail,omitempty"`
	Instance string `json:"instance,omitempty"`
	// Errors lists what is wrong where: objects with detail and pointer.
	Errors any `json:"errors,omitempty"`
	// TrackingID is the dispatch that a problem is about, where there may be one.
	TrackingID string `json:"tracking_id,omitempty"`
	// Checks lists what is not ready, for the readiness probe.
	Checks any `json:"checks,omitempty"`
}

// JSON encodes the problem. What cannot be encoded is left out.
func (p Problem) JSON() []byte {
	body, err := Encode(p)
	if err != nil {
		p.Errors, p.Checks = nil, nil
		body, _ = Encode(p) // only strings and a number are left
	}
	return body
}

// Encode writes JSON that is not escaped for HTML and has no newline at its end.
func Encode(v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// refusal is a problem that is the same for every request it answers.
type refusal struct {
	reason string // one word for the log
	slug   string
	status int
	title  string
	detail string
}

// What this package answers by itself. The details never quote the request.
var (
	malformed       = refusal{"malformed", "bad-request", http.StatusBadRequest, "Bad request", "The request is not well-formed HTTP."}
	headTooLarge    = refusal{"head too large", "head-too-large", http.StatusRequestHeaderFieldsTooLarge, "Request head too large", "The request line and headers together are too long."}
	bodyTooLarge    = refusal{"body too large", "body-too-large", http.StatusRequestEntityTooLarge, "The body is too large", "The body is larger than this server takes."}
	tooSlow         = refusal{"too slow", "request-timeout", http.StatusRequestTimeout, "Request timeout", "The request did not arrive in time."}
	methodProblem   = refusal{"unknown method", "method-unknown", http.StatusNotImplemented, "Method unknown", "This server does not know the method."}
	internalProblem = refusal{"internal", "internal", http.StatusInternalServerError, "Internal error", "The request could not be handled."}
)

// Built is a problem of BuiltIn, for the reference documentation.
type Built struct {
	Slug, Title string
	Status      int
}

// BuiltIn lists the problems that are answered before a request is one.
func BuiltIn() []Built {
	var out []Built
	for _, r := range []refusal{malformed, headTooLarge, bodyTooLarge, tooSlow, methodProblem, internalProblem} {
		out = append(out, Built{Slug: r.slug, Title: r.title, Status: r.status})
	}
	return out
}

func (r refusal) write(ctx *fasthttp.RequestCtx) {
	p := Problem{Type: URN(r.slug), Title: r.title, Status: r.status, Detail: r.detail}
	ctx.Response.Header.SetContentType(ProblemType)
	ctx.Response.Header.Set("Cache-Control", "no-store")
	ctx.SetStatusCode(r.status)
	ctx.SetBody(p.JSON())
	ctx.SetConnectionClose()
}

func (r *Runner) refuse(ctx *fasthttp.RequestCtx, with refusal) {
	with.write(ctx)
	if r.cfg.Refused != nil {
		r.cfg.Refused(with.status, with.reason)
	}
}

// protocolError answers what fasthttp could not read as a request. fasthttp closes the
// connection afterwards.
func (r *Runner) protocolError(ctx *fasthttp.RequestCtx, err error) {
	if c, ok := ctx.Conn().(*conn); ok {
		c.linger.Store(true)
	}
	var (
		small   *fasthttp.ErrSmallBuffer
		timeout net.Error
	)
	switch {
	case errors.As(err, &small):
		r.refuse(ctx, headTooLarge)
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		r.refuse(ctx, bodyTooLarge)
	case errors.Is(err, fasthttp.ErrTimeout), errors.As(err, &timeout) && timeout.Timeout():
		r.refuse(ctx, tooSlow)
	default:
		r.refuse(ctx, malformed)
	}
}

// expect answers Expect: 100-continue: a body that would be refused need not be sent.
func (r *Runner) expect(ctx *fasthttp.RequestCtx) int {
	if ctx.Request.Header.ContentLength() > r.cfg.MaxBody {
		r.refuse(ctx, bodyTooLarge)
		return bodyTooLarge.status
	}
	return fasthttp.StatusContinue
}

// fiberError is reached only by errors of Fiber itself: handlers return none.
func (r *Runner) fiberError(c *fiber.Ctx, _ error) error {
	r.refuse(c.Context(), internalProblem)
	return nil
}
