package cli

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"headgate/config"
	"headgate/config/yamlsrc"
)

func newHealth() *cobra.Command {
	c := &cobra.Command{
		Use:   "health",
		Short: "Ask a process whether it is alive or ready; for healthchecks of containers",
		Long: "Exits 0 when it is, 1 when it is not or does not answer in time. It needs no token and no\n" +
			"shell: where the admin listener is stands in the operator's file, or is given with --url. An\n" +
			"address that stands for all, such as 0.0.0.0, is asked on loopback.",
		Example: "  headgate health -c /etc/headgate/headgate.yaml\n  headgate health --ready --url http://127.0.0.1:9090",
		Args:    noArgs,
	}
	path := configFlag(c)
	base := c.Flags().String("url", "", "URL of the admin listener; default: as the operator's file says")
	ready := c.Flags().Bool("ready", false, "ask whether it can take requests, not only whether it answers")
	within := c.Flags().Duration("timeout", 3*time.Second, "how long it may take")
	c.RunE = func(c *cobra.Command, _ []string) error {
		at := *base
		if at == "" {
			// A file that somebody names is there; the one that is looked for by default need not be.
			if _, err := os.Stat(*path); err != nil && c.Flags().Changed("config") {
				return fmt.Errorf("read the operator's file: %w", err)
			}
			var err error
			if at, err = adminURL(*path); err != nil {
				return err
			}
		}
		asked := &adminClient{newClient(at, "")}
		asked.http.Timeout = *within
		what, is := "/livez", "alive"
		if *ready {
			what, is = "/readyz", "ready"
		}
		if _, err := asked.do(c.Context(), http.MethodGet, what, nil, nil); err != nil {
			return err
		}
		_, err := fmt.Fprintln(c.OutOrStdout(), is)
		return err
	}
	return c
}

// adminURL gives where the process listens that was started with this file. What else is
// wrong with the file is not told: a bad edit, which a running process has refused, must
// not make it look ill.
func adminURL(path string) (string, error) {
	c := config.Load(path, new(yamlsrc.Report))
	if !c.Admin.Enabled() {
		return "", fmt.Errorf("%s has no admin listener to ask (admin.listen: off)", path)
	}
	host, port, err := net.SplitHostPort(c.Admin.Listen)
	switch {
	case err != nil:
		return "", fmt.Errorf("admin.listen of %s is %q, which is no address: give --url", path, c.Admin.Listen)
	case port == "0":
		return "", fmt.Errorf("admin.listen of %s is any free port: give --url", path)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return "http://" + net.JoinHostPort(host, port), nil
}
