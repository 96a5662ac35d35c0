package cli

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const crmView = `{"name":"crm","former":false,"plan":"0f3a","state":"paused","order":{"by":"alice","note":"main\u001b[2Jtenance","since":"2026-03-01T12:00:00Z"},` +
	`"breaker":{"state":"open","open_for_seconds":12.5},"held_for_seconds":3,"open":9,"pending":4,"oldest_pending_age_seconds":7300,"waiting":2,"oldest_waiting_age_seconds":61,` +
	`"in_flight":1,"dead_letters":5,"queues":[{"name":"crm.bulk","pending":4,"active":1,"scheduled":2,"retry":0,"archived":3,"oldest_pending_age_seconds":0.2,"paused":true}]}`

func TestTargets(t *testing.T) {
	l := listen(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/targets":
			fmt.Fprint(w, `{"targets":[`+crmView+`,{"name":"mail","former":true,"state":"active","breaker":{"state":"closed"},"queues":[]}]}`)
		case "/targets/crm":
			fmt.Fprint(w, crmView)
		default:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"type":"urn:headgate:problem:not-found","title":"Not found","status":404,"detail":"There is no target \"cmr\". There are: crm, mail."}`)
		}
	})
	out, _, err := l.command(t.Context(), "targets")
	want := "TARGET  STATE           BREAKER          OPEN  PENDING  OLDEST  WAITING  DEAD LETTERS\n" +
		"crm     paused, queue paused  open, 12s left   9     4        2h1m    2        5\n" +
		"mail    active, former  closed           0     0        -       0        0\n"
	if squeeze(out) != squeeze(want) || err != nil {
		t.Errorf("%v\n%s, want\n%s", err, out, want)
	}
	if strings.Index(out, "OPEN") != strings.LastIndex(strings.Split(out, "\n")[1], "9") {
		t.Errorf("the columns are not in line:\n%s", out)
	}
	out, _, err = l.command(t.Context(), "targets", "crm")
	for _, want := range []string{
		"state paused", "since 2026-03-01T12:00:00Z", "by alice", "note main [2Jtenance", "breaker open, 12s left", "held 3s: the backend", "in flight 1",
		"oldest 1m1s", "dead letters 5", "crm.bulk 4 <1s 1 2 0 3 paused in the dashboard",
	} {
		if !strings.Contains(squeeze(out), want) || strings.Contains(out, "\x1b") || err != nil {
			t.Errorf("%v; %q is missing:\n%s", err, want, out)
		}
	}
	out, _, err = l.command(t.Context(), "targets", "crm", "--json")
	if err != nil || !strings.Contains(out, `"oldest_pending_age_seconds": 7300`) {
		t.Errorf("%v %s", err, out)
	}
	if _, _, err = l.command(t.Context(), "targets", "cmr"); err == nil || !strings.Contains(err.Error(), "There are: crm, mail.") {
		t.Errorf("an unknown one: %v", err)
	}
	if _, _, err = l.command(t.Context(), "targets", "a", "b"); exitCode(err) != 2 {
		t.Errorf("two names: %v", err)
	}
}

// squeeze makes one blank of many.
func squeeze(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return strings.Join(lines, "\n")
}

// exitCode tells mistakes on the command line from others.
func exitCode(err error) int {
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return 2
	}
	return 1
}

func TestOrders(t *testing.T) {
	t.Setenv("USER", "")
	l := listen(t, func(w http.ResponseWriter, r *http.Request) {
		state := map[string]string{"/targets/crm/pause": "paused", "/targets/crm/drain": "draining", "/targets/crm/resume": "active"}[r.URL.Path]
		fmt.Fprintf(w, `{"name":"crm","state":%q,"open":1,"breaker":{"state":"closed"},"queues":[]}`, state)
	})
	for verb, want := range map[string]string{
		"pause":  "crm is paused: requests are taken, nothing is delivered; 1 delivery is under way\n",
		"drain":  "crm is draining: requests that feed it are refused; 1 delivery is still under way\n",
		"resume": "crm is active: requests are taken and delivered\n",
	} {
		l.asked = nil
		out, _, err := l.command(t.Context(), verb, "crm", "--note", "moves")
		if out != want || err != nil || fmt.Sprint(l.asked) != `[POST /targets/crm/`+verb+` {"note":"moves"}]` {
			t.Errorf("%s: %v %q, asked %s", verb, err, out, l.asked)
		}
		if _, _, err := l.command(t.Context(), verb); exitCode(err) != 2 {
			t.Errorf("%s without a target: %v", verb, err)
		}
	}
	t.Setenv("USER", "alice")
	l.asked = nil
	if out, _, err := l.command(t.Context(), "pause", "crm", "--json"); err != nil || !strings.Contains(out, `"state": "paused"`) || !strings.Contains(l.asked[0], `"by":"alice@`) {
		t.Errorf("%v %s, asked %s", err, out, l.asked)
	}
}

// TestQueuePausedByHand: a target whose queue is paused in the dashboard is active as far as
// orders go. Who looks at the list, or resumes it, must not believe that it is delivered to.
func TestQueuePausedByHand(t *testing.T) {
	const crm = `{"name":"crm","state":"active","breaker":{"state":"closed"},"queues":[{"name":"crm"},{"name":"crm.bulk","paused":true}]}`
	const mail = `{"name":"mail","state":"active","breaker":{"state":"closed"},"queues":[{"name":"mail"}]}`
	l := listen(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/targets" {
			fmt.Fprint(w, `{"targets":[`+crm+`,`+mail+`]}`)
			return
		}
		fmt.Fprint(w, crm)
	})
	out, _, err := l.command(t.Context(), "targets")
	if got := squeeze(out); err != nil || !strings.Contains(got, "crm active, queue paused closed") || !strings.Contains(got, "mail active closed") {
		t.Errorf("%v\n%s", err, out)
	}
	out, _, err = l.command(t.Context(), "resume", "crm")
	if want := "crm is active: requests are taken; nothing is delivered from queue crm.bulk, which is paused in the dashboard of the queues: resume it there\n"; err != nil || out != want {
		t.Errorf("%v %q", err, out)
	}
}

// TestAdminErrorsNameTheRemedy: for every command that asks the admin listener.
func TestAdminErrorsNameTheRemedy(t *testing.T) {
	l := listen(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) })
	gone := listen(t, nil)
	gone.Close()
	for _, args := range [][]string{
		{"targets"}, {"targets", "crm"}, {"pause", "crm"}, {"drain", "crm"}, {"resume", "crm"}, {"config", "show"}, {"loglevel"}, {"loglevel", "info"},
		{"deadletters", "list"}, {"deadletters", "show", "trk_1", "crm"}, {"deadletters", "replay", "trk_1", "crm"}, {"deadletters", "drop", "--all"},
	} {
		for _, c := range []struct{ url, token, want string }{
			{l.URL, "", "asks for its token: set HEADGATE_ADMIN_TOKEN to it, or give --token"},
			{l.URL, "wrong", "does not accept the token"},
			{gone.URL, "secret", "does not answer at " + gone.URL + ": dial tcp"},
			{gone.URL, "secret", "name it with --url"},
		} {
			t.Setenv("HEADGATE_ADMIN_TOKEN", c.token)
			root := newRoot()
			root.SetArgs(append(args, "--url", c.url))
			if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "wrong") {
				t.Errorf("%v with token %q: %v, want %q", args, c.token, err, c.want)
			}
		}
	}
}
