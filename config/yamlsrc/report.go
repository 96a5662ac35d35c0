package yamlsrc

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Problem is one thing wrong with a file, told so that its author can mend it.
type Problem struct {
	Pos
	Path    string // the YAML path, such as routes[0].targets.crm
	Message string
	Hint    string // what to write instead; may be empty
	Source  string // the line in question; empty when a secret stands in it

	only bool // the value is not what was meant: what else is said of it is noise
}

// Report gathers the problems of all files of one load. The zero value is ready.
type Report struct {
	problems []Problem
	sources  map[string][]string
	secret   map[Pos]bool // lines that must not be shown; Column is zero
	reads    []Read
	around   []enclosing // what is being decoded, from without
}

func (r *Report) addSource(name string, text []byte) {
	if r.sources == nil {
		r.sources = map[string][]string{}
	}
	r.sources[name] = strings.Split(string(text), "\n")
}

func (r *Report) line(pos Pos) string {
	if lines := r.sources[pos.File]; pos.Line > 0 && pos.Line <= len(lines) {
		return lines[pos.Line-1]
	}
	return ""
}

// clamp moves a position into its file: the parser places some things behind a line's
// end or before the first line.
func (r *Report) clamp(pos Pos) Pos {
	pos.Line = min(max(pos.Line, 1), max(len(r.sources[pos.File]), 1))
	pos.Column = min(max(pos.Column, 1), utf8.RuneCountInString(r.line(pos))+1)
	return pos
}

// Addf adds a problem at pos. The hint says what to write instead.
func (r *Report) Addf(pos Pos, path, hint, format string, args ...any) {
	r.problems = append(r.problems, Problem{Pos: pos, Path: path, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// addOnlyf is Addf for a value that could not be made out: other problems at its place
// are counted, but not told.
func (r *Report) addOnlyf(pos Pos, path, hint, format string, args ...any) {
	r.Addf(pos, path, hint, format, args...)
	r.problems[len(r.problems)-1].only = true
}

// AddSecretf is Addf for a problem with a secret that stands at n in clear: neither
// this nor any other problem shows the lines in which it is written.
func (r *Report) AddSecretf(n *Node, hint, format string, args ...any) {
	r.Conceal(n)
	r.Addf(n.Pos, n.Path, hint, format, args...)
}

// Conceal keeps the lines of n out of everything that is printed.
func (r *Report) Conceal(n *Node) {
	if r.secret == nil {
		r.secret = map[Pos]bool{}
	}
	for line := n.Line; line <= n.lastLine(); line++ {
		r.secret[Pos{File: n.File, Line: line}] = true
	}
}

// lastLine is where n ends.
func (n *Node) lastLine() int {
	end := max(n.Line, n.end)
	for _, e := range n.Entries {
		end = max(end, e.Value.lastLine())
	}
	for _, item := range n.Items {
		end = max(end, item.lastLine())
	}
	return end
}

// Fork makes an empty report on the same files, for what is worth telling and no problem.
func (r *Report) Fork() *Report { return &Report{sources: r.sources, secret: r.secret} }

// Merge adds the problems of another report, on whatever files: those that r has already
// are not told twice.
func (r *Report) Merge(other *Report) {
	for name, lines := range other.sources {
		if r.sources == nil {
			r.sources = map[string][]string{}
		}
		r.sources[name] = lines
	}
	r.reads = append(r.reads, other.reads...)
	for pos := range other.secret {
		if r.secret == nil {
			r.secret = map[Pos]bool{}
		}
		r.secret[pos] = true
	}
	for _, p := range other.problems {
		if !slices.Contains(r.problems, p) {
			r.problems = append(r.problems, p)
		}
	}
}

// Move tells the problems of a file that is not the reader's at another place. Their
// messages say where in that file they were found.
func (r *Report) Move(file string, to Pos) {
	for i := range r.problems {
		if p := &r.problems[i]; p.File == file {
			p.Message, p.Pos = fmt.Sprintf("%s (%s)", p.Message, p.Pos), to
		}
	}
}

// Len is the number of problems so far: a caller that wants to know whether a part
// was sound compares before and after.
func (r *Report) Len() int { return len(r.problems) }

// Problems gives all problems by file, line and column.
func (r *Report) Problems() []Problem {
	only := map[Pos]bool{}
	for _, p := range r.problems {
		only[p.Pos] = only[p.Pos] || p.only
	}
	out := make([]Problem, 0, len(r.problems))
	for _, p := range r.problems {
		if p.only || !only[p.Pos] {
			out = append(out, p)
		}
	}
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
	for i, p := range out {
		if !r.secret[Pos{File: p.File, Line: p.Line}] {
			out[i].Source = r.line(p.Pos)
		}
	}
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
		source, caret := window(p.Source, p.Column)
		number := fmt.Sprintf("%5d | ", p.Line)
		fmt.Fprintf(&out, "\n%s%s\n%s| %s^", number, source, strings.Repeat(" ", len(number)-2), caret)
	}
	if p.Hint != "" {
		fmt.Fprintf(&out, "\n        hint: %s", p.Hint)
	}
	return out.String()
}

// maxShown is how much of a line is printed: a JSON file may be one line altogether.
const maxShown = 160

// window gives the part of a source line around column that is fit to print, and white
// space as wide as what stands before column in it, tabs kept as tabs.
func window(source string, column int) (shown, before string) {
	runes := []rune(source)
	from := 0
	if column > maxShown*3/4 {
		from = min(column-maxShown/2, len(runes))
	}
	to := min(from+maxShown, len(runes))
	var text, space strings.Builder
	if from > 0 {
		text.WriteRune('…')
		space.WriteByte(' ')
	}
	for i, r := range runes[from:to] {
		if r != '\t' && !unicode.IsPrint(r) {
			r = unicode.ReplacementChar // the file may hold what a terminal would obey
		}
		text.WriteRune(r)
		if r != '\t' {
			r = ' '
		}
		if from+i < column-1 {
			space.WriteRune(r)
		}
	}
	if to < len(runes) {
		text.WriteRune('…')
	}
	return text.String(), space.String()
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

// distance counts the edits between two short words: letters added, dropped, changed,
// or two neighbours swapped, which is the commonest slip of all.
func distance(a, b string) int {
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
