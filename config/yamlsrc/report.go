package yamlsrc

import (
	"fmt"
	"sort"
	"strings"
)

// Problem is one thing wrong with a file, told so that its author can mend it.
type Problem struct {
	Pos
	Path    string // the YAML path, such as routes[0].targets.crm
	Message string
	Hint    string // what to write instead; may be empty
	Source  string // the line in question
}

// Report gathers the problems of all files of one load. The zero value is ready.
type Report struct {
	problems []Problem
	sources  map[string][]string
}

func (r *Report) addSource(name string, text []byte) {
	if r.sources == nil {
		r.sources = map[string][]string{}
	}
	r.sources[name] = strings.Split(string(text), "\n")
}

// Addf adds a problem at pos. The hint says what to write instead.
func (r *Report) Addf(pos Pos, path, hint, format string, args ...any) {
	p := Problem{Pos: pos, Path: path, Message: fmt.Sprintf(format, args...), Hint: hint}
	if lines := r.sources[pos.File]; pos.Line > 0 && pos.Line <= len(lines) {
		p.Source = strings.TrimRight(lines[pos.Line-1], "\r")
	}
	r.problems = append(r.problems, p)
}

// Len is the number of problems so far: a caller that wants to know whether a part
// was sound compares before and after.
func (r *Report) Len() int { return len(r.problems) }

// Problems gives all problems by file, line and column.
func (r *Report) Problems() []Problem {
	out := append([]Problem(nil), r.problems...)
	sort.SliceStable(out, func(i, j int) bool {
		a, b := out[i].Pos, out[j].Pos
		if a.File != b.File {
			return a.File < b.File
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Column < b.Column
	})
	return out
}

// Err is nil when there is no problem, otherwise an error that lists all of them.
func (r *Report) Err() error {
	if len(r.problems) == 0 {
		return nil
	}
	return &ProblemsError{Problems: r.Problems()}
}

// ProblemsError is the error form of a Report.
type ProblemsError struct{ Problems []Problem }

// Error lists every problem in the form a compiler would.
func (e *ProblemsError) Error() string {
	var out strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			out.WriteByte('\n')
		}
		out.WriteString(p.String())
	}
	return out.String()
}

// String gives the message at its place, the source line with a caret, and the hint.
func (p Problem) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s: %s", p.Pos, p.Message)
	if p.Path != "" {
		fmt.Fprintf(&out, " (%s)", p.Path)
	}
	if p.Source != "" {
		number := fmt.Sprintf("%5d | ", p.Line)
		fmt.Fprintf(&out, "\n%s%s\n%s| %s^", number, p.Source, strings.Repeat(" ", len(number)-2), indent(p.Source, p.Column))
	}
	if p.Hint != "" {
		fmt.Fprintf(&out, "\n        hint: %s", p.Hint)
	}
	return out.String()
}

// indent gives white space as wide as the text before column, tabs kept as tabs.
func indent(source string, column int) string {
	var out strings.Builder
	for i, r := range []rune(source) {
		if i >= column-1 {
			break
		}
		if r != '\t' {
			r = ' '
		}
		out.WriteRune(r)
	}
	return out.String()
}

// Nearest gives the known word closest to word, empty when none is close: what a
// person most likely meant.
func Nearest(word string, known []string) string {
	best, bestDistance := "", len(word)/2+1
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// UnknownHint is the hint for an unknown word among known ones.
func UnknownHint(word string, known []string) string {
	if best := Nearest(word, known); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	known = append([]string(nil), known...)
	sort.Strings(known)
	if len(known) == 0 {
		return ""
	}
	return "known here: " + strings.Join(known, ", ")
}

// distance is the Levenshtein distance of two short words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
