package doctor

import (
	"fmt"
	"strings"

	"headgate/config/yamlsrc"
	"headgate/internal/app"
)

// files reads and checks the files, as `headgate check` does.
func (e *exam) files() (out []Finding) {
	say := func(state State, do, format string, args ...any) {
		out = append(out, Finding{"files", state, fmt.Sprintf(format, args...), do})
	}
	var report yamlsrc.Report
	e.conf, e.table = app.Load(e.o.ConfigPath, e.deps(), &report)
	if problems := report.Problems(); len(problems) > 0 {
		for _, p := range problems {
			say(Problem, p.Hint, "%s: %s", p.Pos, p.Message)
		}
		say(Warning, "headgate check -c "+e.o.ConfigPath, "targets and key sets are not looked at: the files have problems")
		return out
	}
	for _, w := range e.table.Warnings() {
		say(Warning, w.Hint, "%s: %s", w.Pos, w.Message)
	}
	for _, text := range app.Findings(e.conf, e.table, app.RoleAll) {
		what, do, _ := strings.Cut(text, "; ")
		say(Warning, do, "%s", what)
	}
	for _, s := range app.UnreadableSecrets(e.table.Plans()) {
		say(Warning, "workers need it; make it readable for them, or run this where they run", "target %s: %s", strings.Join(s.Targets, ", "), s.Err)
	}
	if len(out) == 0 {
		say(OK, "", "%s: %s, %s", e.o.ConfigPath, count(len(e.table.Routes()), "route"), count(len(e.table.Plans()), "target"))
	}
	return out
}

func count[N int | int64](n N, word string) string {
	switch {
	case n == 1:
		return "1 " + word
	case strings.HasSuffix(word, "y"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(word, "y"))
	case strings.HasSuffix(word, "ss"):
		return fmt.Sprintf("%d %ses", n, word)
	}
	return fmt.Sprintf("%d %ss", n, word)
}
