package check

import (
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	psa "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// pod is what a Deployment makes, or the pod of `helm test`.
type pod struct {
	name string
	role string // gateway or worker; empty for that of `helm test`
	meta meta.ObjectMeta
	spec core.PodSpec
}

func (p pod) container() core.Container { return p.spec.Containers[0] }

// portNamed gives a port that the pod declares.
func (p pod) portNamed(name string) (core.ContainerPort, bool) {
	for _, port := range p.container().Ports {
		if port.Name == name {
			return port, true
		}
	}
	return core.ContainerPort{}, false
}

func pods(t *testing.T, m *manifests) []pod {
	t.Helper()
	var out []pod
	for _, d := range all[*apps.Deployment](m) {
		out = append(out, pod{d.Name, d.Labels["app.kubernetes.io/component"], d.Spec.Template.ObjectMeta, d.Spec.Template.Spec})
	}
	if len(out) != 2 {
		t.Fatalf("%d Deployments are rendered", len(out))
	}
	for _, p := range all[*core.Pod](m) {
		out = append(out, pod{p.Name, "", p.ObjectMeta, p.Spec})
	}
	return out
}

func TestPodsAreRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := psa.LevelVersion{Level: psa.LevelRestricted, Version: psa.LatestVersion()}
	each(t, func(t *testing.T, m *manifests) {
		for _, p := range pods(t, m) {
			result := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &p.meta, &p.spec))
			if !result.Allowed {
				t.Errorf("%s: %s", p.name, result.ForbiddenDetail())
			}
			for _, c := range p.spec.Containers {
				if s := c.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
					t.Errorf("%s: the root of container %s can be written to", p.name, c.Name)
				}
			}
			if token := p.spec.AutomountServiceAccountToken; token == nil || *token {
				t.Errorf("%s: a token of the ServiceAccount is mounted", p.name)
			}
			checkLabels(t, p.name, p.meta.Labels)
		}
	})
}

func TestMountsHaveVolumes(t *testing.T) {
	each(t, func(t *testing.T, m *manifests) {
		for _, p := range pods(t, m) {
			volumes, mounted, paths := map[string]core.Volume{}, map[string]bool{}, map[string]bool{}
			for _, v := range p.spec.Volumes {
				if problems := validation.IsDNS1123Label(v.Name); len(problems) > 0 || volumes[v.Name].Name != "" {
					t.Errorf("%s: volume %q: %v", p.name, v.Name, problems)
				}
				volumes[v.Name] = v
				if c := v.ConfigMap; c != nil && len(c.Items) > 0 {
					t.Errorf("%s: volume %s lists keys: a new file would start the pods anew", p.name, v.Name)
				}
			}
			for _, mount := range p.container().VolumeMounts {
				if _, ok := volumes[mount.Name]; !ok {
					t.Errorf("%s: %s is mounted from the volume %s, which is not there", p.name, mount.MountPath, mount.Name)
				}
				if mount.SubPath != "" || mount.SubPathExpr != "" {
					t.Errorf("%s: %s is mounted by subPath, and so never renewed", p.name, mount.MountPath)
				}
				if paths[mount.MountPath] || !path.IsAbs(mount.MountPath) {
					t.Errorf("%s: two volumes are mounted at %s", p.name, mount.MountPath)
				}
				mounted[mount.Name], paths[mount.MountPath] = true, true
			}
			for name := range volumes {
				if !mounted[name] {
					t.Errorf("%s: the volume %s is mounted nowhere", p.name, name)
				}
			}
		}
	})
}

func TestProbesAskDeclaredPorts(t *testing.T) {
	each(t, func(t *testing.T, m *manifests) {
		for _, p := range pods(t, m) {
			if p.role == "" {
				continue
			}
			c := p.container()
			for kind, want := range map[string]struct {
				probe *core.Probe
				path  string
			}{"startup": {c.StartupProbe, "/livez"}, "liveness": {c.LivenessProbe, "/livez"}, "readiness": {c.ReadinessProbe, "/readyz"}} {
				if want.probe == nil || want.probe.HTTPGet == nil || want.probe.HTTPGet.Path != want.path {
					t.Errorf("%s: the %s probe does not ask %s: %+v", p.name, kind, want.path, want.probe)
					continue
				}
				if port := want.probe.HTTPGet.Port; port.Type != intstr.String {
					t.Errorf("%s: the %s probe names its port by number", p.name, kind)
				} else if _, ok := p.portNamed(port.StrVal); !ok {
					t.Errorf("%s: the %s probe asks the port %q, which is not declared", p.name, kind, port.StrVal)
				}
			}
			_, http := p.portNamed("http")
			if http != (p.role == "gateway") {
				t.Errorf("%s: a port for clients: %t", p.name, http)
			}
		}
	})
}

// TestVariablesMayNameVariables: kubelet replaces $(NAME) only where NAME stands before, and
// the collector of the node that a pod is on is found by the address in extraEnv.
func TestVariablesMayNameVariables(t *testing.T) {
	m := render(t, "--values", sets(t)["everything"], "--set", "otel.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://$(NODE_IP):4318")
	reference := regexp.MustCompile(`\$\((\w+)\)`)
	for _, p := range pods(t, m) {
		seen, found := map[string]bool{}, 0
		for _, e := range p.container().Env {
			for _, name := range reference.FindAllStringSubmatch(e.Value, -1) {
				if found++; !seen[name[1]] {
					t.Errorf("%s: %s names %s, which does not stand before it", p.name, e.Name, name[1])
				}
			}
			if seen[e.Name] {
				t.Errorf("%s: %s is there twice", p.name, e.Name)
			}
			seen[e.Name] = true
		}
		if p.role != "" && found == 0 {
			t.Errorf("%s: no variable names another", p.name)
		}
	}
}

