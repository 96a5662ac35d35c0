package app_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/gateway/admin"
	"headgate/gateway/wire"
	"headgate/internal/app"
	"headgate/internal/testenv"
)

const plainTarget = " {url: http://127.0.0.1:1, post: /}"

// TestReloadOverTheAPI tells what has changed, and what is wrong, each at its place.
func TestReloadOverTheAPI(t *testing.T) {
	var level slog.LevelVar
	var log lines
	r := reloadRig(t, map[string]string{"one": plainTarget, "two": plainTarget}, func(o *app.Options) {
		o.Level, o.Log = &level, slog.New(slog.NewTextHandler(&log, nil))
	})
	started := r.reloadState(t)
	if started.Last != nil || started.Hash == "" || started.Routes != 2 || started.Watch != "off" {
		t.Errorf("after the start: %+v", started)
	}
	r.routes(t, map[string]string{"one": " {url: http://127.0.0.1:1, post: /x}", "three": plainTarget})
	r.rewrite(t, "headgate.yaml", func(s string) string {
		s = strings.Replace(s, "redis:\n", "redis:\n  pool_size: 99\n", 1)
		return s + "telemetry: {log: {level: debug}}\ntracking: {rate_limit: [{limit: 9, per: 1s, by: ip}]}\n"
	})
	var did admin.ReloadState
	if status, err := r.ask(t.Context(), http.MethodPost, "/reload", "{}", &did); err != nil || status != http.StatusOK {
		t.Fatalf("%d %v", status, err)
	}
	want := &admin.Changed{
		Routes:  admin.Names{Added: []string{"to-three"}, Removed: []string{"to-two"}},
		Targets: admin.Names{Added: []string{"three"}, Removed: []string{"two"}, Changed: []string{"one"}},
		Keys:    []string{"telemetry.log.level"},
	}
	if !did.Last.OK || did.Last.By != "api" || !reflect.DeepEqual(did.Last.Changed, want) {
		t.Errorf("changed: %+v, %+v", did.Last, did.Last.Changed)
	}
	if needs := []string{"redis.pool_size", "tracking.rate_limit"}; !slices.Equal(did.NeedsRestart, needs) {
		t.Errorf("%v need a restart, want %v", did.NeedsRestart, needs)
	}
	if did.Hash == started.Hash || !did.Since.After(started.Since) || level.Level() != slog.LevelDebug {
		t.Errorf("hash %s, since %v, level %v", did.Hash, did.Since, level.Level())
	}
	told := log.take("msg=reloaded")
	if len(told) != 1 || !strings.Contains(told[0], `routes_added=[to-three] routes_removed=[to-two] targets_added=[three] targets_removed=[two] targets_changed=[one] keys_changed=[telemetry.log.level] needs_restart="[redis.pool_size tracking.rate_limit]"`) {
		t.Errorf("the log says %q", told)
	}

	// The level of the file is set when the file changes it, and else left to who has set it.
	level.Set(slog.LevelError)
	before := r.Table()
	r.rewrite(t, "routes/profiles.yaml", func(s string) string {
		return strings.NewReplacer("post: /x", "pots: /x", "targets: {three:", "targets: {thre:").Replace(s)
	})
	var problem struct {
		wire.Problem
		Errors []admin.FileProblem `json:"errors"`
	}
	status, err := r.ask(t.Context(), http.MethodPost, "/reload", "", &problem)
	if err != nil || status != http.StatusUnprocessableEntity || problem.Type != wire.URN("reload-refused") || len(problem.Errors) != 3 {
		t.Fatalf("%d %+v %v", status, problem, err)
	}
	for _, p := range problem.Errors {
		if !strings.HasSuffix(p.File, "routes/profiles.yaml") || p.Line == 0 || p.Column == 0 || p.Detail == "" || p.Path == "" {
			t.Errorf("%+v", p)
		}
	}
	after := r.reloadState(t)
	if r.Table() != before || after.Hash != did.Hash || after.Last.OK || len(after.Last.Problems) != 3 {
		t.Errorf("in force is %s, was %s; last %+v", after.Hash, did.Hash, after.Last)
	}
	if page := r.figures(t); !strings.Contains(page, "headgate_config_last_reload_successful 0") {
		t.Error("the metric says that it went well")
	}
	if level.Level() != slog.LevelError {
		t.Errorf("the level is %v", level.Level())
	}
}

