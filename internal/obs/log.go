// Package obs owns what an operator sees of a running process: the logger and the
// metrics. It knows no request and no delivery beyond the labels it is given.
package obs

import (
	"fmt"
	"io"
	"log/slog"
)

// Logger makes the process's logger. format is json or text, level a slog level name;
// the returned variable changes the level at run time. To Lines, nothing from WARN on waits.
func Logger(out io.Writer, format, level string) (*slog.Logger, *slog.LevelVar, error) {
	current := new(slog.LevelVar)
	if err := current.UnmarshalText([]byte(level)); err != nil {
		return nil, nil, fmt.Errorf("log level: %w", err)
	}
	options := &slog.HandlerOptions{Level: current}
	var handler slog.Handler
	switch format {
	case "json":
		handler = slog.NewJSONHandler(out, options)
	case "text":
		handler = slog.NewTextHandler(out, options)
	default:
		return nil, nil, fmt.Errorf("log format %q: write json or text", format)
	}
	if lines, ok := out.(*Lines); ok {
		handler = lines.Urgent(handler)
	}
	return slog.New(handler), current, nil
}
