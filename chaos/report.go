package main

import (
	"fmt"
	"slices"
	"strings"
)

// table writes the results as a table that is readable in a terminal and in Markdown.
// Why there are duplicates, or losses, stands below it: the numbers refer to that.
func table(results []result) string {
	rows := [][]string{{"scenario", "acknowledged", "delivered", "duplicates", "lost", "not final", "healed s"}}
	var reasons []string
	for _, r := range results {
		name := r.Scenario
		if !r.OK {
			name += " (FAILED)"
		}
		duplicates := fmt.Sprint(r.Duplicates)
		if r.Why != "" {
			i := slices.Index(reasons, r.Why)
			if i < 0 {
				i = len(reasons)
				reasons = append(reasons, r.Why)
			}
			duplicates += fmt.Sprintf(" (%d)", i+1)
		}
		rows = append(rows, []string{
			name, fmt.Sprint(r.Acknowledged), fmt.Sprint(r.Delivered), duplicates,
			fmt.Sprint(r.Lost), fmt.Sprint(r.NotFinal), fmt.Sprintf("%.1f", r.HealedS),
		})
	}
	out := align(rows)
	if len(reasons) > 0 {
		out += "\n"
	}
	for i, reason := range reasons {
		out += fmt.Sprintf("%d. %s\n", i+1, reason)
	}
	return out
}

func align(rows [][]string) string {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len(cell))
		}
	}
	var out strings.Builder
	line := func(row []string) {
		for i, cell := range row {
			out.WriteString("| " + cell + strings.Repeat(" ", width[i]-len(cell)) + " ")
		}
		out.WriteString("|\n")
	}
	line(rows[0])
	out.WriteString(strings.Repeat("|---", len(width)) + "|\n")
	for _, row := range rows[1:] {
		line(row)
	}
	return out.String()
}
