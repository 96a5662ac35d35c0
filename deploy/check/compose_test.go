package check

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const composeFile = root + "/deploy/compose/compose.yaml"

// loadCompose reads the file as docker compose does: against the schema of the specification, with
// variables, env_file and merges resolved, and paths relative to deploy/compose. Nothing of this machine's environment is in it.
func loadCompose(t *testing.T, file string) (*types.Project, error) {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{file}, cli.WithWorkingDirectory(filepath.Dir(absolute(t, composeFile))), cli.WithEnv(nil), cli.WithResolvedPaths(true), cli.WithConsistency(true))
	if err != nil {
		return nil, err
	}
	project, err := options.LoadProject(context.WithoutCancel(t.Context()))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return project.WithServicesEnvironmentResolved(false)
}

func TestCompose(t *testing.T) {
	project, err := loadCompose(t, composeFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"redis", "gateway", "worker", "simulators", "prometheus", "grafana", "jaeger"} {
		if _, ok := project.Services[name]; !ok {
			t.Errorf("there is no service %s", name)
		}
	}
	for name, s := range project.Services {
		t.Run(name, func(t *testing.T) {
			for _, fault := range faultsOf(project, name) {
				t.Error(fault)
			}
			if s.HealthCheck == nil && name != "jaeger" { // its image has no program that could ask
				t.Error("it has no healthcheck")
			}
		})
	}
	t.Run("redis keeps what it is given", func(t *testing.T) {
		line := strings.Join(project.Services["redis"].Command, " ")
		for _, want := range []string{"--appendonly yes", "--appendfsync ", "--maxmemory-policy noeviction", "--maxmemory "} {
			if !strings.Contains(line, want) {
				t.Errorf("redis is started without %s: %s", want, line)
			}
		}
	})
	t.Run("one file for gateway and worker", func(t *testing.T) {
		gateway, worker := project.Services["gateway"], project.Services["worker"]
		for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
			if e, f := gateway.Environment[name], worker.Environment[name]; e == nil || f == nil || *e != *f {
				t.Errorf("gateway and worker differ in %s", name)
			}
		}
	})
}

// faultsOf tells what the schema does not: what is not there, what is open to others, what may be written.
func faultsOf(project *types.Project, name string) []string {
	s := project.Services[name]
	var faults []string
	add := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if !regexp.MustCompile(`^(headgate:compose|[a-z/]+:v?\d+\.\d+\.\d+(-[a-z0-9.]+)?)$`).MatchString(s.Image) {
		add("its image %s is not pinned to a version", s.Image)
	}
	if !s.ReadOnly {
		add("its root can be written to")
	}
	if !slices.Contains(s.CapDrop, "ALL") || len(s.CapAdd) > 0 || s.Privileged {
		add("it keeps capabilities: cap_drop %v, cap_add %v", s.CapDrop, s.CapAdd)
	}
	if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		add("it may get new privileges")
	}
	for _, p := range s.Ports {
		if ip := net.ParseIP(p.HostIP); ip == nil || !ip.IsLoopback() {
			add("its port %s is open to others: %q", p.Published, p.HostIP)
		}
	}
	for _, v := range s.Volumes {
		if v.Type != types.VolumeTypeBind {
			continue
		}
		if _, err := os.Stat(v.Source); err != nil {
			add("it mounts %s, which is not there", v.Source) // an engine would make a folder
		}
		if !v.ReadOnly {
			add("it may write to %s", v.Source)
		}
	}
	for _, secret := range s.Secrets {
		if file := project.Secrets[secret.Source].File; file == "" {
			add("its secret %s is no file", secret.Source)
		} else if info, err := os.Stat(file); err != nil || info.Mode()&0o004 == 0 {
			add("its user cannot read the secret %s", file)
		}
	}
	for on, d := range s.DependsOn {
		if h := project.Services[on].HealthCheck; d.Condition == types.ServiceConditionHealthy && (h == nil || h.Disable) {
			add("it waits for the health of %s, which has no healthcheck", on)
		}
	}
	if h := s.HealthCheck; h != nil && !h.Disable && h.Test[0] != "CMD" {
		add("its healthcheck needs a shell: %v", h.Test)
	}
	return faults
}

// TestComposeFaults: what is wrong is found.
func TestComposeFaults(t *testing.T) {
	text := read(t, composeFile)
	for _, test := range []struct{ name, service, from, to, want string }{
		{"unknown key", "", "  gateway:\n", "  gateway:\n    comand: []\n", "comand"},
		{"unknown condition", "", "{condition: service_healthy}", "{condition: service_well}", "condition"},
		{"unknown network", "", "networks: [front, store, watch]", "networks: [front, back]", "back"},
		{"unknown secret", "", "secrets: [admin-token]", "secrets: [admin]", "admin"},
		{"port for everybody", "gateway", "127.0.0.1:8080:8080", "8080:8080", "open to others"},
		{"writable root", "redis", "read_only: true", "read_only: false", "root can be written to"},
		{"missing file", "gateway", "./headgate.yaml", "./headgat.yaml", "is not there"},
		{"newest image", "jaeger", "jaegertracing/jaeger:2.17.0", "jaegertracing/jaeger:latest", "not pinned"},
		{"health of what has none", "gateway", "simulators: {condition: service_started}", "simulators: {condition: service_healthy}", "no healthcheck"},
	} {
		if !strings.Contains(text, test.from) {
			t.Errorf("%s: compose.yaml has no %q to change", test.name, test.from)
			continue
		}
		file := filepath.Join(t.TempDir(), "compose.yaml")
		if err := os.WriteFile(file, []byte(strings.Replace(text, test.from, test.to, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		project, err := loadCompose(t, file)
		var found string
		switch {
		case err != nil:
			found = err.Error()
		case test.service != "":
			found = strings.Join(faultsOf(project, test.service), "\n")
		}
		if !strings.Contains(found, test.want) {
			t.Errorf("%s: found %q, want something about %q", test.name, found, test.want)
		}
	}
}

// TestComposeReadme: the services and ports that it names are there.
func TestComposeReadme(t *testing.T) {
	project, err := loadCompose(t, composeFile)
	if err != nil {
		t.Fatal(err)
	}
	page := read(t, filepath.Dir(composeFile)+"/README.md")
	published := map[string]bool{}
	for _, s := range project.Services {
		for _, p := range s.Ports {
			published[p.Published] = true
		}
	}
	ports := regexp.MustCompile(`127\.0\.0\.1:(\d+)`).FindAllStringSubmatch(page, -1)
	for _, port := range ports {
		if !published[port[1]] {
			t.Errorf("the README names port %s, which is not published", port[1])
		}
	}
	commands := regexp.MustCompile(`docker compose (?:exec(?: -e \S+=\S+ \S+)?|logs --follow) ([a-z]+)|--scale ([a-z]+)=`).FindAllStringSubmatch(page, -1)
	for _, c := range commands {
		if name := c[1] + c[2]; project.Services[name].Name == "" {
			t.Errorf("the README names a service %q, which is not there", name)
		}
	}
	if len(ports) < 5 || len(commands) < 4 {
		t.Errorf("this check finds %d ports and %d commands only", len(ports), len(commands))
	}
}
