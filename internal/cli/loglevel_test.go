package cli

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestLogLevelCommand(t *testing.T) {
	l := listen(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			fmt.Fprint(w, `{"level":"debug","until":"2026-03-01T12:00:00Z","then":"info"}`)
			return
		}
		fmt.Fprint(w, `{"level":"info"}`)
	})
	if out, _, err := l.command(t.Context(), "loglevel"); out != "info\n" || err != nil {
		t.Errorf("%q %v", out, err)
	}
	out, _, err := l.command(t.Context(), "loglevel", "debug", "--for", "10m")
	if !strings.HasPrefix(out, "debug until 2026-03-01T") || !strings.HasSuffix(out, ", then info\n") || err != nil {
		t.Errorf("%q %v", out, err)
	}
	want := `[GET /loglevel PUT /loglevel {"level":"debug","for":"10m"}]`
	if fmt.Sprint(l.asked) != want {
		t.Errorf("asked %s, want %s", l.asked, want)
	}
	for _, args := range [][]string{{"loglevel", "--for", "10m"}, {"loglevel", "debug", "info"}} {
		if _, _, err := l.command(t.Context(), args...); exitCode(err) != 2 {
			t.Errorf("%v: %v", args, err)
		}
	}
}
