package main

import (
	"slices"
	"strings"
)

// matrix is every scenario, in the order of the report. Those that take long stand first
// in a family: the others run beside them.
func matrix() []*scenario {
	return slices.Concat(
		networkScenarios(), gatewayScenarios(), workerScenarios(), redisScenarios(), failoverScenarios(), clusterScenarios(),
		backendScenarios(), operatorScenarios(), rolloutScenarios(), clockScenarios(),
	)
}

// describe is the table of docs/chaos.md.
func describe(list []*scenario) string {
	rows := [][]string{{"scenario", "what it shows", "why a backend may see the same twice"}}
	for _, s := range list {
		why := s.why
		if why == "" {
			why = "it may not"
		}
		if s.mayForget != "" {
			why += "; what may be lost: " + s.mayForget
		}
		rows = append(rows, []string{"`" + s.name + "`", s.shows, why})
	}
	var out strings.Builder
	for i, row := range rows {
		out.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			out.WriteString("|---|---|---|\n")
		}
	}
	return out.String()
}
