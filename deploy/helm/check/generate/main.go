// Command generate writes what is made from the chart's values and the product's files:
// values.schema.json, the tables of README.md, and the chart's copies of alert rules and
// dashboards. It is run by `make generate`.
package main

import (
	"fmt"
	"os"
	"path/filepath"
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

func run(root string) error {
	chart := filepath.Join(root, "deploy/helm/headgate")
	values, err := readValues(filepath.Join(chart, "values.yaml"), filepath.Join(root, "deploy/helm/check/types.yaml"))
	if err != nil {
		return err
	}
	config, err := readConfigSchema(filepath.Join(root, "schemas/headgate.schema.json"))
	if err != nil {
		return err
	}
	if err := writeSchema(filepath.Join(chart, "values.schema.json"), values, config); err != nil {
		return err
	}
	readme := filepath.Join(chart, "README.md")
	if err := fill(readme, "values", valuesTable(values)); err != nil {
		return err
	}
	if err := fill(readme, "config", configTable(values, config)); err != nil {
		return err
	}
	return copyFiles(root, chart)
}

// copyFiles takes alert rules and dashboards into the chart: Helm reads files of the
// chart only. Those that are gone from the source go from the chart, too.
func copyFiles(root, chart string) error {
	for pattern, dir := range map[string]string{
		"deploy/prometheus/rules.yaml":     "files",
		"deploy/grafana/dashboards/*.json": "files/dashboards",
	} {
		sources, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return fmt.Errorf("find %s: %w", pattern, err)
		}
		if len(sources) == 0 {
			continue
		}
		target := filepath.Join(chart, dir)
		stale, err := filepath.Glob(filepath.Join(target, filepath.Base(pattern)))
		if err != nil {
			return fmt.Errorf("find the chart's %s: %w", pattern, err)
		}
		for _, path := range stale {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("remove the old copy: %w", err)
			}
		}
		if err := os.MkdirAll(target, 0o755); err != nil {
			return fmt.Errorf("make the folder: %w", err)
		}
		for _, path := range sources {
			text, err := os.ReadFile(path)
			if err != nil {
				return fmt.Errorf("read what is copied: %w", err)
			}
			if err := os.WriteFile(filepath.Join(target, filepath.Base(path)), text, 0o644); err != nil {
				return fmt.Errorf("write the copy: %w", err)
			}
		}
	}
	return nil
}
