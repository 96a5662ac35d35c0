package main

import (
	"fmt"
	"strings"
)

// table writes the results as a table that is readable in a terminal and in Markdown.
func table(results []result) string {
	rows := [][]string{{"scenario", "acknowledged", "delivered", "duplicates", "lost", "not final", "healed s", "why"}}
	for _, r := range results {
		name := r.Scenario
		if !r.OK {
			name += " (FAILED)"
		}
		rows = append(rows, []string{
			name, fmt.Sprint(r.Acknowledged), fmt.Sprint(r.Delivered), fmt.Sprint(r.Duplicates),
			fmt.Sprint(r.Lost), fmt.Sprint(r.NotFinal), fmt.Sprintf("%.1f", r.HealedS), r.Why,
		})
	}
	return align(rows)
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
