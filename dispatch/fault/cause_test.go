package fault

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"testing"
)

func TestCause(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 443}, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	var number int
	quoting := json.Unmarshal([]byte(`"ada@example.com"`), &number)
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"none":           {nil, ""},
		"refused":        {&url.Error{Op: "Post", URL: "https://crm/?mail=ada@example.com", Err: refused}, "dial tcp 10.0.0.1:443: connect: connection refused"},
		"no such name":   {fmt.Errorf("call: %w", &net.DNSError{Err: "no such host", Name: "crm.example.com"}), "lookup crm.example.com: no such host"},
		"reset":          {fmt.Errorf("ada: %w", syscall.ECONNRESET), "connection reset by peer"},
		"alert":          {fmt.Errorf("ada: %w", tls.AlertError(42)), "tls: bad certificate"},
		"late":           {fmt.Errorf("ada: %w", context.DeadlineExceeded), "context deadline exceeded"},
		"cut off":        {fmt.Errorf("ada: %w", io.ErrUnexpectedEOF), "unexpected EOF"},
		"of an answer":   {fmt.Errorf("ada: %w", quoting), "*json.UnmarshalTypeError"},
		"of a size":      {fmt.Errorf("ada: %w", &http.MaxBytesError{Limit: 1}), "*http.MaxBytesError"},
		"just a text":    {errors.New("ada"), ""},
		"a wrapped text": {fmt.Errorf("ada: %w", errors.New("lovelace")), ""},
	} {
		if got := Cause(tt.err); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
