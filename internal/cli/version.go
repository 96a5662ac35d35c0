package cli

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version and revision are set by the linker: scripts/build.sh.
var (
	version  = unset
	revision = ""
)

// unset is the version that the linker was not told.
const unset = "dev"

// shortRevision is how much of a commit's name is shown to people.
const shortRevision = 12

// build is what `headgate version` tells.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"` // in full
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// thisBuild tells what the linker was told and, for a plain `go build` or `go install`, what Go
// itself noted.
func thisBuild() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return buildOf(version, revision, info)
}

func buildOf(version, commit string, info *debug.BuildInfo) build {
	const unknown = "(devel)" // what Go notes without version control
	if of := info.Main.Version; version == unset && of != "" && of != unknown {
		version = of
	}
	if commit == "" {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			}
		}
	}
	return build{Version: version, Commit: commit, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
}

func (b build) String() string {
	commit := b.Commit
	if commit != "" {
		commit = " " + commit[:min(len(commit), shortRevision)]
	}
	return fmt.Sprintf("headgate %s%s (%s %s)", b.Version, commit, b.Go, b.Platform)
}

func newVersion() *cobra.Command {
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print version, commit, Go's version and platform",
		Example: "  headgate version\n  headgate version --json | jq -r .version",
		Args:    noArgs,
	}
	asJSON := c.Flags().Bool("json", false, "as JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		b := thisBuild()
		if !*asJSON {
			fmt.Fprintln(c.OutOrStdout(), b)
			return nil
		}
		text, err := json.Marshal(b)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "%s\n", text)
		return nil
	}
	return c
}
