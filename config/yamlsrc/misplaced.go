package yamlsrc

import (
	"reflect"
	"strings"
)

// enclosing is a struct that is being decoded, and where its mapping stands.
type enclosing struct {
	v    reflect.Value
	path string
}

// keyHint is the hint for a key that a mapping does not have: a slip of one letter, else
// the one place where a key of just this name belongs, else what may have been meant.
// That place is looked for below the mapping first, and then below the ones around it, from
// within, and less deep ones come first.
func (r *Report) keyHint(key string, names []string) string {
	if near := Nearest(key, names); near != "" && distance(strings.ToLower(key), strings.ToLower(near)) <= 1 {
		return UnknownHint(key, names)
	}
	for i := len(r.around) - 1; i >= 0; i-- {
		at, seen := []enclosing{r.around[i]}, map[reflect.Type]bool{}
		for len(at) > 0 {
			var homes []string
			var below []enclosing
			for _, e := range at {
				seen[e.v.Type()] = true // types may hold themselves
				fields := map[string]reflect.Value{}
				var order []string
				collect(e.v, fields, &order, new([]string))
				if _, ok := fields[key]; ok {
					homes = append(homes, home(e.path))
				}
				for _, name := range order {
					if v := structOf(fields[name].Type()); v.IsValid() && !seen[v.Type()] {
						below = append(below, enclosing{v, join(e.path, name)})
					}
				}
			}
			switch {
			case len(homes) == 1:
				return key + " belongs " + homes[0]
			case len(homes) > 1:
				return UnknownHint(key, names)
			}
			at = below
		}
	}
	return UnknownHint(key, names)
}

func home(path string) string {
	if path == "" {
		return "at the top of the file"
	}
	return "below " + path
}

// structOf gives an empty struct of t, or of what t points to, and otherwise nothing.
func structOf(t reflect.Type) (none reflect.Value) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return none
	}
	return reflect.Zero(t)
}