// TestTheCollectorKnowsTheLimit: garbage is collected before the kernel ends the process for it.
func TestTheCollectorKnowsTheLimit(t *testing.T) {
	for limit, want := range map[string]string{"512Mi": "483183820", "1.5Gi": "1449551462", "1e9": "", "2000000000": "1800000000"} {
		m := render(t, "--values", sets(t)["minimal"], "--set-string", "worker.resources.limits.memory="+limit)
		for _, p := range pods(t, m) {
			got := ""
			for _, e := range p.container().Env {
				if e.Name == "GOMEMLIMIT" {
					got = e.Value
				}
			}
			if p.role == "worker" && got != want {
				t.Errorf("of %s the Go runtime may take %q, not %q", limit, got, want)
			}
		}
	}
}

// TestReplacedAtOnce: the API server refuses bounds of a rolling update for what is no rolling update.
func TestReplacedAtOnce(t *testing.T) {
	m := render(t, "--values", sets(t)["minimal"], "--set", "worker.strategy.type=Recreate")
	for _, d := range all[*apps.Deployment](m) {
		s := d.Spec.Strategy
		if recreate := s.Type == apps.RecreateDeploymentStrategyType; recreate == (s.RollingUpdate != nil) || recreate != (d.Labels["app.kubernetes.io/component"] == "worker") {
			t.Errorf("%s is replaced by %+v", d.Name, s)
		}
	}
}

// stopMargin is what a process takes beyond limits.shutdown at most (internal/cli).
const stopMargin = 5 * time.Second

func TestPodsHaveTimeToEnd(t *testing.T) {
	each(t, func(t *testing.T, m *manifests) {
		var config struct {
			Limits struct{ Shutdown, Drain string }
		}
		if err := yaml.Unmarshal([]byte(operatorsFile(t, m)), &config); err != nil {
			t.Fatal(err)
		}
		shutdown, err := time.ParseDuration(config.Limits.Shutdown)
		if err != nil {
			t.Fatal(err)
		}
		drain, err := time.ParseDuration(config.Limits.Drain)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pods(t, m) {
			if p.role == "" {
				continue
			}
			need := shutdown + stopMargin
			if p.role == "gateway" {
				need += drain
			}
			if life := p.container().Lifecycle; life != nil {
				need += time.Duration(life.PreStop.Sleep.Seconds) * time.Second
			} else if p.role == "gateway" {
				t.Errorf("%s: nothing waits for load balancers", p.name)
			}
			if grace := time.Duration(*p.spec.TerminationGracePeriodSeconds) * time.Second; grace < need {
				t.Errorf("%s: it is killed after %s and takes up to %s to end", p.name, grace, need)
			}
		}
	})
}

// TestArgumentsAreKnown: the binary knows the command and the flags of each pod.
func TestArgumentsAreKnown(t *testing.T) {
	each(t, func(t *testing.T, m *manifests) {
		for _, p := range pods(t, m) {
			c := p.container()
			if i := slices.Index(c.Args, "--role"); p.role != "" && (i < 0 || i+1 == len(c.Args) || c.Args[i+1] != p.role) {
				t.Errorf("%s: it is not run as %s: %v", p.name, p.role, c.Args)
			}
			if out, err := exec.Command(headgate, append(slices.Clone(c.Args), "--help")...).CombinedOutput(); err != nil {
				t.Errorf("%s: headgate %s: %v: %s", p.name, strings.Join(c.Args, " "), err, out)
			}
		}
	})
}

// TestWorkersAreUpgradedFirst: a tag or a digest of their own replaces the common one, whichever it is.
func TestWorkersAreUpgradedFirst(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	for set, want := range map[string]string{
		"worker.image.tag=1.3.0":                        "registry.example.com/headgate:1.3.0",
		"worker.image.digest=" + digest:                 "registry.example.com/headgate@" + digest,
		"worker.image.tag=1.3.0,image.digest=" + digest: "registry.example.com/headgate:1.3.0",
	} {
		m := render(t, "--values", sets(t)["minimal"], "--set", "image.tag=1.2.0", "--set", set)
		for _, p := range pods(t, m) {
			got := p.container().Image
			if p.role == "worker" && got != want {
				t.Errorf("%s: workers run %s, not %s", set, got, want)
			}
			if p.role != "worker" && (got == want || strings.Contains(got, "1.3.0")) {
				t.Errorf("%s: %s runs %s, too", set, p.name, got)
			}
		}
		for _, d := range all[*apps.Deployment](m) {
			version := d.Spec.Template.Labels["app.kubernetes.io/version"]
			if newer := d.Labels["app.kubernetes.io/component"] == "worker" && strings.Contains(set, "1.3.0"); newer != (version == "1.3.0") {
				t.Errorf("%s: %s has the label of version %s", set, d.Name, version)
			}
		}
	}
}
