package schema

import (
	"maps"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"headgate/policies"
)

// Lacks is as for policies.BodyShape. It goes by the fields that the schema names, in
// whatever branch. Where the schema speaks of other fields, or names none, nothing is known.
func (s *Schema) Lacks(path []string) (policies.MissingField, bool) {
	level := []*jsonschema.Schema{s.compiled}
	for i, name := range path {
		here := &fields{name: name, names: map[string]bool{}, seen: map[*jsonschema.Schema]bool{}}
		for _, one := range level {
			here.gather(one)
		}
		switch {
		case name == "[]":
			level = here.items
		case len(here.below) > 0 || here.open && !here.never(level):
			level = here.below
		case len(here.names) == 0 && !here.never(level):
			return policies.MissingField{}, false
		default:
			return policies.MissingField{At: i, Known: slices.Sorted(maps.Keys(here.names)), Never: here.never(level)}, true
		}
		if len(level) == 0 {
			break
		}
	}
	return policies.MissingField{}, false
}

// fields is what schemas that hold for one value say of its fields.
type fields struct {
	name  string
	names map[string]bool      // fields that they name
	below []*jsonschema.Schema // what they say of the field called name
	items []*jsonschema.Schema // what they say of items, if it is a list
	open  bool                 // they say something of other fields, or what cannot be followed
	seen  map[*jsonschema.Schema]bool
}

func (f *fields) gather(s *jsonschema.Schema) {
	if s == nil || f.seen[s] {
		return
	}
	f.seen[s] = true
	f.open = f.open || s.DynamicRef != nil || s.RecursiveRef != nil || s.AdditionalProperties != nil && !refuses(s.AdditionalProperties) ||
		s.UnevaluatedProperties != nil && !refuses(s.UnevaluatedProperties)
	for name, below := range s.Properties {
		f.names[name] = true
		if name == f.name {
			f.below = append(f.below, below)
		}
	}
	for pattern, below := range s.PatternProperties {
		if pattern.MatchString(f.name) {
			f.below = append(f.below, below)
		}
	}
	f.items = append(f.items, s.PrefixItems...)
	for _, items := range []any{s.Items, s.Items2020} {
		switch items := items.(type) {
		case *jsonschema.Schema:
			if items != nil {
				f.items = append(f.items, items)
			}
		case []*jsonschema.Schema:
			f.items = append(f.items, items...)
		}
	}
	for _, inner := range slices.Concat([]*jsonschema.Schema{s.Ref, s.If, s.Then, s.Else}, s.AllOf, s.AnyOf, s.OneOf, slices.Collect(maps.Values(s.DependentSchemas))) {
		f.gather(inner)
	}
}

// never reports whether a value with the field is refused, whichever of the schemas holds.
func (f *fields) never(level []*jsonschema.Schema) bool {
	return len(level) > 0 && !slices.ContainsFunc(level, func(s *jsonschema.Schema) bool { return !f.closed(s, map[*jsonschema.Schema]bool{}) })
}

// closed is never of one schema: of all that hold together one is enough, of those of which
// one may hold it takes all.
func (f *fields) closed(s *jsonschema.Schema, seen map[*jsonschema.Schema]bool) bool {
	if s == nil || seen[s] {
		return false
	}
	seen[s] = true
	open := func(inner *jsonschema.Schema) bool { return !f.closed(inner, seen) }
	shut := func(inner *jsonschema.Schema) bool { return f.closed(inner, seen) }
	some := func(list []*jsonschema.Schema) bool { return len(list) > 0 && !slices.ContainsFunc(list, open) }
	return refuses(s.AdditionalProperties) || s.UnevaluatedProperties != nil && refuses(s.UnevaluatedProperties) ||
		shut(s.Ref) || slices.ContainsFunc(s.AllOf, shut) || some(s.AnyOf) || some(s.OneOf)
}

// refuses reports whether a keyword, a boolean or a schema, lets nothing pass.
func refuses(keyword any) bool {
	switch k := keyword.(type) {
	case bool:
		return !k
	case *jsonschema.Schema:
		return k != nil && k.Bool != nil && !*k.Bool
	}
	return false
}
