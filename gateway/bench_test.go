package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/policies"
	"headgate/routes"
)

// BenchmarkPost is one accepted request over a kept connection, with an acceptor that
// does nothing: what this package costs. The client's part is included.
func BenchmarkPost(b *testing.B) {
	acceptor := newAcceptor()
	acceptor.onAccept = func(context.Context, dispatch.Intake) (dispatch.Receipt, error) {
		return dispatch.Receipt{ID: "trk_1", Targets: map[string]tracking.State{"crm": tracking.Pending, "analytics": tracking.Pending}}, nil
	}
	acceptor.onLookup = func(context.Context, dispatch.Idem) (dispatch.Receipt, bool, error) {
		return dispatch.Receipt{}, false, nil
	}
	limit := fakePolicy{"limit", policies.Admit, func(context.Context, *policies.Request) policies.Decision { return policies.Pass() }}
	table := &fakeTable{routes: []*routes.Route{newRoute("profile-changed", "POST /profiles/:id", keyAuth, limit, jsonBody)}}
	s := New(Options{Table: func() Table { return table }, Acceptor: acceptor})
	if err := s.Start(b.Context(), "127.0.0.1:0"); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Stop(context.Background()) }()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	request := fmt.Sprintf("POST /profiles/42 HTTP/1.1\r\n%sIdempotency-Key: k\r\nContent-Length: %d\r\n\r\n%s", head, len(body), body)
	in := bufio.NewReader(conn)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.WriteString(conn, request); err != nil {
			b.Fatal(err)
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil || res.StatusCode != http.StatusAccepted {
			b.Fatal(res, err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
}
