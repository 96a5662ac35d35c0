// Package recipes owns targets that are ready to use: for each vendor a tree of YAML with
// parameters, its limits as data, and a page for people. It expands a target that names
// one into a plain target, and does not know what the keys of a target mean.
package recipes

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"sync"

	"headgate/config/yamlsrc"
)

//go:embed */recipe.yaml */README.md */recipe_test.yaml
var files embed.FS

// Recipe is a target with parameters.
type Recipe struct {
	Name    string
	Summary string
	With    []Parameter // in the order of the file
	File    string      // where problems within it are: recipes/slack/recipe.yaml
	YAML    []byte      // the file
	README  []byte

	target *yamlsrc.Node
}

// Kind is what a parameter takes.
type Kind string

// The kinds of parameter.
const (
	Text    Kind = "text" // any scalar, the default
	List    Kind = "list"
	Mapping Kind = "mapping"
	Secret  Kind = "secret" // where one is kept: {env: NAME} or {file: PATH}
)

var kinds = []Kind{Text, List, Mapping, Secret}

// Parameter is a key of with.
type Parameter struct {
	Name        string        `yaml:"-"`
	Description string        `yaml:"description,required"`
	Kind        Kind          `yaml:"type"`
	Required    bool          `yaml:"required"`
	Default     *yamlsrc.Node `yaml:"default"`
}

// All gives the recipes by name.
func All() []*Recipe { return slices.Clone(all()) }

// Names lists what Find finds.
func Names() []string {
	var out []string
	for _, r := range all() {
		out = append(out, r.Name)
	}
	return out
}

// Find gives a recipe; nil when there is none of that name.
func Find(name string) *Recipe {
	list := all()
	if i := slices.IndexFunc(list, func(r *Recipe) bool { return r.Name == name }); i >= 0 {
		return list[i]
	}
	return nil
}

// Tests gives the text of the recipe's own tests, for `headgate test`.
func (r *Recipe) Tests() []byte { return read(r.Name, "recipe_test.yaml") }

// all reads the recipes when they are first asked for. They are a part of the program: one
// that is wrong is a defect, which the tests find.
var all = sync.OnceValue(func() []*Recipe {
	folders, err := files.ReadDir(".")
	if err != nil {
		panic(err)
	}
	var report yamlsrc.Report
	out := make([]*Recipe, len(folders))
	for i, f := range folders {
		name := f.Name()
		out[i] = parse(name, read(name, "recipe.yaml"), &report)
		out[i].README = read(name, "README.md")
	}
	if err := report.Err(); err != nil {
		panic(fmt.Sprintf("recipes: %s", err))
	}
	return out
})

func read(name, file string) []byte {
	text, err := files.ReadFile(path.Join(name, file))
	if err != nil {
		panic(err)
	}
	return text
}

// parse reads a recipe and checks that its parameters and the places for them agree.
func parse(name string, text []byte, report *yamlsrc.Report) *Recipe {
	r := &Recipe{Name: name, File: path.Join("recipes", name, "recipe.yaml"), YAML: text}
	var file struct {
		Summary string        `yaml:"summary,required"`
		With    *yamlsrc.Node `yaml:"with"`
		Target  *yamlsrc.Node `yaml:"target,required"`
	}
	yamlsrc.Parse(r.File, text, report).Decode(&file, report)
	r.Summary, r.target = file.Summary, file.Target
	if file.With != nil {
		for _, e := range file.With.Entries {
			p := Parameter{Name: e.Key, Kind: Text}
			e.Value.Decode(&p, report)
			switch {
			case !slices.Contains(kinds, p.Kind):
				report.Addf(e.Value.Pos, e.Value.Path, "write text, list, mapping or secret", "there is no type %q", p.Kind)
			case p.Default != nil && p.Required:
				report.Addf(e.Value.Pos, e.Value.Path, "keep one of them", "what is required has no default")
			case p.Default != nil:
				p.check(p.Default, report)
			}
			r.With = append(r.With, p)
		}
	}
	if r.target != nil {
		r.checkPlaces(report)
	}
	return r
}

// checkPlaces fills the tree with an example of each parameter: so each has a place, and
// each place a parameter whose kind can stand there.
func (r *Recipe) checkPlaces(report *yamlsrc.Report) {
	used := map[string]bool{}
	r.target.Fill("target", func(name string) (*yamlsrc.Node, bool) {
		i := slices.IndexFunc(r.With, func(p Parameter) bool { return p.Name == name })
		if i < 0 {
			return nil, false
		}
		used[name] = true
		return r.With[i].example(r.target.Pos), true
	}, report)
	for _, p := range r.With {
		if !used[p.Name] {
			report.Addf(r.target.Pos, "with."+p.Name, "write $("+p.Name+") into target", "the parameter %s has no place", p.Name)
		}
	}
}

// example is a value of the parameter's kind.
func (p *Parameter) example(at yamlsrc.Pos) *yamlsrc.Node {
	n := &yamlsrc.Node{Kind: yamlsrc.Scalar, Pos: at, Path: p.Name, Text: "example", Quoted: true}
	switch p.Kind {
	case List:
		n.Kind = yamlsrc.Seq
	case Mapping, Secret:
		n.Kind = yamlsrc.Map
	case Text:
	}
	return n
}
