// Package reference owns the pages of docs/reference. They are made from what the code
// declares: schemas, problem types, reasons, metrics and commands. It knows how those
// look in Markdown, and writes no file.
package reference

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"headgate/config"
	"headgate/dispatch/fault"
	"headgate/gateway"
	"headgate/internal/app"
	"headgate/internal/obs"
	"headgate/internal/routetests"
	"headgate/routes"
)

const made = "Made from the code by `make generate`; edits here are lost.\n\n"

// Pages gives the text of every page by file name, the same for the same code. root is
// the command line.
func Pages(root *cobra.Command) (map[string][]byte, error) {
	configuration, err := configurationPage()
	if err != nil {
		return nil, err
	}
	routeFiles, err := routesPage()
	if err != nil {
		return nil, err
	}
	tests, err := testsPage()
	if err != nil {
		return nil, err
	}
	metrics, err := metricsPage()
	if err != nil {
		return nil, err
	}
	adminAPI, err := adminPage()
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		"README.md":        []byte(index),
		"configuration.md": configuration,
		"routes.md":        routeFiles,
		"tests.md":         tests,
		"recipes.md":       recipesPage(),
		"problems.md":      problemsPage(),
		"reasons.md":       reasonsPage(),
		"metrics.md":       metrics,
		"commands.md":      commandsPage(root),
		"admin.md":         adminAPI,
	}, nil
}

const index = "# Reference\n\n" + made + `Everything by kind; [docs](../README.md) has what explains it.

| kind | page | what it lists |
|---|---|---|
| files | [configuration.md](configuration.md) | every key of the operator's file, ` + "`headgate.yaml`" + ` |
| | [routes.md](routes.md) | every key of route files: authentication, targets, routes |
| | [tests.md](tests.md) | every key of files of tests, for ` + "`headgate test`" + ` |
| | [recipes.md](recipes.md) | targets that are ready to use, and what each takes |
| | [expressions](../expressions.md) | ` + "`${{ … }}`" + `: the language, and every name that it sees |
| answers | [problems.md](problems.md) | the types of problem that clients see |
| | [states](../states.md) | the states of a delivery and of a dispatch |
| | [reasons.md](reasons.md) | the reasons why a delivery did not work |
| operation | [commands.md](commands.md) | the commands and their flags |
| | [admin.md](admin.md) | the calls of the admin listener |
| | [metrics.md](metrics.md) | the metrics |
`

func configurationPage() ([]byte, error) {
	text, err := config.Schema()
	if err != nil {
		return nil, err
	}
	// The defaults that count are those of the code, whatever descriptions say.
	raw, err := json.Marshal(config.Default())
	if err != nil {
		return nil, fmt.Errorf("encode default configuration: %w", err)
	}
	var defaults map[string]any
	if err := json.Unmarshal(raw, &defaults); err != nil {
		return nil, fmt.Errorf("decode default configuration: %w", err)
	}
	intro := "# The operator's file: `headgate.yaml`\n\n" + made +
		"`headgate check` reports unknown keys and wrong values. The same as a JSON Schema, for editors:\n" +
		"[headgate.schema.json](../../schemas/headgate.schema.json).\n\n"
	return schemaPage(text, intro, defaults)
}

func routesPage() ([]byte, error) {
	text, err := routes.Schema(app.Builtin())
	if err != nil {
		return nil, err
	}
	intro := "# Route files\n\n" + made +
		"In the paths below, `NAME` is a name of your choice and `[]` an item of a list. `headgate check`\n" +
		"reports unknown keys and wrong values. The same as a JSON Schema, for editors:\n" +
		"[routes.schema.json](../../schemas/routes.schema.json).\n\n"
	return schemaPage(text, intro, nil)
}

func testsPage() ([]byte, error) {
	text, err := routetests.Schema()
	if err != nil {
		return nil, err
	}
	intro := "# Files of tests\n\n" + made +
		"`headgate test` runs them against the route files, with scripted backends and in fake time. What\n" +
		"is not written is not compared. The request is `trk_000000000000000000000000`, a batch\n" +
		"`bat_000000000000000000000000`, and it is noon (UTC) of 1 January 2026. Name the files `…_test.yaml`: patterns for route files leave those\n" +
		"out. The same as a JSON Schema, for editors: [tests.schema.json](../../schemas/tests.schema.json).\n\n"
	return schemaPage(text, intro, nil)
}

func problemsPage() []byte {
	var out strings.Builder
	out.WriteString("# Problems\n\n" + made +
		"Every error that clients see is `application/problem+json` (RFC 9457). Its `type` is `" + gateway.ProblemType{Slug: "…"}.URN() + "`\n" +
		"with one of these words at the end. Decide by `type`; titles and details are for people.\n\n")
	t := newTable("type", "status", "title", "meaning")
	for _, p := range gateway.Problems() {
		statuses := make([]string, len(p.Statuses))
		for i, status := range p.Statuses {
			statuses[i] = fmt.Sprint(status)
		}
		t.row(code(p.Slug), strings.Join(statuses, ", "), prose(p.Title), prose(p.Meaning))
	}
	t.write(&out)
	return []byte(out.String())
}

func reasonsPage() []byte {
	var out strings.Builder
	out.WriteString("# Reasons\n\n" + made +
		"Why a delivery did not work, in one word of a closed set: in the tracking answer, in the log, in\n" +
		"metrics and as the filter `--reason` of `headgate deadletters`.\n\n")
	t := newTable("reason", "meaning")
	for _, r := range fault.All() {
		t.row(code(string(r)), prose(r.Meaning()))
	}
	t.write(&out)
	return []byte(out.String())
}

func metricsPage() ([]byte, error) {
	figures, err := obs.Figures()
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	out.WriteString("# Metrics\n\n" + made +
		"At `GET /metrics` of the admin listener, in the Prometheus format. Besides these there are the\n" +
		"usual `go_*` and `process_*`, which depend on the Go release and the operating system.\n\n")
	t := newTable("name", "type", "labels", "meaning")
	for _, f := range figures {
		labels := make([]string, len(f.Labels))
		for i, label := range f.Labels {
			labels[i] = code(label)
		}
		t.row(code(f.Name), f.Type, strings.Join(labels, ", "), prose(f.Help))
	}
	t.write(&out)
	return []byte(out.String()), nil
}
