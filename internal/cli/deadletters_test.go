package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// listener is an admin listener that remembers what it was asked and answers by script.
type listener struct {
	*httptest.Server
	asked  []string // method, path, body
	answer func(w http.ResponseWriter, r *http.Request)
}

func listen(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *listener {
	t.Helper()
	l := &listener{answer: answer}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		l.asked = append(l.asked, strings.TrimSpace(r.Method+" "+r.RequestURI+" "+string(body)))
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		l.answer(w, r)
	}))
	t.Cleanup(l.Close)
	return l
}

// command runs one command line; what it prints comes back.
func (l *listener) command(ctx context.Context, args ...string) (out, errs string, err error) {
	root := newRoot()
	var stdout, stderr bytes.Buffer
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	root.SetArgs(append(args, "--url", l.URL, "--token", "secret"))
	err = root.ExecuteContext(ctx)
	return stdout.String(), stderr.String(), err
}

func TestDeadLettersList(t *testing.T) {
	pages := []string{
		`{"dead_letters":[{"tracking_id":"trk_1","target":"crm","state":"failed","reason":"timeout","http_status":503,"message":"it\u001b[2J said","attempts":4}],"cursor":"c1"}`,
		`{"dead_letters":[],"cursor":"c2"}`,
		`{"dead_letters":[{"tracking_id":"trk_2","target":"crm","state":"failed","attempts":1}]}`,
	}
	next := 0
	l := listen(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, pages[next]); next++ })
	out, errs, err := l.command(t.Context(), "deadletters", "list", "--target", "crm", "--since", "2h")
	if err != nil || !strings.Contains(out, "trk_1") || strings.Contains(out, "\x1b") || errs != "more: --cursor c1\n" {
		t.Errorf("%q %q %v", out, errs, err)
	}
	out, errs, err = l.command(t.Context(), "deadletters", "list", "--cursor", "c1", "--json")
	if err != nil || !strings.HasPrefix(out, `{"tracking_id":"trk_2"`) || errs != "" {
		t.Errorf("%q %q %v", out, errs, err)
	}
	want := []string{"GET /deadletters?limit=50&since=2h&target=crm", "GET /deadletters?cursor=c1&limit=50", "GET /deadletters?cursor=c2&limit=50"}
	if fmt.Sprint(l.asked) != fmt.Sprint(want) {
		t.Errorf("asked %q, want %q", l.asked, want)
	}
}

