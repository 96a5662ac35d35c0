package routes

import (
	"cmp"
	"strings"

	"headgate/config/yamlsrc"
	"headgate/policies"
)

// authenticator builds one entry under `auth`; nil when something is wrong with it.
func (l *loader) authenticator(d declared) *named {
	before := l.report.Len()
	l.built[d.name] = nil // the name is known, whatever becomes of it
	if !authName.MatchString(d.name) || d.name == none {
		l.report.Addf(d.key, d.node.Path, "use lower-case letters, digits, - and _; none is taken", "%q is no name for an authenticator", d.name)
	}
	kinds := l.o.Registry.AuthenticatorNames()
	if d.node.Kind != yamlsrc.Map || len(d.node.Entries) == 0 {
		d.node.Wrong("a mapping with one of "+strings.Join(kinds, ", "), l.report)
		return nil
	}
	if len(d.node.Entries) > 1 {
		second := d.node.Entries[1]
		l.report.Addf(second.KeyPos, d.node.Path, "declare it under a name of its own", "an authenticator has one kind; %s has %d", d.name, len(d.node.Entries))
	}
	var out *named
	for _, e := range d.node.Entries {
		sound := l.report.Len()
		a := l.o.Registry.BuildAuthenticator(e.Key, e.KeyPos, l.build(d.name, d.dir, e.Value))
		if a == nil || l.report.Len() > sound {
			continue // what is built in part has nothing to close
		}
		if l.report.Len() > before {
			a.Close()
			continue
		}
		out = &named{a, d.name}
	}
	l.built[d.name] = out
	return out
}

func (l *loader) build(name, dir string, n *yamlsrc.Node) policies.Build {
	return policies.Build{Name: name, Node: n, Report: l.report, Dir: dir, Access: l.o.Access, Deps: l.o.Deps}
}

// auth reads a route's `auth`: none, a name, a list of names, or {any, scopes}.
func (l *loader) auth(route, dir string, n *yamlsrc.Node) (auth *Auth, scopes policies.Policy) {
	const hint = "write auth: [names], auth: {any: [names], scopes: [scopes]}, or auth: none for everybody"
	names := n
	switch {
	case n.Kind == yamlsrc.Scalar && n.Text == none:
		return nil, nil
	case n.Kind == yamlsrc.Null:
		l.report.Addf(n.Pos, n.Path, hint, "auth is empty")
		return nil, nil
	case n.Kind == yamlsrc.Map:
		var form authSpec
		n.Decode(&form, l.report)
		if form.Scopes != nil {
			scopes = l.policy("scopes", form.Scopes.Pos, route, dir, form.Scopes)
		}
		if form.Any == nil {
			return nil, scopes
		}
		names = form.Any
	}
	list := names.Items
	if names.Kind == yamlsrc.Scalar {
		list = []*yamlsrc.Node{names}
	}
	if len(list) == 0 {
		l.report.Addf(names.Pos, names.Path, hint, "no authenticator is named")
		return nil, scopes
	}
	return l.authOf(list), scopes
}

func (l *loader) authOf(list []*yamlsrc.Node) *Auth {
	var found []named
	seen := map[string]bool{}
	for _, n := range list {
		if n.Kind != yamlsrc.Scalar || n.Text == none {
			n.Wrong("the name of an authenticator", l.report)
			continue
		}
		if seen[n.Text] {
			l.report.Addf(n.Pos, n.Path, "name it once", "%q is named twice", n.Text)
			continue
		}
		seen[n.Text] = true
		if a := l.lookupAuth(n.Text, n.Pos, n.Path); a != nil {
			found = append(found, *a)
		}
	}
	return newAuth(found)
}

// lookupAuth finds an authenticator; nil when there is none, or it could not be built.
func (l *loader) lookupAuth(name string, at yamlsrc.Pos, path string) *named {
	a, known := l.built[name]
	if !known && !l.partial {
		hint := cmp.Or(yamlsrc.UnknownHint(name, keys(l.auths)), "declare it below auth in a route file")
		l.report.Addf(at, path, hint, "unknown authenticator %q", name)
	}
	l.used["authenticator "+name] = true
	return a
}

// trackingAuth guards the tracking API with what the operator named, or with all.
func (l *loader) trackingAuth(all []named) *Auth {
	if len(l.o.TrackingAuth) == 0 {
		if len(all) == 0 {
			return nil
		}
		return newAuth(all)
	}
	at := l.o.TrackingAuthPos
	if at.Line == 0 {
		at = yamlsrc.Pos{File: "headgate.yaml", Line: 1, Column: 1}
	}
	var found []named
	for _, name := range l.o.TrackingAuth {
		if a := l.lookupAuth(name, at, "tracking.auth"); a != nil {
			found = append(found, *a)
		}
	}
	return newAuth(found)
}

func keys(list []declared) []string {
	out := make([]string, len(list))
	for i, d := range list {
		out[i] = d.name
	}
	return out
}
