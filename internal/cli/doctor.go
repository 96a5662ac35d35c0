package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"headgate/internal/app/doctor"
	"headgate/internal/redisstore"
)

func newDoctor() *cobra.Command {
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look at everything that deliveries need, and say what to do",
		Long: "Looks at the files, Redis, clocks, workers, queues, the backends of all targets, key sets and the\n" +
			"process behind the admin listener, side by side, and says of each whether it is ok, worth a warning\n" +
			"or a problem, and what to do. Exits 1 when there is a problem.\n\n" +
			"Nothing is changed. Backends are connected to, and no request is sent to them. Run it where\n" +
			"workers run: what cannot be reached or read from elsewhere may be well there.",
		Example: "  headgate doctor -c headgate.yaml\n" +
			"  headgate doctor --json | jq 'select(.state != \"ok\")'\n" +
			"  headgate doctor --url http://gateway-0:9090 --url http://worker-0:9090",
		Args: noArgs,
	}
	o := doctor.Options{Version: version}
	path := configFlag(c)
	c.Flags().StringSliceVar(&o.URLs, "url", nil, "URL of a process's admin listener, more than once for several; default: that of the operator's file")
	token := tokenFlag(c, "admin token, in place of that of the operator's file", "HEADGATE_ADMIN_TOKEN")
	c.Flags().DurationVar(&o.Each, "timeout", 8*time.Second, "how long any one look may take")
	asJSON := c.Flags().Bool("json", false, "one JSON object a line")
	c.RunE = func(c *cobra.Command, _ []string) error {
		o.ConfigPath, o.Token = *path, token()
		redisstore.LogTo(slog.New(slog.DiscardHandler)) // what matters of it is among the findings
		found := doctor.Examine(c.Context(), o)
		if *asJSON {
			for _, f := range found {
				if err := json.NewEncoder(c.OutOrStdout()).Encode(f); err != nil {
					return err
				}
			}
		} else {
			printFindings(c.OutOrStdout(), found)
		}
		if counted(found, doctor.Problem) > 0 {
			return errReported
		}
		return nil
	}
	return c
}

// printFindings writes them below what they are about, each with what to do on a line of its own.
func printFindings(out io.Writer, found []doctor.Finding) {
	about := ""
	for _, f := range found {
		if f.About != about {
			about = f.About
			fmt.Fprintln(out, about)
		}
		fmt.Fprintf(out, "  %-8s %s\n", f.State, harmless(f.What))
		if f.Do != "" {
			fmt.Fprintf(out, "  %-8s → %s\n", "", harmless(f.Do))
		}
	}
	fmt.Fprintf(out, "\n%s, %s\n", count(counted(found, doctor.Problem), "problem"), count(counted(found, doctor.Warning), "warning"))
}

func counted(found []doctor.Finding, state doctor.State) (n int) {
	for _, f := range found {
		if f.State == state {
			n++
		}
	}
	return n
}

// harmless keeps what others have written from moving the cursor.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}
