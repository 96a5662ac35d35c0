// Command generate writes what is made from the chart's values and the product's files:
// values.schema.json, the tables of README.md, and the chart's copies of alert rules and
// dashboards. It is run by `make generate`.
package main

import (
	"fmt"
	"io/fs"
	"os"
	"path"
)

// Where things are, below the product's folder.
const (
	chart        = "deploy/helm/headgate"
	valuesFile   = chart + "/values.yaml"
	schemaFile   = chart + "/values.schema.json"
	readmeFile   = chart + "/README.md"
	typesFile    = "deploy/helm/check/types.yaml"
	configSchema = "schemas/headgate.schema.json"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: generate ROOT (the folder of the product)")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open the product's folder: %w", err)
	}
	defer func() { _ = root.Close() }()
	values, err := readValues(root)
	if err != nil {
		return err
	}
	config, err := readConfigSchema(root)
	if err != nil {
		return err
	}
	if err := writeSchema(root, values, config); err != nil {
		return err
	}
	if err := fill(root, "values", valuesTable(values)); err != nil {
		return err
	}
	if err := fill(root, "config", configTable(values, config)); err != nil {
		return err
	}
	for pattern, into := range map[string]string{
		"deploy/prometheus/rules.yaml":     chart + "/files",
		"deploy/grafana/dashboards/*.json": chart + "/files/dashboards",
	} {
		if err := copyFiles(root, pattern, into); err != nil {
			return err
		}
	}
	return nil
}

// copyFiles takes files into the chart: Helm reads those of the chart only. What is gone
// from the source goes from the chart, too.
func copyFiles(root *os.Root, pattern, into string) error {
	sources, err := fs.Glob(root.FS(), pattern)
	if err != nil {
		return err
	}
	if len(sources) == 0 {
		return fmt.Errorf("nothing to copy into the chart: there is no %s", pattern)
	}
	old, err := fs.Glob(root.FS(), path.Join(into, path.Base(pattern)))
	if err != nil {
		return fmt.Errorf("find the chart's copies of %s: %w", pattern, err)
	}
	for _, name := range old {
		if err := root.Remove(name); err != nil {
			return fmt.Errorf("remove the old copy: %w", err)
		}
	}
	if err := root.MkdirAll(into, 0o755); err != nil {
		return fmt.Errorf("make the folder of copies: %w", err)
	}
	for _, name := range sources {
		text, err := root.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read what is copied: %w", err)
		}
		if err := root.WriteFile(path.Join(into, path.Base(name)), text, 0o644); err != nil {
			return fmt.Errorf("write the copy: %w", err)
		}
	}
	return nil
}
