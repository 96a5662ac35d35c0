package admin

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func withLevel(t *testing.T) (*Server, *slog.LevelVar, *logText) {
	t.Helper()
	v, log := new(slog.LevelVar), &logText{}
	return start(t, func(o *Options) {
		o.Level, o.Log = v, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: v}))
	}), v, log
}

func TestLogLevel(t *testing.T) {
	s, v, log := withLevel(t)
	if res, text := ask(t, s, "GET", "/loglevel", "", bearer); res.status != 200 || text != `{"level":"info"}` {
		t.Errorf("at first: %d %s", res.status, text)
	}
	// Every change is in the log, also the one after which nothing of the kind would be.
	for _, step := range []struct{ was, now string }{{"info", "debug"}, {"debug", "error"}, {"error", "info"}, {"info", "warn"}} {
		res, text := ask(t, s, "PUT", "/loglevel", `{"level":"`+step.now+`"}`, bearer, jsonType)
		if res.status != 200 || text != `{"level":"`+step.now+`"}` || levelName(v.Level()) != step.now {
			t.Errorf("%v: %d %s, is %s", step, res.status, text, v.Level())
		}
		if told := log.take(); !strings.Contains(told, "was="+step.was+" now="+step.now) {
			t.Errorf("%v was logged as %q", step, told)
		}
	}
	for _, body := range []string{`{}`, `{"level":"loud"}`, `{"level":"info","for":"soon"}`, `{"level":"info","for":"-1m"}`, `{"level":"info","for":"0s"}`, `{"level":"info","until":"x"}`, `[]`, `{"level":5}`} {
		if res, text := ask(t, s, "PUT", "/loglevel", body, bearer, jsonType); res.status != 400 || v.Level() != slog.LevelWarn || strings.Contains(text, "LevelWish") {
			t.Errorf("%s: %d %s, is %s", body, res.status, text, v.Level())
		}
	}
	if res, _ := ask(t, s, "PUT", "/loglevel", `{"level":"info"}`, bearer); res.status != 415 {
		t.Errorf("no media type: %d", res.status)
	}
	res, text := ask(t, s, "PUT", "/loglevel", `{"level":"debug","for":"10m"}`, bearer, jsonType)
	var view LevelView
	if err := json.Unmarshal([]byte(text), &view); err != nil || res.status != 200 || view.Then != "warn" || view.Level != "debug" {
		t.Errorf("for a time: %d %s", res.status, text)
	}
	if left := time.Until(view.Until); left < 9*time.Minute || left > 10*time.Minute {
		t.Errorf("until %v", view.Until)
	}
}

// TestSetLevelIsForGood: what the file says is not undone when a level for a time ends.
func TestSetLevelIsForGood(t *testing.T) {
	s, v, _ := withLevel(t)
	if res, text := ask(t, s, "PUT", "/loglevel", `{"level":"debug","for":"10m"}`, bearer, jsonType); res.status != 200 {
		t.Fatalf("%d %s", res.status, text)
	}
	s.SetLevel(slog.LevelError)
	if _, text := ask(t, s, "GET", "/loglevel", "", bearer); text != `{"level":"error"}` || v.Level() != slog.LevelError {
		t.Errorf("%s, is %s", text, v.Level())
	}
}

// TestLevelGoesBack: after its time, to what was before the first of those that are for a
// time; one for good ends that.
func TestLevelGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, log := new(slog.LevelVar), &logText{}
		l := level{v: v, log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: v}))}
		set := func(to slog.Level, span time.Duration) {
			if _, after := l.set(to, span); after != nil {
				after()
			}
		}
		is := func(want slog.Level) {
			t.Helper()
			synctest.Wait()
			if v.Level() != want || l.view().Level != levelName(want) {
				t.Errorf("it is %s, want %s", v.Level(), want)
			}
		}
		set(slog.LevelDebug, time.Minute)
		time.Sleep(30 * time.Second)
		is(slog.LevelDebug)
		set(slog.LevelError, time.Minute)
		time.Sleep(45 * time.Second) // the first one's time is over
		is(slog.LevelError)
		time.Sleep(20 * time.Second)
		is(slog.LevelInfo)
		if told := log.take(); !strings.Contains(told, "was=error now=info") {
			t.Errorf("its end was logged as %q", told)
		}
		set(slog.LevelDebug, time.Minute)
		set(slog.LevelWarn, 0)
		time.Sleep(time.Hour)
		is(slog.LevelWarn)
		if view := l.view(); view.Then != "" || !view.Until.IsZero() {
			t.Errorf("%+v", view)
		}
		// One whose end comes before it was set stays as it was.
		_, after := l.set(slog.LevelError, time.Nanosecond)
		time.Sleep(time.Second)
		after()
		is(slog.LevelWarn)
		set(slog.LevelDebug, time.Minute)
		l.stop()
		time.Sleep(time.Hour)
		is(slog.LevelDebug)
	})
}
