package reference

import (
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func commandsPage(root *cobra.Command) []byte {
	var out strings.Builder
	out.WriteString("# Commands\n\n" + made + prose(root.Long) + "\n\n" +
		"Exit codes: 0 when all went well, 1 when something is wrong with files, requests or the outcome, 2\n" +
		"for a wrong command line. `headgate completion SHELL` prints the completion for bash, zsh, fish and\n" +
		"PowerShell.\n\n")
	all := listed(root)
	t := newTable("command", "what it does")
	for _, c := range all {
		t.row("["+code(c.CommandPath())+"](#"+anchor(c.CommandPath())+")", prose(c.Short))
	}
	t.write(&out)
	for _, c := range all {
		command(&out, c)
	}
	return []byte(out.String())
}

// listed gives the commands below parent that help shows, each before its own.
func listed(parent *cobra.Command) []*cobra.Command {
	var out []*cobra.Command
	for _, c := range parent.Commands() {
		if c.Hidden || c.Deprecated != "" {
			continue
		}
		out = append(append(out, c), listed(c)...)
	}
	return out
}

func command(out *strings.Builder, c *cobra.Command) {
	out.WriteString("\n## " + code(c.CommandPath()) + "\n\n" + prose(c.Short) + ".\n")
	if c.Long != "" {
		out.WriteString("\n" + prose(c.Long) + "\n")
	}
	if c.Runnable() {
		out.WriteString("\n```text\n" + c.UseLine() + "\n```\n")
	}
	if c.Example != "" {
		lines := strings.Split(c.Example, "\n")
		for i, line := range lines {
			lines[i] = strings.TrimPrefix(line, "  ")
		}
		out.WriteString("\nExamples:\n\n```sh\n" + strings.Join(lines, "\n") + "\n```\n")
	}
	t := newTable("flag", "default", "meaning")
	for _, flags := range []*pflag.FlagSet{c.NonInheritedFlags(), c.InheritedFlags()} {
		flags.VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && f.Name != "help" {
				kind, usage := pflag.UnquoteUsage(f)
				name := strings.TrimSpace("--" + f.Name + " " + kind)
				if f.Shorthand != "" {
					name = "-" + f.Shorthand + ", " + name
				}
				t.row(code(name), flagDefault(f), prose(usage))
			}
		})
	}
	if len(t.rows) > 1 {
		out.WriteString("\n")
		t.write(out)
	}
}

// ownDefault marks flags whose description says what the default is: their value here is
// that of the machine this runs on, and may be a secret.
var ownDefault = regexp.MustCompile(`(?i)\bdefault\b`)

// zero are the defaults that say nothing.
var zero = []string{"", "0", "0s", "false", "[]"}

func flagDefault(f *pflag.Flag) string {
	if ownDefault.MatchString(f.Usage) || slices.Contains(zero, f.DefValue) {
		return ""
	}
	return code(f.DefValue)
}
