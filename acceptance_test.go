package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"headgate/internal/cli"
)

// TestMain lets this test binary be headgate as well: the stories and the crash tests
// run it under that name, as processes of their own and under the race detector.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"headgate": func() {
			go endWithParent(os.Getppid())
			os.Exit(cli.Run(moved(os.Args[1:], os.Getenv(movedVariable))))
		},
	})
}

// endWithParent keeps a test that was cut short from leaving servers behind.
func endWithParent(parent int) {
	for range time.Tick(time.Second) {
		if os.Getppid() != parent {
			os.Exit(3)
		}
	}
}

// TestStories runs testdata/script: configuration, requests and what must come of them,
// side by side. What the scripts can say besides testscript's own commands is in
// storyCommands.
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: setUpStory, Cmds: storyCommands,
	})
}

// worldKey is where a story keeps its world.
type worldKey struct{}

func setUpStory(env *testscript.Env) error {
	t, ok := env.T().(testing.TB)
	if !ok {
		return fmt.Errorf("%T is no testing.TB", env.T())
	}
	w := newWorld(t, env.WorkDir)
	env.Values[worldKey{}] = w
	for _, name := range slices.Sorted(maps.Keys(w.vars)) {
		env.Setenv(name, w.vars[name])
	}
	env.Defer(w.close)
	return nil
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

// developmentSecrets are those of examples/quickstart/env.sh, whose backends the
// simulator stands in for.
var developmentSecrets = map[string]string{
	"MOBILE_JWT_KEY":       "a-development-key-of-at-least-32-bytes",
	"CRM_TOKEN":            "crm-development-token",
	"NEWSLETTER_KEY":       "newsletter-development-key",
	"MARKETING_PASSWORD":   "marketing-development-password",
	"HEADGATE_ADMIN_TOKEN": "admin-development-token",
}

var ports struct {
	sync.Mutex
	taken map[int]bool
}

// freeAddr gives an address that nobody listens on. Its port is below those that the
// kernel gives to outgoing connections, so that it stays free while a process that is
// killed and started again does not hold it.
func freeAddr(t testing.TB) string {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	for range 200 {
		port := 10000 + rand.IntN(10000)
		if ports.taken[port] {
			continue
		}
		addr := "127.0.0.1:" + strconv.Itoa(port)
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if ports.taken == nil {
			ports.taken = map[int]bool{}
		}
		ports.taken[port] = true
		return addr
	}
	t.Fatal("no free port")
	return ""
}
