package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const chart = "deploy/helm/headgate"

// checkHelm wants the chart to be there, and to have the values that are set.
func checkHelm(args []string) error {
	values := map[string]any{}
	for i := 0; i+1 < len(args); i++ {
		switch args[i] {
		case "--set", "--set-string", "--set-file", "--set-json":
			key, value, found := strings.Cut(args[i+1], "=")
			if !found {
				return fmt.Errorf("%s %q has no value", args[i], args[i+1])
			}
			if args[i] == "--set" {
				set(values, key, typed(value))
			} else {
				set(values, key, value)
			}
			i++
		}
	}
	if len(values) > 0 {
		if err := checkValues(values); err != nil {
			return err
		}
	}
	return checkPaths(args)
}

// escaped is a dot that is part of a key of --set.
const escaped = "\x00"

func set(values map[string]any, key string, value any) {
	path := strings.Split(strings.ReplaceAll(key, `\.`, escaped), ".")
	for _, name := range path[:len(path)-1] {
		below, ok := values[name].(map[string]any)
		if !ok {
			below = map[string]any{}
			values[name] = below
		}
		values = below
	}
	values[strings.ReplaceAll(path[len(path)-1], escaped, ".")] = value
}

// typed gives a value of --set the type that helm gives it.
func typed(value string) any {
	switch {
	case value == "true", value == "false":
		return value == "true"
	case regexp.MustCompile(`^[0-9]+$`).MatchString(value):
		return json.Number(value)
	case strings.HasPrefix(value, "{"):
		list := []any{}
		for item := range strings.SplitSeq(strings.Trim(value, "{}"), ",") {
			list = append(list, item)
		}
		return list
	}
	return value
}

// checkValues holds values against the chart's schema. None is required: those of the
// chart stand behind what a page shows.
func checkValues(values any) error {
	text, err := os.ReadFile(chart + "/values.schema.json")
	if err != nil {
		return err
	}
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	if root, ok := schema.(map[string]any); ok {
		delete(root, "required")
	}
	return checkSchema(schema, values)
}

func checkSchema(schema, value any) error {
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", schema); err != nil {
		return err
	}
	compiled, err := c.Compile("schema.json")
	if err != nil {
		return err
	}
	return compiled.Validate(value)
}
