package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
)

// operatorsFile gives the rendered headgate.yaml.
func operatorsFile(t *testing.T, m *manifests) string {
	t.Helper()
	for _, c := range all[*core.ConfigMap](m) {
		if text, ok := c.Data["headgate.yaml"]; ok {
			return text
		}
	}
	t.Fatal("no headgate.yaml is rendered")
	return ""
}

// mount lays the ConfigMaps of a pod out below dir the way kubelet does: the files lie in
// a folder of their own, a link ..data names that, and each file is a link through it.
// ConfigMaps of others are read from testdata/configmaps.
func mount(t *testing.T, m *manifests, p core.PodSpec, dir string) {
	t.Helper()
	names, optional := map[string]string{}, map[string]bool{}
	for _, v := range p.Volumes {
		if v.ConfigMap != nil {
			names[v.Name] = v.ConfigMap.Name
			optional[v.Name] = v.ConfigMap.Optional != nil && *v.ConfigMap.Optional
		}
	}
	for _, at := range p.Containers[0].VolumeMounts {
		name, ok := names[at.Name]
		if !ok {
			continue
		}
		data := map[string]string{}
		if has[*core.ConfigMap](m, name) {
			data = named[*core.ConfigMap](t, m, name).Data
		} else {
			files, err := filepath.Glob(filepath.Join("testdata/configmaps", name, "*"))
			if err != nil || len(files) == 0 && !optional[at.Name] {
				t.Fatalf("testdata has no ConfigMap %s: %v", name, err)
			}
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				data[filepath.Base(file)] = string(text)
			}
		}
		target := filepath.Join(dir, at.MountPath)
		must(t, os.MkdirAll(filepath.Join(target, "..2026_01_01"), 0o755))
		must(t, os.Symlink("..2026_01_01", filepath.Join(target, "..data")))
		for key, text := range data {
			must(t, os.WriteFile(filepath.Join(target, "..data", key), []byte(text), 0o644))
			must(t, os.Symlink(filepath.Join("..data", key), filepath.Join(target, key)))
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestHeadgateAcceptsItsFiles gives what a pod finds at /etc to `headgate check`.
func TestHeadgateAcceptsItsFiles(t *testing.T) {
	each(t, accepted)
}

// TestPodsStartWithoutOptionalRoutes, also where there are no other ConfigMaps of routes.
func TestPodsStartWithoutOptionalRoutes(t *testing.T) {
	accepted(t, render(t, "--values", sets(t)["minimal"], "--set-json", `existingRoutesConfigMaps=[{"name":"away","optional":true}]`))
}

func accepted(t *testing.T, m *manifests) {
	t.Helper()
	dir := t.TempDir()
	pod := all[*apps.Deployment](m)[0].Spec.Template.Spec
	mount(t, m, pod, dir)
	// Paths in the file begin at the root of the pod; here that is dir.
	file := filepath.Join(dir, "etc/headgate/headgate.yaml")
	text := strings.ReplaceAll(operatorsFile(t, m), " /etc/", " "+dir+"/etc/")
	must(t, os.Remove(file))
	must(t, os.WriteFile(file, []byte(text), 0o644))

	cmd := exec.Command(headgate, "check", "-c", file)
	cmd.Env = []string{"MOBILE_JWT_KEY=a-development-key-of-at-least-32-bytes"}
	for _, e := range pod.Containers[0].Env {
		if e.ValueFrom == nil {
			cmd.Env = append(cmd.Env, e.Name+"="+e.Value)
		}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("headgate check: %v\n%s\n%s", err, out, text)
	}
	t.Logf("%s", out)
}

// TestRoutesStartNoPodsAnew: pods load changed and new files; only headgate.yaml's change
// makes other pods.
func TestRoutesStartNoPodsAnew(t *testing.T) {
	templates := func(args ...string) string {
		m := render(t, append([]string{"--values", sets(t)["sentinel-tls"]}, args...)...)
		var out strings.Builder
		for _, d := range all[*apps.Deployment](m) {
			out.WriteString(d.Spec.Template.String())
		}
		return out.String()
	}
	before := templates()
	for what, args := range map[string][]string{
		"a changed route file": {"--set", `routes.profiles\.yaml=other`},
		"a new route file":     {"--set", `routes.more\.yaml=other`},
		"a new schema":         {"--set", `schemas.more\.json=other`},
	} {
		if templates(args...) != before {
			t.Errorf("%s changes the pods", what)
		}
	}
	if templates("--set", "config.tracking.retention=1h") == before {
		t.Error("a changed headgate.yaml does not change the pods")
	}
}

// TestRoutesArriveAsTheyAre: nothing of the templates' own language, of YAML or of lines gets at them.
func TestRoutesArriveAsTheyAre(t *testing.T) {
	dir := t.TempDir()
	for i, text := range []string{
		"a: ${{ .body }}\nb: {{ .Values.image }}\nc: {{- end }}\n", "a: \"$(HOME) ${HOME}\"\n", "# no end of line", "\n\n  # begins\n\n",
		"a: b  \n\tc\n", "a: b\r\nc: d\r\n", "---\na: é 漢 \U0001f600\n---\n", strings.Repeat("long ", 200) + "\n", "true", "12", "",
	} {
		file := filepath.Join(dir, strconv.Itoa(i))
		must(t, os.WriteFile(file, []byte(text), 0o600))
		m := render(t, "--values", sets(t)["minimal"], "--set-file", `routes.odd\.yaml=`+file)
		if got := named[*core.ConfigMap](t, m, release+"-routes").Data["odd.yaml"]; got != text {
			t.Errorf("%q has become %q", text, got)
		}
	}
}
