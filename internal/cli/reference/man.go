package reference

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Man gives the manual pages by file name, one for each command that help shows: headgate.1,
// headgate-serve.1 and so on. version and day (empty for none) stand at their feet. They are
// roff as man(7) describes it. cobra's own generator takes what commands say of themselves for
// Markdown, in which <id> and ${{ … }} get lost.
func Man(root *cobra.Command, version, day string) map[string][]byte {
	pages := map[string][]byte{}
	all := listed(root)
	for _, c := range append([]*cobra.Command{root}, all...) {
		p := &page{}
		p.line(".TH", pageName(c), "1", day, "headgate "+version, "Headgate Manual")
		p.command(c)
		if c == root {
			p.commands(root, all)
		}
		p.ends(c)
		pages[pageName(c)+".1"] = []byte(p.String())
	}
	return pages
}

func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// page writes roff.
type page struct{ strings.Builder }

// line writes a macro with quoted arguments.
func (p *page) line(macro string, args ...string) {
	p.WriteString(macro)
	for _, arg := range args {
		p.WriteString(` "` + strings.ReplaceAll(roff(arg), `"`, `\(dq`) + `"`)
	}
	p.WriteString("\n")
}

// text writes words; a line of them is no macro, whatever it begins with.
func (p *page) text(text string) {
	for line := range strings.Lines(text) {
		line = roff(strings.TrimRight(line, "\n"))
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			line = `\&` + line
		}
		p.WriteString(line + "\n")
	}
}

// literal writes lines that stay as they are.
func (p *page) literal(text string) {
	p.WriteString(".PP\n.nf\n")
	p.text(text)
	p.WriteString(".fi\n")
}

// roff escapes what roff would take for its own. A minus that is typed is one in the terminal,
// too, and what is not ASCII is named by its number, which every roff understands.
func roff(text string) string {
	var out strings.Builder
	for _, r := range text {
		switch {
		case r == '\\':
			out.WriteString(`\e`)
		case r == '-':
			out.WriteString(`\-`)
		case r > unicode.MaxASCII:
			fmt.Fprintf(&out, `\[u%04X]`, r)
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

func (p *page) command(c *cobra.Command) {
	p.line(".SH", "NAME")
	p.text(pageName(c) + " - " + strings.TrimSuffix(c.Short, "."))
	p.line(".SH", "SYNOPSIS")
	if c.Runnable() {
		p.text(c.UseLine())
	} else {
		p.text(c.CommandPath() + " COMMAND")
	}
	p.line(".SH", "DESCRIPTION")
	if c.Long != "" {
		p.text(c.Long)
	} else {
		p.text(c.Short + ".")
	}
	title := "OPTIONS"
	for _, flags := range []*pflag.FlagSet{c.NonInheritedFlags(), c.InheritedFlags()} {
		flags.VisitAll(func(f *pflag.Flag) {
			if f.Hidden || f.Name == "help" {
				return
			}
			if title != "" {
				p.line(".SH", title)
				title = ""
			}
			kind, usage := pflag.UnquoteUsage(f)
			name := strings.TrimSpace("--" + f.Name + " " + kind)
			if f.Shorthand != "" {
				name = "-" + f.Shorthand + ", " + name
			}
			if value := flagDefault(f); value != "" {
				usage += "; default " + strings.Trim(value, "`")
			}
			p.WriteString(".TP\n")
			p.line(".B", name)
			p.text(usage)
		})
	}
	if c.Example != "" {
		p.line(".SH", "EXAMPLES")
		p.literal(c.Example)
	}
}

// commands lists the commands on the root's page.
func (p *page) commands(root *cobra.Command, all []*cobra.Command) {
	p.line(".SH", "COMMANDS")
	for _, c := range all {
		p.WriteString(".TP\n")
		p.line(".B", strings.TrimPrefix(c.CommandPath(), root.Name()+" "))
		p.text(c.Short)
	}
}

// ends writes what stands at the end of each page.
func (p *page) ends(c *cobra.Command) {
	p.line(".SH", "EXIT STATUS")
	p.text("0 when all went well, 1 when something is wrong with files, requests or the outcome, 2 for a\n" +
		"wrong command line.")
	var others []string
	if c.HasParent() {
		others = append(others, pageName(c.Parent()))
	}
	for _, child := range c.Commands() {
		if !child.Hidden {
			others = append(others, pageName(child))
		}
	}
	if len(others) == 0 {
		return
	}
	p.line(".SH", "SEE ALSO")
	for i, name := range others {
		comma := ","
		if i == len(others)-1 {
			comma = ""
		}
		fmt.Fprintf(p, ".BR %s (1)%s\n", roff(name), comma)
	}
}
