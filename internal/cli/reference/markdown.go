package reference

import (
	"regexp"
	"strings"
	"unicode"
)

// table is a Markdown table.
type table struct{ rows [][]string }

func newTable(columns ...string) *table { return &table{rows: [][]string{columns}} }

// row adds a row; cells are Markdown, but for their vertical bars.
func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) write(out *strings.Builder) {
	for i, row := range t.rows {
		out.WriteString("|")
		for _, cell := range row {
			// Inside a table a bar is escaped even in code.
			out.WriteString(" " + strings.ReplaceAll(cell, "|", `\|`) + " |")
		}
		out.WriteString("\n")
		if i == 0 {
			out.WriteString(strings.Repeat("|---", len(row)) + "|\n")
		}
	}
}

func code(text string) string { return "`" + text + "`" }

// literal finds what reads as code in a description, besides words. In this order: what
// stands in backquotes already, URLs, ${{ expressions }} and ${VARIABLES}, {mappings:
// {of: this}}, /paths/<id>, <placeholders>, --flags, .paths and names_with_underscores.
var literal = regexp.MustCompile(strings.Join([]string{
	"`[^`]*`",
	`[\w+]+://(?:\S*[^\s,;.)])?`,
	`\$\{\{.*?\}\}`,
	`\$?\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}`,
	`\B/[\w<>:-]+(?:/[\w<>:-]+)*`,
	`<[\w.]+>`,
	`\B--[a-z][a-z-]*`,
	`(?:\B\.)?\w+(?:\.\w+)*\*?`,
}, "|"))

// special are the characters that Markdown would take for its own.
var special = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `<`, `\<`, "_", `\_`)

// prose makes Markdown of a description in plain words.
func prose(text string) string {
	var out strings.Builder
	last := 0
	for _, at := range literal.FindAllStringIndex(text, -1) {
		word := text[at[0]:at[1]]
		out.WriteString(special.Replace(text[last:at[0]]))
		switch {
		case word[0] == '`':
			out.WriteString(word)
		case strings.ContainsAny(word, "{_") || strings.ContainsAny(word[:1], "./<-") || strings.Contains(word, "://"):
			out.WriteString(code(word))
		default:
			out.WriteString(special.Replace(word))
		}
		last = at[1]
	}
	out.WriteString(special.Replace(text[last:]))
	return out.String()
}

// either joins alternatives.
func either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// anchor is the name that forges give a heading.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}
