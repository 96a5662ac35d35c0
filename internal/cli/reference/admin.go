package reference

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"headgate/gateway/admin"
)

// adminAPI is what of the description of the admin API the page shows.
type adminAPI struct {
	Info  struct{ Description string }
	Paths map[string]map[string]json.RawMessage
	// Components has the types of problem.
	Components struct {
		Schemas struct {
			Problem struct {
				Properties struct{ Type struct{ Enum []string } }
			}
		}
	}
}

// operation is one method of a path.
type operation struct{ Summary, Description string }

// methods are those that the description has, in the order of the page.
var methods = []string{"get", "put", "post", "delete"}

func adminPage() ([]byte, error) {
	text, err := admin.OpenAPI()
	if err != nil {
		return nil, fmt.Errorf("read the description of the admin API: %w", err)
	}
	var api adminAPI
	if err := json.Unmarshal(text, &api); err != nil {
		return nil, fmt.Errorf("decode the description of the admin API: %w", err)
	}
	var out strings.Builder
	out.WriteString("# The admin API\n\n" + made + prose(strings.TrimSpace(api.Info.Description)) + "\n\n" +
		"Parameters, bodies and answers: `GET /openapi.json` of the listener, which is\n" +
		"[openapi.yaml](../../gateway/admin/openapi.yaml).\n\n")
	t := newTable("call", "what it does")
	paths := make([]string, 0, len(api.Paths))
	for path := range api.Paths {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		for _, method := range methods {
			raw, there := api.Paths[path][method]
			if !there {
				continue
			}
			var op operation
			if err := json.Unmarshal(raw, &op); err != nil {
				return nil, fmt.Errorf("decode %s %s: %w", method, path, err)
			}
			first := op.Summary
			if !strings.HasSuffix(first, "?") {
				first += "."
			}
			t.row(code(strings.ToUpper(method)+" "+path), prose(strings.Join(strings.Fields(first+" "+op.Description), " ")))
		}
	}
	t.write(&out)
	out.WriteString("\nTypes of problem: ")
	for i, urn := range api.Components.Schemas.Problem.Properties.Type.Enum {
		if i > 0 {
			out.WriteString(", ")
		}
		out.WriteString(code(urn[strings.LastIndexByte(urn, ':')+1:]))
	}
	out.WriteString(".\n")
	return []byte(out.String()), nil
}
