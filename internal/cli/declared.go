package cli

import (
	"os"
	"slices"

	"github.com/spf13/cobra"

	"headgate/config"
	"headgate/config/yamlsrc"
)

// declarations are the names that the route files declare.
type declarations struct {
	targets, routes, auths []string
	matches                []string // as in `match: POST /orders/:id`
}

// declared reads the names for completion from the files of --config, or of the file that is looked
// for by default. It wants names only: variables are not expanded, so that nothing of the
// environment gets in, and whatever is wrong with the files is passed over.
func declared(c *cobra.Command) declarations {
	path := defaultConfig
	if f := c.Flags().Lookup("config"); f != nil && f.Value.String() != "" {
		path = f.Value.String()
	}
	unexpanded := func(string) (string, error) { return "", nil }
	var d declarations
	for _, file := range config.LoadWith(path, unexpanded, new(yamlsrc.Report)).RouteFiles {
		text, err := os.ReadFile(file) //nolint:gosec // a file that the operator's file names
		if err != nil {
			continue
		}
		root := yamlsrc.Parse(file, text, new(yamlsrc.Report))
		d.targets = append(d.targets, keysOf(root.Get("targets"))...)
		d.auths = append(d.auths, keysOf(root.Get("auth"))...)
		routes := root.Get("routes")
		if routes == nil {
			continue
		}
		for _, route := range routes.Items {
			if name := route.Get("name"); name != nil {
				d.routes = append(d.routes, name.Text)
			}
			if match := route.Get("match"); match != nil {
				d.matches = append(d.matches, match.Text)
			}
		}
	}
	for _, list := range [][]string{d.targets, d.routes, d.auths, d.matches} {
		slices.Sort(list)
	}
	return d
}

func keysOf(n *yamlsrc.Node) []string {
	if n == nil {
		return nil
	}
	var keys []string
	for _, e := range n.Entries {
		keys = append(keys, e.Key)
	}
	return keys
}
