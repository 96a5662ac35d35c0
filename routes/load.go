package routes

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"headgate/config/yamlsrc"
	"headgate/dispatch/target"
	"headgate/policies"
)

// Load reads, checks and compiles the files. All problems of all files are in report;
// the table is nil when there is any.
func Load(files []string, o Options, report *yamlsrc.Report) *Table {
	sources := make([]source, len(files))
	for i, name := range files {
		text, err := report.ReadFile(name)
		sources[i] = source{name, text, err}
	}
	return load(sources, o, report)
}

type source struct {
	name string
	text []byte
	err  error
}

// declared is a named part of a file.
type declared struct {
	name string
	dir  string // of its file
	key  yamlsrc.Pos
	node *yamlsrc.Node
}

// loader gathers what the files declare and then compiles it: names hold over all
// files, so nothing can be compiled before all are read.
type loader struct {
	o      Options
	report *yamlsrc.Report
	// partial: a file could not be read, so that a name nobody declares is no problem.
	partial bool

	auths, targets, routes []declared
	seen                   map[string]yamlsrc.Pos // "target crm", "POST /a/:" and so on

	built map[string]*named // nil where building went wrong
	plans map[string]*target.Plan
	used  map[string]bool

	doubts []doubt
}

func load(sources []source, o Options, report *yamlsrc.Report) *Table {
	if o.Registry == nil {
		o.Registry = policies.NewRegistry()
	}
	if o.Env == nil {
		o.Env = yamlsrc.Environment
	}
	l := &loader{
		o: o, report: report, seen: map[string]yamlsrc.Pos{},
		built: map[string]*named{}, plans: map[string]*target.Plan{}, used: map[string]bool{},
	}
	before := report.Len()
	for _, s := range sources {
		l.read(s)
	}
	if len(l.routes) == 0 && len(sources) > 0 && report.Len() == before {
		report.Addf(yamlsrc.Pos{File: sources[0].name, Line: 1, Column: 1}, "", "add routes: [{name: …, match: …}]", "no file declares a route")
	}
	t := &Table{plans: l.plans, sums: map[string]string{}}
	// A failed load leaves nothing running, even when a part of it panics.
	ok := false
	defer func() {
		if !ok {
			t.Close()
		}
	}()
	for _, d := range l.auths {
		reads := len(report.Reads())
		if a := l.authenticator(d); a != nil {
			t.authenticators = append(t.authenticators, *a)
			t.sums[d.name] = sumOf(d.node, report.Reads()[reads:])
		}
	}
	for _, d := range l.targets {
		if plan := compileTarget(d, o, report); plan != nil {
			l.plans[d.name] = plan
		}
	}
	for _, d := range l.routes {
		reads := len(report.Reads())
		if r := l.route(d); r != nil {
			r.sum = sumOf(d.node, report.Reads()[reads:])
			t.routes = append(t.routes, r)
		}
	}
	t.trackingAuth = l.trackingAuth(t.authenticators)
	if report.Len() > before {
		return nil
	}
	t.methods, t.names = newIndex(t.routes)
	t.warnings = l.warnings()
	ok = true
	return t
}

// read parses one file and notes what it declares.
func (l *loader) read(s source) {
	if s.err != nil {
		l.partial = true
		cause := s.err
		var path *fs.PathError
		if errors.As(s.err, &path) {
			cause = path.Err // the position tells the path
		}
		l.report.Addf(yamlsrc.Pos{File: s.name, Line: 1, Column: 1}, "", "check routes in headgate.yaml", "read route file: %s", cause)
		return
	}
	before := l.report.Len()
	if len(bytes.TrimSpace(s.text)) == 0 {
		// What a full disk leaves, or a command that has yet to write: taken as it stands it would
		// put every route of the file out of force.
		l.partial = true
		l.report.Addf(yamlsrc.Pos{File: s.name, Line: 1, Column: 1}, "", "write what it declares, or remove it; a comment is enough for one that declares nothing", "the file is empty")
		return
	}
	root := yamlsrc.Parse(s.name, s.text, l.report)
	if root.Kind == yamlsrc.Null {
		l.partial = l.partial || l.report.Len() > before
		return
	}
	root.Expand(l.lookup, l.report)
	var file struct {
		Auth    *yamlsrc.Node `yaml:"auth"`
		Targets *yamlsrc.Node `yaml:"targets"`
		Routes  *yamlsrc.Node `yaml:"routes"`
	}
	root.Decode(&file, l.report)
	dir := filepath.Dir(s.name)
	l.declare("authenticator", file.Auth, dir, &l.auths)
	l.declare("target", file.Targets, dir, &l.targets)
	if file.Routes == nil || file.Routes.Kind == yamlsrc.Null {
		return
	}
	if file.Routes.Kind != yamlsrc.Seq {
		file.Routes.Wrong("a list: - name: …", l.report)
		return
	}
	for _, n := range file.Routes.Items {
		l.routes = append(l.routes, declared{dir: dir, key: n.Pos, node: n})
	}
}

func (l *loader) declare(kind string, n *yamlsrc.Node, dir string, into *[]declared) {
	if n == nil || n.Kind == yamlsrc.Null {
		return
	}
	if n.Kind != yamlsrc.Map {
		n.Wrong("a mapping of names", l.report)
		return
	}
	for _, e := range n.Entries {
		if l.first(kind, e.Key, e.KeyPos, e.Value.Path) {
			*into = append(*into, declared{e.Key, dir, e.KeyPos, e.Value})
		}
	}
}

// first claims a name; taken, it is a problem that tells where.
func (l *loader) first(kind, name string, at yamlsrc.Pos, path string) bool {
	key := kind + " " + name
	if where, taken := l.seen[key]; taken {
		l.report.Addf(at, path, "give it another name, or remove one of them", "the %s %q is declared twice, first at %s:%d", kind, name, where.File, where.Line)
		return false
	}
	l.seen[key] = at
	return true
}

// forbiddenError says that the operator has not opened a variable to route files.
type forbiddenError struct{ name string }

func (e *forbiddenError) Error() string {
	return "routes may not read the environment variable " + e.name
}

// Hint tells what to do; yamlsrc asks for it.
func (e *forbiddenError) Hint() string {
	return fmt.Sprintf("add %s to routes_may_read.env in headgate.yaml", e.name)
}

func (l *loader) lookup(name string) (string, error) {
	if !l.o.Access.AllowsEnv(name) {
		return "", &forbiddenError{name}
	}
	return l.o.Env(name)
}

func (l *loader) warnings() []yamlsrc.Problem {
	report := l.report.Fork()
	for _, d := range l.doubts {
		report.Addf(d.Pos, d.Path, d.hint, "%s", d.message)
	}
	for _, d := range l.auths {
		if !l.used["authenticator "+d.name] {
			report.Addf(d.key, d.node.Path, "name it in a route's auth, or remove it", "no route uses the authenticator %q", d.name)
		}
	}
	for _, d := range l.targets {
		if !l.used["target "+d.name] {
			report.Addf(d.key, d.node.Path, "name it in a route's targets, or remove it", "no route uses the target %q", d.name)
		}
	}
	return report.Problems()
}
