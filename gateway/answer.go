package gateway

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"headgate/gateway/wire"
	"headgate/policies"
)

// answer is what will be written once everything is decided.
type answer struct {
	status int
	kind   string // Content-Type
	body   []byte
	header headers
	close  bool // end the connection
}

// headers of an answer, by name as policies.CanonicalHeader writes it. There are few: a
// list is searched faster than a map is made.
type headers []header

type header struct{ name, value string }

// add takes over a policy's headers. RateLimit and RateLimit-Policy are lists
// (structured fields): each policy that counted adds its member. Of others the last
// one stands.
func (h *headers) add(more map[string]string) {
	for name, value := range more {
		name = policies.CanonicalHeader(name)
		if i := h.find(name); i >= 0 && strings.HasPrefix(name, "Ratelimit") {
			value = (*h)[i].value + ", " + value
		}
		h.set(name, value)
	}
}

func (h *headers) set(name, value string) {
	if i := h.find(name); i >= 0 {
		(*h)[i].value = value
		return
	}
	if *h == nil {
		*h = make(headers, 0, 4) // as many as a 202 has
	}
	*h = append(*h, header{name, value})
}

func (h *headers) remove(name string) {
	*h = slices.DeleteFunc(*h, func(one header) bool { return one.name == name })
}

func (h *headers) find(name string) int {
	return slices.IndexFunc(*h, func(one header) bool { return one.name == name })
}

func (a *answer) set(name, value string) *answer {
	a.header.set(name, value)
	return a
}

// retryAfter asks the client to come back after d, in whole seconds rounded up.
func (a *answer) retryAfter(d time.Duration) *answer {
	if d <= 0 {
		return a
	}
	return a.set(fiber.HeaderRetryAfter, seconds(d))
}

func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// write puts the answer into Fiber's response, with the headers that policies asked
// for; its own headers win over those.
func (a *answer) write(fc *fiber.Ctx, fromPolicies headers) {
	response := fc.Response()
	response.SetStatusCode(a.status)
	response.Header.SetContentType(a.kind)
	response.Header.Set(fiber.HeaderCacheControl, "no-store")
	response.Header.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	for _, part := range []headers{fromPolicies, a.header} {
		for _, one := range part {
			response.Header.Set(one.name, one.value)
		}
	}
	if a.close {
		response.SetConnectionClose()
	}
	response.SetBodyRaw(a.body)
}

// jsonAnswer is an answer whose body is v.
func jsonAnswer(status int, v any) (*answer, error) {
	body, err := wire.Encode(v)
	if err != nil {
		return nil, err
	}
	return &answer{status: status, kind: fiber.MIMEApplicationJSON, body: body}, nil
}
