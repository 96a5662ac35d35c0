package target

import (
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/transform"
)

// maxRetryAfter bounds what a backend may ask us to wait.
const maxRetryAfter = 24 * time.Hour

// errStopped marks the fault of a run that was cancelled from outside: no fault of the
// backend, and no reason to give up.
var errStopped = errors.New("the run was cancelled")

// networkFault says why who was asked gave no answer. outer is the context of the run, inner
// the one of the call.
func networkFault(outer, inner context.Context, who string, err error) *fault.Fault {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // the outer text has the whole URL, perhaps with a key in its query
	}
	var timeout net.Error
	switch {
	case errors.Is(outer.Err(), context.Canceled):
		return &fault.Fault{Reason: fault.Timeout, Retry: true, Err: errStopped,
			Message: "the worker was stopped before " + who + " answered"}
	case inner.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return &fault.Fault{Reason: fault.Timeout, Retry: true, Err: err,
			Message: who + " did not answer in time"}
	}
	var corrupt flate.CorruptInputError
	if errors.As(err, &corrupt) || errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) {
		return &fault.Fault{Reason: fault.BadResponse, Retry: true, Err: err, Message: who + "'s answer cannot be decompressed"}
	}
	var unverified *tls.CertificateVerificationError
	if errors.As(err, &unverified) {
		return &fault.Fault{Reason: fault.Unreachable, Retry: true, Err: err,
			Message: clip("the certificate of "+who+" cannot be verified: "+clean(unverified.Err.Error(), maxMessage), maxMessage)}
	}
	return &fault.Fault{Reason: fault.Unreachable, Retry: true, Err: err,
		Message: who + " could not be reached or the connection was lost"}
}

// classify says what is wrong with an answer; nil when it is one that is expected.
func (p *Plan) classify(s *step, r *response) *fault.Fault {
	ok := r.status >= 200 && r.status <= 299
	if len(s.expect) > 0 {
		ok = slices.Contains(s.expect, r.status)
	}
	if ok {
		if r.tooLong {
			return &fault.Fault{Reason: fault.BadResponse, Status: r.status,
				Message: fmt.Sprintf("the backend's answer is larger than max_response (%d bytes)", r.limit)}
		}
		return nil
	}
	f := &fault.Fault{Status: r.status, RetryAfter: retryAfter(r.header)}
	switch {
	case r.status == http.StatusRequestTimeout, r.status == http.StatusTooEarly, r.status >= 500:
		f.Reason, f.Retry = fault.ServerError, true
	case r.status == http.StatusTooManyRequests:
		f.Reason, f.Retry = fault.RateLimited, true
	case r.status == http.StatusUnauthorized, r.status == http.StatusForbidden, r.status == http.StatusProxyAuthRequired:
		f.Reason = fault.Auth
	case r.status == http.StatusRequestEntityTooLarge:
		f.Reason = fault.TooLarge
	case r.status >= 400:
		f.Reason = fault.Rejected
	default:
		f.Reason = fault.BadResponse
	}
	switch {
	case slices.Contains(p.retry.NotOn, r.status):
		f.Retry = false
	case slices.Contains(p.retry.On, r.status):
		noVerdict(f)
	}
	f.Message = p.faultMessage(s, r, f.Reason)
	return f
}

// noVerdict turns a fault into one that is tried again, because the file asks for that: so
// the answer says nothing of the record, which is a dead letter once the budget is spent,
// and not refused.
func noVerdict(f *fault.Fault) {
	f.Retry = true
	if f.Reason == fault.Rejected || f.Reason == fault.BadResponse {
		f.Refusal = f.Reason == fault.Rejected
		f.Reason = fault.ServerError
	}
}

// asserted says what is wrong with an answer whose status is an expected one.
func (r *run) asserted(s *step, resp *response) *fault.Fault {
	if s.assert == nil {
		return nil
	}
	holds, err := s.assert.Eval(r.scope)
	switch {
	case err != nil:
		return &fault.Fault{Reason: fault.BadResponse, Status: resp.status, Err: err, Message: "assert: " + err.Error()}
	case holds:
		return nil
	}
	message := r.plan.refusalText(resp)
	if message == "" {
		message = fmt.Sprintf("the backend answered %d, but what assert asks for does not hold", resp.status)
	}
	return &fault.Fault{Reason: fault.Rejected, Status: resp.status, Message: message}
}

func (p *Plan) faultMessage(s *step, r *response, reason fault.Reason) string {
	if r.status >= 300 && r.status <= 399 {
		host := "no Location"
		if to, err := url.Parse(r.header.Get("Location")); err == nil && to.Path+to.Host != "" {
			host = "the same host"
			if to.Host != "" && to.Host != p.home.host {
				host = "the host " + clean(to.Host, 100)
			}
		}
		return fmt.Sprintf("the backend answered %d, a redirect to %s: redirects are not followed", r.status, host)
	}
	said := p.refusalText(r)
	if reason == fault.Rejected && said != "" {
		return said
	}
	text := "the backend answered " + strconv.Itoa(r.status)
	if name := http.StatusText(r.status); name != "" {
		text += " " + name
	}
	if r.status >= 200 && r.status <= 299 {
		return text + ", expected " + joinInts(s.expect)
	}
	if said != "" {
		text += ": " + said
	}
	return clip(text, maxMessage)
}

// refusalText is what the backend says, by the target's own expression or where
// messages are commonly found.
func (p *Plan) refusalText(r *response) string {
	if p.refusal != nil {
		scope := transform.Scope{}
		r.into(scope)
		if v, err := p.refusal.Eval(scope); err == nil {
			if text, ok := textOf(v); ok && text != "" {
				return clean(text, maxMessage)
			}
		}
	}
	return r.message()
}

func joinInts(list []int) string {
	parts := make([]string, len(list))
	for i, n := range list {
		parts[i] = strconv.Itoa(n)
	}
	return strings.Join(parts, " or ")
}

// retryAfter reads the header in both of its forms (RFC 9110, section 10.2.3). A date is
// taken relative to the answer's own Date, so that clocks need not agree.
func retryAfter(h http.Header) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(text, 10, 63); err == nil {
		return time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
