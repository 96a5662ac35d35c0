package fault

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// Cause says of an error what a log may hold. What comes from the network and the clock is told:
// addresses, names and what the system says. Everything else may quote a record or an answer, so
// only its kind is told, if it has one.
func Cause(err error) string {
	if err == nil {
		return ""
	}
	var (
		dns         *net.DNSError
		op          *net.OpError
		certificate *tls.CertificateVerificationError
		alert       tls.AlertError
		system      syscall.Errno
	)
	switch {
	case errors.As(err, &dns):
		return dns.Error()
	case errors.As(err, &op):
		return op.Error()
	case errors.As(err, &certificate):
		return certificate.Error()
	case errors.As(err, &alert):
		return alert.Error()
	case errors.As(err, &system):
		return system.Error()
	}
	for _, known := range []error{context.Canceled, context.DeadlineExceeded, io.ErrUnexpectedEOF, io.EOF} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	for ; err != nil; err = errors.Unwrap(err) {
		switch kind := fmt.Sprintf("%T", err); kind {
		case "*errors.errorString", "*fmt.wrapError", "*fmt.wrapErrors": // those say nothing
		default:
			return kind
		}
	}
	return ""
}
