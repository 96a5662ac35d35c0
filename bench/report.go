package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
)

// table prints the figures that have a bound, and reports whether all are met.
func table(to io.Writer, figures []Figure) (allMet bool) {
	allMet = true
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nfigure\tvalue\tspread\tbound\t")
	for _, f := range figures {
		if f.bound() == "" {
			continue
		}
		allMet = allMet && f.Met()
		fmt.Fprintf(w, "%s\t%.2f %s\t%.2f to %.2f\t%s\t%s\n", f.Name, f.Value, f.Unit, f.Min, f.Max, f.bound(), f.verdict())
	}
	_ = w.Flush() // it is a terminal or a buffer
	return allMet
}

// write writes all figures as JSON.
func write(path string, figures []Figure) error {
	text, err := json.MarshalIndent(map[string]any{"figures": figures}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o600)
}
