package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"headgate/config"
	"headgate/config/yamlsrc"
	"headgate/internal/app"
	"headgate/internal/obs"
	"headgate/internal/redisstore"
)

func newServe() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway, the workers, or both",
		Long: "Runs until SIGTERM or Ctrl-C: then no new requests are taken, steps in flight may\n" +
			"finish within limits.shutdown, and the rest is handed back. SIGHUP reads all files\n" +
			"again, and so does a change of them (watch); a bad file leaves the running configuration in\n" +
			"place. With limits.drain, requests are taken for that long after SIGTERM.",
		Example: "  headgate serve -c headgate.yaml\n  headgate serve -c headgate.yaml --role worker",
		Args:    noArgs,
	}
	path := configFlag(c)
	role := c.Flags().String("role", string(app.RoleAll), "what this process does: all, gateway or worker")
	listen := c.Flags().String("listen", "", "address for clients, instead of the file's")
	adminListen := c.Flags().String("admin-listen", "", "address of the admin listener, instead of the file's; off for none")
	c.RunE = func(c *cobra.Command, _ []string) error {
		parsed, err := parseRole(*role)
		if err != nil {
			return err
		}
		lines := obs.NewLines(os.Stderr)
		defer func() { _ = lines.Flush() }() // there is nowhere to tell that the log cannot be written
		log, level, err := logger(*path, lines)
		if err != nil {
			return err
		}
		redisstore.LogTo(log)
		traces, err := obs.NewTraces(c.Context(), thisBuild().Version, os.Getenv, log)
		if err != nil {
			return err
		}
		return serve(c.Context(), app.Options{
			Version: thisBuild().Version, ConfigPath: *path, Role: parsed, Log: log, Level: level, Traces: traces, Listen: *listen, AdminListen: *adminListen,
		})
	}
	return c
}

func parseRole(s string) (app.Role, error) {
	if slices.Contains(app.Roles(), app.Role(s)) {
		return app.Role(s), nil
	}
	return "", usagef("unknown role %q: write %s", s, strings.Join(roleNames(), ", "))
}

// logger makes the logger the file asks for. Problems of the file are not told here:
// the start that follows tells all of them.
func logger(path string, out io.Writer) (*slog.Logger, *slog.LevelVar, error) {
	var report yamlsrc.Report
	c := config.Load(path, &report)
	log, level, err := obs.Logger(out, c.Telemetry.Log.Format, c.Telemetry.Log.Level)
	if err != nil && report.Len() == 0 {
		return nil, nil, err
	}
	if err != nil {
		return slog.Default(), nil, nil
	}
	return log, level, nil
}

// serve runs the process until ctx ends.
func serve(ctx context.Context, o app.Options) error {
	ballast := newBallast()
	defer runtime.KeepAlive(ballast)
	hup := make(chan os.Signal, 1) // before anything that takes time: unheard, it ends the process
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	a, err := app.New(ctx, o)
	if err != nil {
		return err
	}
	if banner := a.Banner(); banner != "" {
		fmt.Fprintln(os.Stderr, banner)
	}
	if err := a.Start(ctx); err != nil {
		return errors.Join(err, stop(ctx, a))
	}
	for {
		select {
		case <-ctx.Done():
			// A second signal means that it is urgent.
			again, end := signal.NotifyContext(context.WithoutCancel(ctx), os.Interrupt, syscall.SIGTERM)
			a.Drain(again)
			end()
			o.Log.InfoContext(ctx, "stopping", "within", a.Config().Limits.Shutdown.String())
			return stop(ctx, a)
		case <-hup:
			_ = a.Reload(ctx) // it has told what came of it
		}
	}
}

// stop ends the process's work within its bound, although ctx has ended.
func stop(ctx context.Context, a *app.App) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.Config().Limits.Shutdown.D()+stopMargin)
	defer cancel()
	return a.Stop(ctx)
}
