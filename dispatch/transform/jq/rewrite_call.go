package jq

import (
	"fmt"
	"strings"

	"github.com/itchyny/gojq"

	"headgate/config/yamlsrc"
)

// function applies the rule of the function that t calls.
func (w *rewriter) function(t *gojq.Term, in *scope) {
	f := t.Func
	for _, arg := range f.Args {
		w.query(arg, in)
	}
	name := signature(f.Name, len(f.Args))
	if in.has(name) {
		return // the expression's own
	}
	if hint, ok := refused[f.Name]; ok {
		w.fault(hint, "%s cannot be used in an expression", f.Name)
		return
	}
	if strings.HasPrefix(f.Name, "$") {
		w.variable(f.Name)
		return // an unbound one is found when the query is compiled
	}
	r, ok := functions[name]
	if !ok {
		w.unknown(f)
		return
	}
	w.regexp(f)
	switch name {
	case "getpath/1", "setpath/2":
		f.Args[0] = pipe(paren(f.Args[0]), call(prefix+"steps"))
	case "pow/2", "atan2/2", "fmin/2", "fmax/2", "fmod/2":
		for i, arg := range f.Args {
			f.Args[i] = pipe(paren(arg), call(prefix+"number"))
		}
	}
	if r.pad {
		f.Args = append(f.Args, &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeNull}})
	}
	if r.become != "" {
		f.Name = r.become
	}
	if by := strings.TrimPrefix(f.Name, prefix); by == "sub" || by == "gsub" {
		w.replacement(f, by == "gsub")
	}
	if r.before != "" {
		replace(t, pipe(call(prefix+r.before), &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeFunc, Func: f}}))
	}
	if own := signature(f.Name, len(f.Args)); inLibrary(own) {
		w.library[own] = true
		w.library[uses[own]] = true
	}
}

// replacement spares the interpreter the replacement of each match when it is a literal,
// as it nearly always is.
func (w *rewriter) replacement(f *gojq.Func, global bool) {
	if _, literal := literalString(f.Args[1]); !literal {
		return
	}
	all := gojq.TermTypeFalse
	if global {
		all = gojq.TermTypeTrue
	}
	f.Name = prefix + "replace"
	f.Args = append(f.Args, &gojq.Query{Term: &gojq.Term{Type: all}})
}

func (w *rewriter) unknown(f *gojq.Func) {
	if counts := arities(f.Name); len(counts) > 0 {
		w.fault(fmt.Sprintf("%s takes %s", f.Name, arguments(counts)), "%s cannot be called with %s", f.Name, arguments([]int{len(f.Args)}))
		return
	}
	w.fault(functionHint(f.Name), "unknown function %s", Quote(f.Name))
}

func functionHint(name string) string {
	if best := yamlsrc.Nearest(name, known()); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return "the functions are those of jq: https://jqlang.org/manual/"
}

func arguments(counts []int) string {
	words := make([]string, len(counts))
	for i, n := range counts {
		words[i] = fmt.Sprint(n)
		if n == 0 {
			words[i] = "no"
		}
	}
	if last := counts[len(counts)-1]; last == 1 {
		return strings.Join(words, " or ") + " argument"
	}
	return strings.Join(words, " or ") + " arguments"
}

// patterned are the functions whose first argument is a regular expression, with the
// place of the flags.
var patterned = map[string]int{
	"match/1": -1, "match/2": 1, "test/1": -1, "test/2": 1, "capture/1": -1, "capture/2": 1, "scan/1": -1, "scan/2": 1,
	"splits/1": -1, "splits/2": 1, "split/2": 1, "sub/2": -1, "sub/3": 2, "gsub/2": -1, "gsub/3": 2,
}

// regexp compiles a literal regular expression, so that a fault in it is found at load.
func (w *rewriter) regexp(f *gojq.Func) {
	at, ok := patterned[signature(f.Name, len(f.Args))]
	if !ok {
		return
	}
	source, ok := literalString(f.Args[0])
	if !ok {
		return
	}
	flags := ""
	if at > 0 {
		if flags, ok = literalString(f.Args[at]); !ok {
			return
		}
	}
	if _, err := compilePattern(source, flags); err != nil {
		w.fault("the syntax is Go's: https://pkg.go.dev/regexp/syntax", "%s: %v", f.Name, err)
	}
}
