package world

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"headgate/chaos/ledger"
)

// TestLink: a link does what its methods say, and the next call after healing works.
func TestLink(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	defer server.Close()
	link, err := newLink("test", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer link.Down()
	client := &http.Client{Timeout: 500 * time.Millisecond}
	works := func() bool {
		resp, err := client.Get("http://" + link.Addr())
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return err == nil && string(text) == "ok"
	}
	// On a busy machine one call may be late; none comes through a link that is cut.
	expect := func(when string, want bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); works() != want; {
			if time.Now().After(deadline) {
				t.Fatalf("%s: a call gets through: %t, want %t", when, !want, want)
			}
		}
	}
	expect("at first", true)
	if err := link.Cut(); err != nil {
		t.Fatal(err)
	}
	expect("cut", false)
	link.Heal(t.Context())
	expect("healed", true)
	if err := link.Slow(time.Second); err != nil {
		t.Fatal(err)
	}
	expect("slower than the caller's patience", false)
	link.Heal(t.Context())
	link.Down()
	expect("down", false)
	if err := link.Up(); err != nil {
		t.Fatal(err)
	}
	expect("up again", true)
}

// TestBackendsNoteWhatTheyDid: work that was done is in the books although its caller
// did not wait for the answer, and work that was not done is not.
func TestBackendsNoteWhatTheyDid(t *testing.T) {
	books := ledger.New()
	b, err := startBackends(t.Context(), books)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.close() }()
	put := func(key string, patience time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, b.URL+"/crm/contacts/7", strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Idempotency-Key", key)
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	const long, short = 30 * time.Second, 200 * time.Millisecond
	books.Acknowledged("7", "trk_1", "crm")
	if err := put("trk_1:crm", long); err != nil {
		t.Fatal(err)
	}
	b.Answer(0, long, 0)
	if err := put("trk_1:crm", short); err == nil {
		t.Fatal("it was answered before its time")
	}
	for deadline := time.Now().Add(long); books.Judge().Duplicates != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the books say %+v", books.Judge())
		}
	}
	b.Answer(long, 0, 0)
	if err := put("trk_1:crm", short); err == nil {
		t.Fatal("it was answered before its time")
	}
	if v := books.Judge(); v.Duplicates != 1 || v.Delivered != 1 {
		t.Errorf("what was not done is in the books: %+v", v)
	}
}
