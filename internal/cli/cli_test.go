package cli

import (
	"bytes"
	"strings"
	"testing"
)

// TestUnknownCommands: whoever runs a command from a script learns from the exit code that it
// was misspelt, also below a command that only groups others.
func TestUnknownCommands(t *testing.T) {
	for args, unknown := range map[string]string{
		"nosuch":                    `unknown command "nosuch" for "headgate"`,
		"deadletters relpay --help": `unknown command "relpay" for "headgate deadletters"`,
		"deadletters relpay":        `unknown command "relpay" for "headgate deadletters"`,
		"config shwo":               `unknown command "shwo" for "headgate config"`,
		"deadletters":               "",
		"deadletters --help":        "",
		"help deadletters list":     "",
		"":                          "",
	} {
		root := newRoot()
		root.SetOut(new(bytes.Buffer))
		root.SetArgs(strings.Fields(args))
		err := execute(t.Context(), root)
		switch {
		case unknown == "" && err != nil:
			t.Errorf("%q: %v", args, err)
		case unknown != "" && (exitCode(err) != 2 || !strings.Contains(err.Error(), unknown)):
			t.Errorf("%q: %v", args, err)
		}
	}
}

// TestConfigShowOneWay: what is on the command line is not ignored.
func TestConfigShowOneWay(t *testing.T) {
	for _, other := range []string{"--url=http://127.0.0.1:9090", "--token=secret"} {
		root := newRoot()
		root.SetOut(new(bytes.Buffer))
		root.SetArgs([]string{"config", "show", "-c", "nowhere.yaml", other})
		err := execute(t.Context(), root)
		flag, _, _ := strings.Cut(other, "=")
		if exitCode(err) != 2 || !strings.Contains(err.Error(), flag+" is for asking a process") || !strings.Contains(err.Error(), "--config") {
			t.Errorf("%s: %v", other, err)
		}
	}
}
