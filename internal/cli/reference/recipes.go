package reference

import (
	"bytes"
	"fmt"
	"strings"

	"headgate/recipes"
)

func recipesPage() []byte {
	var out strings.Builder
	out.WriteString("# Recipes\n\n" + made +
		"Targets that are ready to use. A target with `recipe: NAME` takes one, with values for its\n" +
		"parameters under `with`; other keys beside them replace the recipe's. Those of `batch`, `breaker`,\n" +
		"`headers`, `limits` and `retry` do so one by one, and no limit of `batch` can be raised. To change\n" +
		"more, copy it: `headgate recipes show NAME --yaml`.\n")
	for _, r := range recipes.All() {
		title, page, _ := bytes.Cut(r.README, []byte("\n"))
		fmt.Fprintf(&out, "\n#%s\n%s\n", title, bytes.TrimRight(page, "\n"))
		out.WriteString("\n")
		t := newTable("with", "type", "default", "meaning")
		for _, p := range r.With {
			standard := ""
			switch {
			case p.Required:
				standard = "**required**"
			case p.Default != nil:
				text, _ := p.Default.MarshalJSON() // it was parsed from YAML, so it can be written
				standard = code(strings.Trim(string(text), `"`))
			}
			t.row(code(p.Name), string(p.Kind), standard, prose(p.Description))
		}
		t.write(&out)
	}
	return []byte(out.String())
}
