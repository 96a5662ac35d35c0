package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"headgate/config/yamlsrc"
	"headgate/recipes"
)

func newRecipes() *cobra.Command {
	c := &cobra.Command{
		Use:   "recipes",
		Short: "List the targets that are ready to use",
		Long: "Lists the recipes: targets for known vendors, with what each takes under with; an asterisk\n" +
			"marks what it needs. A target uses one with recipe: NAME.",
		Example: "  headgate recipes\n  headgate recipes show slack",
		Args:    noArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return listRecipes(c.OutOrStdout()) },
	}
	c.AddCommand(newRecipesShow())
	return c
}

func listRecipes(to io.Writer) error {
	out := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for _, r := range recipes.All() {
		fmt.Fprintf(out, "%s\t%s\t%s\n", r.Name, parameters(r), r.Summary)
	}
	return out.Flush()
}

// parameters lists what a recipe takes, in one line.
func parameters(r *recipes.Recipe) string {
	names := make([]string, len(r.With))
	for i, p := range r.With {
		names[i] = p.Name
		if p.Required {
			names[i] += "*"
		}
	}
	return strings.Join(names, ", ")
}

func newRecipesShow() *cobra.Command {
	c := &cobra.Command{
		Use:   "show NAME",
		Short: "Print a recipe: what it is, and its YAML",
		Long: "Prints the page of a recipe and its YAML. What stands below target in it can be copied into\n" +
			"a route file and changed; each $(name) is a value of with.",
		Example: "  headgate recipes show slack\n  headgate recipes show slack --yaml > slack.yaml",
		Args:    exactly(1, "the name of a recipe"),
	}
	only := c.Flags().Bool("yaml", false, "print the YAML alone")
	c.RunE = func(c *cobra.Command, args []string) error {
		r := recipes.Find(args[0])
		if r == nil {
			return usagef("there is no recipe %q; %s", args[0], yamlsrc.UnknownHint(args[0], recipes.Names()))
		}
		if !*only {
			fmt.Fprintf(c.OutOrStdout(), "%s\n%s:\n\n", r.README, r.File)
		}
		_, err := c.OutOrStdout().Write(r.YAML)
		return err
	}
	return c
}
