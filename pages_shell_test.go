package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"mvdan.cc/sh/v3/syntax"

	"headgate/internal/cli"
)

// outside are the tools that no test of a page can run, with what is looked at instead.
// A block with no other commands than theirs needs no mark.
var outside = map[string]func(args []string) error{
	"make":     checkMake,
	"go":       checkGo,
	"helm":     checkHelm,
	"kubectl":  checkKubectl,
	"docker":   checkPaths,
	"git":      checkPaths,
	"promtool": checkPaths,
}

// script is the commands of a block.
type script struct {
	statements []*syntax.Stmt
	outside    bool // no command is one that could be run
}

// parseScript parses a block and holds every command in it against what there is.
func parseScript(text string) (script, []error) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(text), "")
	if err != nil {
		return script{}, []error{err}
	}
	s, errs := script{statements: file.Stmts, outside: true}, []error(nil)
	var within []syntax.Node // what the walk is in
	syntax.Walk(file, func(n syntax.Node) bool {
		if n == nil {
			within = within[:len(within)-1]
			return true
		}
		within = append(within, n)
		call, ok := n.(*syntax.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		words := make([]string, len(call.Args))
		for i, arg := range call.Args {
			words[i] = word(arg)
		}
		tool := outside[words[0]]
		argument := slices.ContainsFunc(within, func(n syntax.Node) bool { _, is := n.(*syntax.CmdSubst); return is })
		s.outside = s.outside && (tool != nil || argument)
		if tool == nil && isHeadgate(words[0]) {
			tool = checkHeadgate
		}
		if tool != nil {
			if err := tool(words[1:]); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", strings.Join(words, " "), err))
			}
		}
		return true
	})
	return s, errs
}

func isHeadgate(name string) bool { return filepath.Base(name) == "headgate" }

// word gives what a word says, with 1 for what only a shell knows: it passes for a text
// as well as for a number.
func word(w *syntax.Word) string {
	var out strings.Builder
	for _, part := range w.Parts {
		switch part := part.(type) {
		case *syntax.Lit:
			out.WriteString(strings.ReplaceAll(part.Value, `\`, ""))
		case *syntax.SglQuoted:
			out.WriteString(part.Value)
		case *syntax.DblQuoted:
			out.WriteString(word(&syntax.Word{Parts: part.Parts}))
		default:
			out.WriteByte('1')
		}
	}
	return out.String()
}

// checkHeadgate holds a command line against the tree of commands.
func checkHeadgate(args []string) error {
	if err := checkFlags(args); err != nil {
		return err
	}
	c, rest, err := cli.Root().Find(args)
	if err != nil {
		return err
	}
	if err := c.ParseFlags(rest); err != nil {
		return err
	}
	if !c.Runnable() {
		return fmt.Errorf("%s does nothing by itself; it has commands of its own", c.CommandPath())
	}
	return c.ValidateArgs(c.Flags().Args())
}

// checkFlags is for what names a command without being a whole command line, as prose does.
func checkFlags(args []string) error {
	c, rest, err := cli.Root().Find(args)
	if err != nil {
		return err
	}
	for i, arg := range rest {
		name, isFlag := strings.CutPrefix(arg, "--")
		name, _, _ = strings.Cut(name, "=")
		if isFlag && name != "" && name != "help" && c.Flags().Lookup(name) == nil {
			return fmt.Errorf("%s has no flag --%s", c.CommandPath(), name)
		}
		if i == 0 && !isFlag && c.HasSubCommands() && !c.Runnable() && regexp.MustCompile(`^[a-z]+$`).MatchString(arg) {
			return fmt.Errorf("%s has no command %s", c.CommandPath(), arg)
		}
	}
	return nil
}

// moved gives arguments of headgate with every flag whose default is an address that the
// page's tests have moved elsewhere. addresses are old and new ones in turn, with commas.
func moved(args []string, addresses string) []string {
	if addresses == "" {
		return args
	}
	c, rest, err := cli.Root().Find(args)
	if err != nil || c.ParseFlags(rest) != nil {
		return args // the command itself says what is wrong
	}
	elsewhere := strings.NewReplacer(strings.Split(addresses, ",")...)
	args = slices.Clone(args)
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if now := elsewhere.Replace(f.DefValue); !f.Changed && now != f.DefValue {
			args = append(args, "--"+f.Name+"="+now)
		}
	})
	return args
}

// checkMake wants targets that the Makefile has.
func checkMake(args []string) error {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		return err
	}
	for _, arg := range args {
		if strings.Contains(arg, "=") {
			if name, _, _ := strings.Cut(arg, "="); !strings.Contains(string(makefile), "$("+name) && !strings.Contains(string(makefile), name+" ?=") {
				return fmt.Errorf("the Makefile knows no %s", name)
			}
		} else if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(arg) + `:`).Match(makefile) {
			return fmt.Errorf("the Makefile has no target %s", arg)
		}
	}
	return nil
}

// checkGo wants packages that there are, and of `go run .` a command line of headgate.
func checkGo(args []string) error {
	if len(args) > 2 && args[0] == "run" && args[1] == "." {
		return checkHeadgate(args[2:])
	}
	return checkPaths(args)
}

// checkPaths wants files and folders that are named from the root of the repository to exist.
func checkPaths(args []string) error {
	for _, arg := range args {
		name := strings.TrimSuffix(arg, "/...")
		if top, _, below := strings.Cut(strings.TrimPrefix(name, "./"), "/"); below && top != "" && top != ".." && !strings.HasPrefix(name, "-") {
			if _, err := os.Stat(top); err != nil {
				continue // nothing of this repository
			}
			if _, err := os.Stat(name); err != nil {
				return fmt.Errorf("there is no %s", name)
			}
		}
	}
	return nil
}

// kubectlVerbs are those that pages use.
var kubectlVerbs = []string{"annotate", "apply", "create", "delete", "describe", "exec", "get", "label", "logs", "port-forward", "rollout", "scale", "top", "wait"}

func checkKubectl(args []string) error {
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "--namespace" || args[i] == "-n":
			i++
		case !strings.HasPrefix(args[i], "-"):
			if !slices.Contains(kubectlVerbs, args[i]) {
				return fmt.Errorf("kubectl %s is none of %s", args[i], strings.Join(kubectlVerbs, ", "))
			}
			return checkPaths(args[i:])
		}
	}
	return fmt.Errorf("no command of kubectl")
}
