package routes

import (
	"github.com/invopop/jsonschema"

	"headgate/config/editor"
	"headgate/dispatch/target"
	"headgate/policies"
	"headgate/recipes"
)

// Schema gives the JSON Schema of a route file with the policies and authenticators of
// registry, for editors. It is the same for the same registry.
func Schema(registry *policies.Registry) ([]byte, error) {
	defs := jsonschema.Definitions{}
	schema := closed(map[string]*jsonschema.Schema{
		"auth": described("Who may call, by names of your choice. Names hold over all route files.",
			mapping(authenticatorSchema(registry, defs))),
		"targets": described("Backends that routes feed, by names of your choice. Names hold over all route files.",
			mapping(targetSchema(defs))),
		"routes": described("What clients may call.",
			orNull(&jsonschema.Schema{Type: "array", Items: routeSchema(registry, defs)})),
	}, "auth", "targets", "routes")
	schema.Definitions = defs
	schema.Title = "Headgate route file"
	return editor.Encode(schema)
}

func authenticatorSchema(registry *policies.Registry, defs jsonschema.Definitions) *jsonschema.Schema {
	kinds := map[string]*jsonschema.Schema{}
	names := registry.AuthenticatorNames()
	for _, name := range names {
		kinds[name] = editor.Schema(registry.ConfigType(name), defs)
	}
	one := uint64(1)
	schema := closed(kinds, names...)
	schema.MinProperties, schema.MaxProperties = &one, &one
	return schema
}

// targetSchema adds to the target's schema what stands below auth, which is a word or a
// mapping with exactly one key.
func targetSchema(defs jsonschema.Definitions) *jsonschema.Schema {
	ref := editor.Schema(&target.Spec{}, defs)
	ways := editor.Schema(&target.AuthSpec{}, defs)
	one := uint64(1)
	defs["target.AuthSpec"].MinProperties, defs["target.AuthSpec"].MaxProperties = &one, &one
	for _, name := range []string{"target.Spec", "target.Step"} {
		if auth, ok := defs[name].Properties.Get("auth"); ok {
			auth.OneOf = []*jsonschema.Schema{{Type: "string", Const: none}, ways}
		}
	}
	recipeSchema(defs["target.Spec"])
	return ref
}

// recipeSchema adds the keys of a target that stands for a recipe: then url comes with it.
func recipeSchema(spec *jsonschema.Schema) {
	with := described("Values for the parameters of the recipe. headgate recipes show NAME lists them.", &jsonschema.Schema{Type: "object"})
	names := described("Take the target of this recipe; other keys beside it replace the recipe's, those of batch, breaker, headers, limits and retry one by one. headgate recipes lists them.",
		&jsonschema.Schema{Type: "string"})
	for _, r := range recipes.All() {
		names.Enum = append(names.Enum, r.Name)
		own := closed(map[string]*jsonschema.Schema{})
		for _, p := range r.With {
			own.Properties.Set(p.Name, &jsonschema.Schema{Description: p.Description})
			if p.Required {
				own.Required = append(own.Required, p.Name)
			}
		}
		spec.AllOf = append(spec.AllOf, &jsonschema.Schema{
			If:   having("recipe", &jsonschema.Schema{Const: r.Name}, "recipe"),
			Then: having("with", own),
		})
	}
	spec.Properties.Set("recipe", names)
	spec.Properties.Set("with", with)
	spec.Required = nil
	spec.AllOf = append(spec.AllOf, &jsonschema.Schema{
		If: &jsonschema.Schema{Required: []string{"recipe"}}, Else: &jsonschema.Schema{Required: []string{"url"}},
	})
	if url, ok := spec.Properties.Get("url"); ok {
		url.Description += " It is required, unless a recipe brings it."
	}
}

// having says how one property is, of whatever else an object has.
func having(name string, s *jsonschema.Schema, required ...string) *jsonschema.Schema {
	out := &jsonschema.Schema{Properties: jsonschema.NewProperties(), Required: required}
	out.Properties.Set(name, s)
	return out
}

func routeSchema(registry *policies.Registry, defs jsonschema.Definitions) *jsonschema.Schema {
	ref := editor.Schema(&spec{}, defs)
	schema := defs["routes.spec"]
	set := func(name string, value *jsonschema.Schema) {
		if old, ok := schema.Properties.Get(name); ok {
			value.Description = old.Description
		}
		schema.Properties.Set(name, value)
	}
	words := &jsonschema.Schema{Type: "array", Items: &jsonschema.Schema{Type: "string"}}
	form := closed(map[string]*jsonschema.Schema{"any": {AnyOf: []*jsonschema.Schema{{Type: "string"}, words}}, "scopes": words}, "any", "scopes")
	form.Required = []string{"any"}
	set("auth", &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, words, form}})
	atLeast := uint64(1)
	targets := mapping(orNull(editor.Schema(&binding{}, defs)))
	targets.AnyOf[0].MinProperties = &atLeast
	set("targets", targets.AnyOf[0])
	for _, name := range registry.PolicyNames() {
		if name != scopesPolicy {
			set(name, editor.Schema(registry.ConfigType(name), defs))
		}
	}
	schema.Required = []string{"name", "match", "auth", "targets"}
	return ref
}

// JSONSchema gives the form that match is written in.
func (match) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{
		Type: "string", Pattern: `^(DELETE|GET|PATCH|POST|PUT) +/[^?#]*$`, Examples: []any{"POST /profiles/:id"},
	}
}

// JSONSchema gives the two forms that idempotency is written in.
func (idempotency) JSONSchema() *jsonschema.Schema {
	mode := &jsonschema.Schema{Type: "string", Enum: []any{IdempotencyOptional, IdempotencyRequired, IdempotencyOff}}
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{mode, closed(map[string]*jsonschema.Schema{
		"mode": mode,
		"ttl":  described("How long a key is remembered. Default 24h.", editor.Duration()),
	}, "mode", "ttl")}}
}

// closed is an object with these properties, in the order of names, and no others.
func closed(properties map[string]*jsonschema.Schema, names ...string) *jsonschema.Schema {
	ordered := jsonschema.NewProperties()
	for _, name := range names {
		ordered.Set(name, properties[name])
	}
	return &jsonschema.Schema{Type: "object", Properties: ordered, AdditionalProperties: jsonschema.FalseSchema}
}

// mapping is an object whose every value is of one form; nothing may stand for {}.
func mapping(of *jsonschema.Schema) *jsonschema.Schema {
	return orNull(&jsonschema.Schema{Type: "object", AdditionalProperties: of})
}

func orNull(s *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{s, {Type: "null"}}}
}

func described(text string, s *jsonschema.Schema) *jsonschema.Schema {
	s.Description = text
	return s
}