func TestDeadLettersOne(t *testing.T) {
	l := listen(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet:
			fmt.Fprint(w, `{"tracking_id":"trk_1","target":"crm","payload":{"n":1.10}}`)
		case strings.HasSuffix(r.URL.Path, "/replay"):
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprint(w, `{"tracking_id":"trk_1","target":"crm","state":"pending","replays":2}`)
		default:
			fmt.Fprintln(w, `{"matched":1,"done":1,"skipped":0,"finished":true}`)
		}
	})
	file := filepath.Join(t.TempDir(), "p.json")
	if err := os.WriteFile(file, []byte(`{"n":2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _, err := l.command(t.Context(), "deadletters", "show", "trk_1", "crm"); err != nil || !strings.Contains(out, `"n": 1.10`) {
		t.Errorf("%q %v", out, err)
	}
	if out, _, err := l.command(t.Context(), "deadletters", "replay", "trk_1", "crm", "--payload", "@"+file); err != nil || out != "trk_1 crm is pending again (replay 2)\n" {
		t.Errorf("%q %v", out, err)
	}
	if out, _, err := l.command(t.Context(), "deadletters", "drop", "trk_1", "crm"); err != nil || out != "1 done, 0 skipped\n" {
		t.Errorf("%q %v", out, err)
	}
	want := []string{
		"GET /deadletters/trk_1/crm", `POST /deadletters/trk_1/crm/replay {"payload":{"n":2}}`,
		`POST /deadletters/drop {"letters":[{"tracking_id":"trk_1","target":"crm"}]}`,
	}
	if fmt.Sprint(l.asked) != fmt.Sprint(want) {
		t.Errorf("asked %q, want %q", l.asked, want)
	}
}

func TestDeadLettersBulk(t *testing.T) {
	lines := ""
	l := listen(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, lines) })
	for name, c := range map[string]struct{ lines, out, errs, fails string }{
		"all done": {`{"matched":1,"done":1,"skipped":0,"cursor":"c"}` + "\n" + `{"matched":2,"done":2,"skipped":0,"finished":true}`, "1 done, 0 skipped so far\n2 done, 0 skipped\n", "", ""},
		"skipped": {`{"matched":1,"done":0,"skipped":1,"problem":{"tracking_id":"trk_1","target":"crm","why":"gone"},"finished":true}`,
			"0 done, 1 skipped\n", "trk_1 crm skipped: gone\n", "reported"},
		"an error": {`{"matched":1,"done":1,"skipped":0,"cursor":"c9","error":{"title":"Temporarily unavailable","detail":"Come back."}}`,
			"1 done, 0 skipped so far\n", "\nto go on, repeat the command with --cursor c9\n", "Temporarily unavailable"},
		"cut off": {`{"matched":1,"done":1,"skipped":0,"cursor":"c3"}`, "1 done, 0 skipped so far\n", "\nto go on, repeat the command with --cursor c3\n", "ended before"},
		"dry run": {`{"matched":12,"done":0,"skipped":0,"dry_run":true,"finished":true}`, "12 dead letters would be done\n", "", ""},
	} {
		lines = c.lines + "\n"
		out, errs, err := l.command(t.Context(), "deadletters", "replay", "--target", "crm", "--rate", "20/s", "--new-key")
		if out != c.out || errs != c.errs || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %q %q %v", name, out, errs, err)
		}
	}
	var sent map[string]any
	if err := json.Unmarshal([]byte(strings.TrimPrefix(l.asked[0], "POST /deadletters/replay ")), &sent); err != nil || fmt.Sprint(sent) != "map[new_key:true rate:20 target:crm]" {
		t.Errorf("sent %v, %v", sent, err)
	}
}

// TestDeadLettersInterrupt: Ctrl-C ends the work and says how to go on.
func TestDeadLettersInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l := listen(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, `{"matched":1,"done":1,"skipped":0,"cursor":"c5"}`)
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	})
	_, errs, err := l.command(ctx, "deadletters", "replay", "--all")
	// When the interrupt comes before the first line there is nothing to go on from yet.
	if err == nil || errs != "" && !strings.Contains(errs, "--cursor c5") {
		t.Errorf("%q %v", errs, err)
	}
}

func TestDeadLettersUsage(t *testing.T) {
	l := listen(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for _, line := range []string{
		"replay trk_1", "replay --payload {}", "replay --rate x --all", "replay --rate 0 --all", "replay trk_1 crm --target x",
		"replay trk_1 crm --payload {", "replay trk_1 crm --dry-run", "drop trk_1", "show trk_1", "list x",
	} {
		var usage *usageError
		if _, _, err := l.command(t.Context(), append([]string{"deadletters"}, strings.Fields(line)...)...); !errors.As(err, &usage) {
			t.Errorf("%s: %v", line, err)
		}
	}
	if len(l.asked) != 0 {
		t.Errorf("asked %q", l.asked)
	}
}

func TestCancelCommand(t *testing.T) {
	l := listen(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/tracking/trk_1" {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"title":"Not found"}`)
			return
		}
		fmt.Fprint(w, `{"tracking_id":"trk_1","status":"in_progress","canceled":["crm"],"not_stopped":{"mail":"its call is under way"},`+
			`"targets":{"crm":{"state":"canceled","message":"canceled before it was begun"},"mail":{"state":"delivering"}}}`)
	})
	out, _, err := l.command(t.Context(), "cancel", "trk_1")
	if err != nil || !strings.Contains(out, "not stopped: its call is under way") || !strings.Contains(out, "canceled before it was begun") {
		t.Errorf("%q %v", out, err)
	}
	if _, _, err := l.command(t.Context(), "cancel", "trk_2"); err == nil || !strings.Contains(err.Error(), "Not found") {
		t.Errorf("%v", err)
	}
}

// TestCommandsAreExplained: each has a sentence and an example.
func TestCommandsAreExplained(t *testing.T) {
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s lacks a sentence or an example", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			check(sub)
		}
	}
	check(newRoot())
}