// TestReloadOfManyTargets: the log names some of them, the API all.
func TestReloadOfManyTargets(t *testing.T) {
	var log lines
	r := reloadRig(t, map[string]string{"one": plainTarget}, func(o *app.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	many := map[string]string{"one": plainTarget}
	for i := range 30 {
		many[fmt.Sprintf("t%02d", i)] = plainTarget
	}
	r.routes(t, many)
	did, err := r.ReloadBy(t.Context(), app.ByAPI)
	if err != nil || len(did.Changed.Targets.Added) != 30 {
		t.Fatalf("%v, %+v", err, did.Changed)
	}
	told := log.take("msg=reloaded")
	if len(told) != 1 || !strings.Contains(told[0], `t18 t19 and 10 more]"`) || strings.Contains(told[0], "t20") {
		t.Errorf("the log says %q", told)
	}
}

// TestReloadWithoutAdminToken is refused with the place where the token was to be, beside
// whatever else is wrong.
func TestReloadWithoutAdminToken(t *testing.T) {
	r := reloadRig(t, map[string]string{"one": plainTarget})
	r.rewrite(t, "headgate.yaml", func(s string) string {
		return strings.Replace(s, "env: HEADGATE_ADMIN_TOKEN", "file: nowhere", 1)
	})
	r.rewrite(t, "routes/profiles.yaml", func(s string) string { return strings.Replace(s, "post:", "pots:", 1) })
	did, err := r.ReloadBy(t.Context(), app.ByAPI)
	if err == nil || len(did.Problems) < 2 {
		t.Fatalf("%v, %+v", err, did)
	}
	p := did.Problems[0]
	if !strings.HasSuffix(p.File, "headgate.yaml") || p.Line < 2 || p.Column < 2 || p.Path != "admin.token" || p.Hint == "" || !strings.Contains(p.Detail, "nowhere") {
		t.Errorf("%+v", p)
	}
}

// TestReloadWithATokenThatNobodyCanShow is refused: it would keep out everybody. The newline that
// echo puts at its end does not count.
func TestReloadWithATokenThatNobodyCanShow(t *testing.T) {
	r := reloadRig(t, map[string]string{"one": plainTarget})
	for token, refused := range map[string]bool{" ": true, "admin \n": true, "\tadmin": true, "ad\nmin": true, "admin\n\n": true, "admin\n": false} {
		t.Setenv("HEADGATE_ADMIN_TOKEN", token)
		if err := r.Reload(t.Context()); (err != nil) != refused || refused && !strings.Contains(err.Error(), "no request can carry it") {
			t.Errorf("%q: %v", token, err)
		}
	}
}

// TestReloadsAtTheSameTime follow one another: each takes what is there.
func TestReloadsAtTheSameTime(t *testing.T) {
	r := reloadRig(t, map[string]string{"one": plainTarget})
	r.routes(t, map[string]string{"two": plainTarget})
	var all sync.WaitGroup
	changes := make(chan *admin.Changed, 8)
	for range cap(changes) {
		all.Go(func() {
			did, err := r.ReloadBy(t.Context(), app.ByAPI)
			if err != nil {
				t.Error(err)
			}
			changes <- did.Changed
		})
	}
	all.Wait()
	close(changes)
	told := 0
	for c := range changes {
		if c.Any() {
			told++
		}
	}
	if told != 1 || r.Table().Plans()["two"] == nil {
		t.Errorf("%d of the reloads changed something, want 1", told)
	}
}

// TestFilesAreWatched: a ConfigMap that is replaced, a schema, a bad file.
func TestFilesAreWatched(t *testing.T) {
	r := newRig(t, nil)
	// The folder of the routes as the kubelet lays it out.
	dir := filepath.Join(r.dir, "routes")
	schema, err := os.ReadFile(filepath.Join(dir, "schemas", "profile.json"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "profiles.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "profiles.yaml")); err != nil {
		t.Fatal(err)
	}
	swap := func(version, text string) {
		t.Helper()
		r.write(t, "routes/.."+version+"/profiles.yaml", text)
		r.write(t, "routes/.."+version+"/schemas/profile.json", string(schema))
		for _, err := range []error{
			os.Symlink(".."+version, filepath.Join(dir, "..data_tmp")),
			os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	swap("1", string(text))
	if err := os.Symlink("..data/profiles.yaml", filepath.Join(dir, "profiles.yaml")); err != nil {
		t.Fatal(err)
	}
	var log lines
	r.start(t, func(o *app.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	becomes := func(what string, holds func(admin.ReloadState) bool) admin.ReloadState {
		t.Helper()
		var state admin.ReloadState
		testenv.Eventually(t, 20*time.Second, func() bool { state = r.reloadState(t); return state.Last != nil && holds(state) }, what)
		return state
	}
	swap("2", strings.Replace(string(text), "post: /customers", "post: /clients", 1))
	state := becomes("the other ConfigMap is not taken", func(s admin.ReloadState) bool { return s.Last.OK })
	if state.Last.By != "file" || !slices.Equal(state.Last.Changed.Targets.Changed, []string{"billing"}) || state.Watch != "events" {
		t.Errorf("%+v %+v", state, state.Last)
	}
	r.write(t, "routes/schemas/profile.json", strings.Replace(string(schema), "{", `{"description": "other",`, 1))
	becomes("the schema is not taken", func(s admin.ReloadState) bool {
		return slices.Equal(s.Last.Changed.Routes.Changed, []string{"profile-changed"})
	})
	swap("3", "routes: [\n")
	state = becomes("the bad file is not seen", func(s admin.ReloadState) bool { return !s.Last.OK })
	if n := len(log.take("reload refused")); n != 1 {
		t.Errorf("refused %d times", n)
	}
	at := state.Last.At
	swap("4", string(text))
	becomes("the good file is not taken", func(s admin.ReloadState) bool { return s.Last.OK && s.Last.At.After(at) })
}

// TestSecretsOfTheProcessAreTakenUp: behind the same references.
func TestSecretsOfTheProcessAreTakenUp(t *testing.T) {
	server := testenv.Redis(t, testenv.WithConf("user", "headgate", "on", ">first", ">second", "~*", "&*", "+@all"))
	r := newRigOn(t, "url: "+server.URL()+"\n  username: headgate\n  password: {file: PASSWORD}", func(t testing.TB) redis.UniversalClient { return server.Client(t) }, nil)
	secret := filepath.Join(r.dir, "password")
	r.write(t, "password", "first")
	r.write(t, "token", "admin")
	r.rewrite(t, "headgate.yaml", func(s string) string {
		return strings.NewReplacer("file: PASSWORD", "file: "+secret, "{env: HEADGATE_ADMIN_TOKEN}", "{file: "+filepath.Join(r.dir, "token")+"}").Replace(s)
	})
	r.start(t)
	r.write(t, "password", "second")
	admin := server.Client(t)
	for _, err := range []error{
		admin.Do(t.Context(), "ACL", "SETUSER", "headgate", "<first").Err(), // nobody gets in with it
		admin.ClientKillByFilter(t.Context(), "USER", "headgate").Err(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	testenv.Eventually(t, 20*time.Second, func() bool {
		id, err := r.post(t.Context(), 1)
		return err == nil && id != ""
	}, "new connections have the former password")

	r.write(t, "token", "another")
	testenv.Eventually(t, 20*time.Second, func() bool {
		resp, err := r.open(t.Context(), http.MethodGet, "/reload", "") // with the former one
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusUnauthorized
	}, "the former token still opens")
	r.write(t, "token", "admin")
	testenv.Eventually(t, 20*time.Second, func() bool {
		resp, err := r.open(t.Context(), http.MethodGet, "/reload", "")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, "the token does not open")
	if err := os.Remove(filepath.Join(r.dir, "token")); err != nil {
		t.Fatal(err)
	}
	if err := r.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "admin.token") {
		t.Errorf("without a token: %v", err)
	}
	if state := r.reloadState(t); state.Last.OK {
		t.Error("it says that it went well")
	}
}
