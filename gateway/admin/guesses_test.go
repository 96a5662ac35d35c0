package admin

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// from sends one request from an address of this host.
func from(t *testing.T, s *Server, address, method, path, body string, header http.Header) (status int, head http.Header, text string) {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	transport := &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addr()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	read, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(read)
}

// TestGuessingIsBounded: by the form, by the header and by the one way that asks for the token
// on an open path, all together, for one address and nobody else. A cookie stays good.
func TestGuessingIsBounded(t *testing.T) {
	s := whole(t)
	const guesser, other = "127.0.0.2", "127.0.0.3"
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	bearing := func(text string) http.Header { return http.Header{"Authorization": {"Bearer " + text}} }
	login := func(address, text string) (int, http.Header, string) {
		return from(t, s, address, http.MethodPost, "/login", "token="+text, form)
	}
	_, head, _ := login(guesser, token)
	cookie := http.Header{"Cookie": {strings.SplitN(head.Get("Set-Cookie"), ";", 2)[0]}}

	for range 3 * maxGuesses { // one that has a former token
		if status, _, _ := from(t, s, guesser, http.MethodGet, "/targets", "", bearing("former")); status != http.StatusUnauthorized {
			t.Fatalf("the same wrong token again is answered %d", status)
		}
	}
	for i := range maxGuesses - 2 {
		if status, _, _ := login(guesser, fmt.Sprint("guess", i)); status != http.StatusUnauthorized {
			t.Fatalf("guess %d is answered %d", i, status)
		}
	}
	if status, _, _ := from(t, s, guesser, http.MethodGet, "/targets", "", bearing(token)); status != http.StatusOK {
		t.Fatalf("before the last guess the token is answered %d", status)
	}
	from(t, s, guesser, http.MethodGet, "/readyz?verbose", "", bearing("last"))
	for _, path := range []string{"/targets", "/readyz?verbose"} {
		status, head, text := from(t, s, guesser, http.MethodGet, path, "", bearing(token))
		after, _ := strconv.Atoi(head.Get("Retry-After"))
		if status != http.StatusTooManyRequests || after < 1 || after > 60 || !strings.Contains(text, "urn:headgate:problem:rate-limited") {
			t.Errorf("%s with the token is answered %d %v %s", path, status, head, text)
		}
	}
	if status, head, text := login(guesser, token); status != http.StatusTooManyRequests || head.Get("Set-Cookie") != "" || !strings.Contains(text, "Try again in") {
		t.Errorf("the form is answered %d %v %s", status, head, text)
	}
	if status, _, _ := from(t, s, guesser, http.MethodGet, "/targets", "", cookie); status != http.StatusOK {
		t.Errorf("a cookie from before is answered %d", status)
	}
	if status, _, _ := from(t, s, guesser, http.MethodGet, "/livez", "", http.Header{}); status != http.StatusOK {
		t.Errorf("/livez is answered %d", status)
	}
	if status, _, _ := from(t, s, other, http.MethodGet, "/targets", "", bearing(token)); status != http.StatusOK {
		t.Errorf("from another address the token is answered %d", status)
	}
	if status, _, _ := login(other, token); status != http.StatusSeeOther {
		t.Errorf("a login from another address is answered %d", status)
	}
}

// TestOtherSitesDoNotGuess: a page of another site that a browser shows cannot keep out who works
// at the browser's address, nor log anybody in.
func TestOtherSitesDoNotGuess(t *testing.T) {
	s := whole(t)
	const form, cross = "Content-Type: application/x-www-form-urlencoded", "Origin: https://evil.example"
	for i := range 2 * maxGuesses {
		if res, _ := ask(t, s, "POST", "/login", fmt.Sprint("token=guess", i), form, cross); res.status != http.StatusForbidden {
			t.Fatalf("guess %d from another site is answered %d", i, res.status)
		}
	}
	if res, text := ask(t, s, "POST", "/login", "token="+token, form, cross); res.status != http.StatusForbidden || len(res.cookies) > 0 || !strings.Contains(text, "another site") {
		t.Errorf("the token from another site is answered %d %v %s", res.status, res.cookies, text)
	}
	if res, _ := ask(t, s, "GET", "/targets", "", bearer); res.status != http.StatusOK {
		t.Errorf("who has the token is answered %d", res.status)
	}
	if res, _ := ask(t, s, "POST", "/login", "token="+token, form, "Sec-Fetch-Site: same-origin"); res.status != http.StatusSeeOther {
		t.Errorf("a login from the page itself is answered %d", res.status)
	}
}

// TestGuessesAreForgotten: after their minute, and where there are too many to keep.
func TestGuessesAreForgotten(t *testing.T) {
	now := time.Now()
	g := newGuesses(func() time.Time { return now })
	one := netip.MustParsePrefix("192.0.2.1/32")
	told := 0
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 5 * maxGuesses { // however many come at once
		all.Go(func() {
			listen, begins := g.counts(one, strconv.Itoa(i), false)
			mu.Lock()
			defer mu.Unlock()
			if begins {
				told++
			}
			if listen {
				told += 100
			}
		})
	}
	all.Wait()
	if told != 100*maxGuesses+1 {
		t.Errorf("%d guesses counted, %d times told of it", told/100, told%100)
	}
	now = now.Add(guessSpan - time.Second)
	if listen, _ := g.counts(one, "right", true); listen || g.keptOut(one) != time.Second {
		t.Errorf("before its minute is over it is listened to: %v, kept out for %v", listen, g.keptOut(one))
	}
	now = now.Add(time.Second)
	if listen, _ := g.counts(one, "right", true); !listen || g.keptOut(one) != 0 || len(g.by) != 0 {
		t.Errorf("after its minute it is listened to: %v, kept out for %v; %d are kept", listen, g.keptOut(one), len(g.by))
	}
	for i := range maxGuessers + 10 {
		g.counts(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32), "x", false)
	}
	if len(g.by) != maxGuessers {
		t.Errorf("%d are kept", len(g.by))
	}
}

func TestNetworkOfAGuesser(t *testing.T) {
	for peer, want := range map[string]string{
		"192.0.2.7:4711": "192.0.2.7/32", "[::ffff:192.0.2.7]:1": "192.0.2.7/32", "[2001:db8:1:2:3::4]:1": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1": "fe80::/64", "": "invalid Prefix",
	} {
		if got := network(&http.Request{RemoteAddr: peer}).String(); got != want {
			t.Errorf("%q: %s, want %s", peer, got, want)
		}
	}
}
