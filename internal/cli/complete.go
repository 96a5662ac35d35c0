package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
	"headgate/internal/app"
	"headgate/recipes"
)

// completion finds what may stand somewhere on the command line.
type completion = cobra.CompletionFunc

// completions tells for every flag that takes a value and for the arguments of every command what
// the shell offers. Where nothing is said here, nothing is offered: a list of files where
// there can be none misleads, and values such as tokens must not be looked for.
type completions struct {
	flags map[string]completion   // by the flag's name, the same in all commands
	args  map[string][]completion // by the command, one for each argument
	rest  map[string]completion   // by the command, for the arguments after those
}

func newCompletions() completions {
	files, folders := files("yaml", "yml"), shown(nil, cobra.ShellCompDirectiveFilterDirs)
	anyFile := shown(nil, cobra.ShellCompDirectiveDefault)
	targets := named(func(d declarations) []string { return d.targets })
	return completions{
		flags: map[string]completion{
			"config":  files,
			"dir":     folders,
			"junit":   anyFile,
			"data":    anyFile, // for -d @file; the shell's own completion knows the @
			"payload": anyFile,
			"role":    words(roleNames()...),
			"target":  targets,
			"route":   named(func(d declarations) []string { return d.routes }),
			"auth":    named(func(d declarations) []string { return d.auths }),
			"reason":  words(reasonNames()...),
			"state":   words(statusNames()...),
		},
		args: map[string][]completion{
			"recipes show":       {words(recipeNames()...)},
			"schema":             {words(schemaNames...)},
			"explain":            {words("GET", "POST", "PUT", "PATCH", "DELETE"), matchedPaths},
			"deadletters show":   {nothing, targets},
			"deadletters replay": {nothing, targets},
			"deadletters drop":   {nothing, targets},
			"tracking":           {nothing},
			"targets":            {targets},
			"pause":              {targets},
			"drain":              {targets},
			"resume":             {targets},
			"loglevel":           {words("debug", "info", "warn", "error")},
			"cancel":             {nothing},
			"find":               {nothing},
		},
		rest: map[string]completion{"test": files},
	}
}

// attach gives every command below parent its completions.
func (s completions) attach(parent *cobra.Command) {
	for _, c := range parent.Commands() {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			find := s.flags[f.Name]
			if find == nil {
				find = nothing
			}
			if f.NoOptDefVal == "" { // it takes a value
				_ = c.RegisterFlagCompletionFunc(f.Name, find) // fails only for a flag that is not there, or has one
			}
		})
		path := strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" ")
		places, rest := s.args[path], s.rest[path]
		c.ValidArgsFunction = func(c *cobra.Command, args []string, beginning string) ([]string, cobra.ShellCompDirective) {
			switch {
			case len(args) < len(places):
				return places[len(args)](c, args, beginning)
			case rest != nil:
				return rest(c, args, beginning)
			}
			return nothing(c, args, beginning)
		}
		s.attach(c)
	}
}

func nothing(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}

func shown(list []string, how cobra.ShellCompDirective) completion {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) { return list, how }
}

func words(list ...string) completion { return shown(list, cobra.ShellCompDirectiveNoFileComp) }

func files(extensions ...string) completion {
	return shown(extensions, cobra.ShellCompDirectiveFilterFileExt)
}

// named offers what the files declare.
func named(pick func(declarations) []string) completion {
	return func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return pick(declared(c)), cobra.ShellCompDirectiveNoFileComp
	}
}

// matchedPaths offers the paths of the routes with the method that stands before.
func matchedPaths(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var paths []string
	for _, match := range declared(c).matches {
		if method, path, ok := strings.Cut(match, " "); ok && strings.EqualFold(method, args[0]) {
			paths = append(paths, strings.TrimSpace(path))
		}
	}
	return paths, cobra.ShellCompDirectiveNoFileComp
}

func roleNames() []string {
	var names []string
	for _, role := range app.Roles() {
		names = append(names, string(role))
	}
	return names
}

// statusNames are the states of a dispatch, which are asked for most.
func statusNames() []string {
	var names []string
	for _, status := range []tracking.Status{tracking.InProgress, tracking.DispatchSucceeded, tracking.Partial, tracking.DispatchFailed, tracking.DispatchCanceled} {
		names = append(names, string(status))
	}
	return names
}

func reasonNames() []string {
	var names []string
	for _, reason := range fault.All() {
		names = append(names, string(reason))
	}
	return names
}

func recipeNames() []string {
	var names []string
	for _, r := range recipes.All() {
		names = append(names, r.Name+"\t"+r.Summary)
	}
	return names
}
