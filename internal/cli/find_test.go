package cli

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const foundOne = `{"tracking_id":"trk_1","route":"orders","status":"partial","accepted_at":"2026-03-01T12:00:00Z",` +
	`"counts":{"succeeded":1,"failed":1},"targets":{"mail":{"state":"succeeded","attempts":1,"reason":"timeout"},` +
	`"crm":{"state":"failed","attempts":4,"reason":"server_error","http_status":503}},"tenant":"mobile/ac\u001b[2Jme"}`

func TestFindPages(t *testing.T) {
	pages := []string{
		`{"dispatches":[` + foundOne + `],"looked_at":500,"by":"all_records","cursor":"c1"}`,
		`{"dispatches":[],"looked_at":1,"by":"all_records","cursor":"c2"}`,
		`{"dispatches":[` + foundOne + `,` + strings.Replace(foundOne, "trk_1", "trk_2", 1) + `],"looked_at":7,"by":"all_records"}`,
	}
	next := 0
	l := listen(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, pages[next]); next++ })

	// As many as were asked for: where to go on.
	out, errs, err := l.command(t.Context(), "find", "--route", "orders", "--limit", "1")
	if err != nil || errs != "looked at 500 records, there are more: go on with --cursor c1, or with --all\n" {
		t.Errorf("%q %v", errs, err)
	}
	want := "TRACKING ID                   STATE        ACCEPTED              ROUTE               TENANT              TARGETS\n" +
		"trk_1                         partial      2026-03-01T12:00:00Z  orders              mobile/ac [2Jme     mail succeeded, crm failed (server_error 503)\n"
	if out != want {
		t.Errorf("got\n%s, want\n%s", out, want)
	}

	// An empty page is not the end, and what comes twice is printed once.
	next = 0
	out, errs, err = l.command(t.Context(), "find", "--all", "--json", "--limit", "9")
	if err != nil || errs != "" || strings.Count(out, "\n") != 2 || !strings.HasPrefix(out, `{"tracking_id":"trk_1"`) || strings.Contains(out, "\x1b") {
		t.Errorf("%q %q %v", out, errs, err)
	}
	asked := []string{
		"GET /dispatches?limit=1&route=orders", "GET /dispatches?limit=9", "GET /dispatches?cursor=c1&limit=9", "GET /dispatches?cursor=c2&limit=9",
	}
	if fmt.Sprint(l.asked) != fmt.Sprint(asked) {
		t.Errorf("asked %q, want %q", l.asked, asked)
	}

	// Not for longer than it may take.
	next = 1
	if _, errs, err = l.command(t.Context(), "find", "--within", "1ns"); err != nil || !strings.Contains(errs, "looked at 1 record, there are more: go on with --cursor c2") {
		t.Errorf("%q %v", errs, err)
	}
}

func TestFindOne(t *testing.T) {
	l := listen(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/dispatches/trk_1":
			fmt.Fprint(w, foundOne)
		case "/dispatches":
			fmt.Fprint(w, `{"dispatches":[],"looked_at":3,"by":"all_records"}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"title":"Not found","detail":"There is no dispatch with this tracking ID."}`)
		}
	})
	if out, _, err := l.command(t.Context(), "find", "trk_1"); err != nil || strings.Count(out, "trk_1") != 1 {
		t.Errorf("%q %v", out, err)
	}
	if _, _, err := l.command(t.Context(), "find", "trk_2"); err == nil || !strings.Contains(err.Error(), "no dispatch with this tracking ID") {
		t.Errorf("%v", err)
	}
	if _, errs, err := l.command(t.Context(), "find"); err != nil || errs != "nothing found; looked at 3 records\n" {
		t.Errorf("%q %v", errs, err)
	}
	var usage *usageError
	for _, args := range [][]string{{"find", "trk_1", "trk_2"}, {"find", "trk_1", "--route", "orders"}} {
		if _, _, err := l.command(t.Context(), args...); !errors.As(err, &usage) {
			t.Errorf("%q: %v", args, err)
		}
	}
}
