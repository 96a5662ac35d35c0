//go:build ignore

// Command trim takes operations out of an OpenAPI description, with the schemas that their
// requests refer to and without words for people:
//
//	go run recipes/testdata/openapi/trim.go FILE 'POST /a' 'GET /a/{id}' [-SCHEMA] > recipes/testdata/openapi/NAME.json
//
// An alternative -SCHEMA is left out where there are others. Of alternatives of which only one
// may hold (oneOf) several may: descriptions have some that overlap.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/goccy/go-yaml"
)

// leftOut are the alternatives to leave out, each after a dash.
var leftOut []string

func main() {
	operations := os.Args[2:]
	if i := slices.IndexFunc(operations, func(arg string) bool { return strings.HasPrefix(arg, "-") }); i >= 0 {
		leftOut, operations = operations[i:], operations[:i]
	}
	if err := trim(os.Args[1], operations); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func trim(file string, operations []string) error {
	text, err := os.ReadFile(file)
	if err == nil && !strings.HasSuffix(file, ".json") {
		text, err = yaml.YAMLToJSON(text)
	}
	if err != nil {
		return err
	}
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	for _, operation := range operations {
		method, path, _ := strings.Cut(operation, " ")
		op, ok := lookUp(all, []string{"paths", path, strings.ToLower(method)}).(map[string]any)
		if !ok {
			return fmt.Errorf("there is no %s", operation)
		}
		op["responses"] = map[string]any{"default": map[string]any{"description": "not looked at"}}
	}
	if all["swagger"] == "2.0" {
		if all, err = converted(all, operations); err != nil {
			return err
		}
	}
	info := all["info"].(map[string]any)
	if info["version"] == "" {
		info["version"] = "none"
	}
	out := map[string]any{
		"openapi": all["openapi"], "servers": all["servers"],
		"info": map[string]any{"title": info["title"], "version": info["version"]},
	}
	for _, operation := range operations {
		method, path, _ := strings.Cut(operation, " ")
		for _, key := range []string{strings.ToLower(method), "parameters"} {
			if part := lookUp(all, []string{"paths", path, key}); part != nil {
				put(out, all, []string{"paths", path, key}, part)
			}
		}
	}
	enc := json.NewEncoder(os.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	return enc.Encode(out)
}

// converted is a description of version 2 in version 3, without other paths. Requests of
// version 2 are parameters; what definitions say is of answers.
func converted(all map[string]any, operations []string) (map[string]any, error) {
	paths := map[string]any{}
	for _, operation := range operations {
		_, path, _ := strings.Cut(operation, " ")
		paths[path] = lookUp(all, []string{"paths", path})
	}
	all["paths"] = paths
	delete(all, "definitions")
	text, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	var old openapi2.T
	if err := json.Unmarshal(text, &old); err != nil {
		return nil, err
	}
	doc, err := openapi2conv.ToV3(&old)
	if err == nil {
		text, err = doc.MarshalJSON()
	}
	if err != nil {
		return nil, err
	}
	var out map[string]any
	err = json.Unmarshal(text, &out)
	return out, err
}

func lookUp(all any, at []string) any {
	for _, key := range at {
		m, _ := all.(map[string]any)
		all = m[key]
	}
	return all
}

// put writes a part at its place, and what it refers to at theirs.
func put(out, all map[string]any, at []string, part any) {
	if lookUp(out, at) != nil {
		return
	}
	to := out
	for _, key := range at[:len(at)-1] {
		if to[key] == nil {
			to[key] = map[string]any{}
		}
		to = to[key].(map[string]any)
	}
	bare, refs := strip(part, "")
	to[at[len(at)-1]] = bare
	for _, ref := range refs {
		there := strings.Split(strings.TrimPrefix(ref, "#/"), "/")
		put(out, all, there, lookUp(all, there))
	}
}

// forPeople says nothing of what may be sent. Credentials are checked elsewhere.
var forPeople = []string{"description", "summary", "example", "examples", "externalDocs", "tags", "security", "title", "default", "callbacks", "deprecated", "operationId"}

// strip leaves out what is for people, and headers called token; in is the key of v.
func strip(v any, in string) (bare any, refs []string) {
	switch v := v.(type) {
	case []any:
		list := []any{}
		for _, item := range v {
			m, _ := item.(map[string]any)
			ref, _ := m["$ref"].(string)
			out := slices.ContainsFunc(leftOut, func(name string) bool { return strings.HasSuffix(ref, name[1:]) })
			if m["in"] == "header" && m["name"] == "token" || (in == "oneOf" || in == "anyOf") && out {
				continue
			}
			one, more := strip(item, "")
			list, refs = append(list, one), append(refs, more...)
		}
		return list, refs
	case map[string]any:
		kept := map[string]any{}
		for key, value := range v {
			if in != "properties" && in != "responses" && (slices.Contains(forPeople, key) && !(key == "description" && value == "not looked at") || strings.HasPrefix(key, "x-")) {
				continue
			}
			one, more := strip(value, key)
			if key == "oneOf" && in != "properties" {
				key = "anyOf"
			}
			kept[key], refs = one, append(refs, more...)
			if ref, ok := value.(string); ok && key == "$ref" {
				refs = append(refs, ref)
			}
		}
		return kept, refs
	}
	return v, nil
}
