// Package check holds the rendered chart against the Kubernetes API types and against
// itself: what refers to what, what a pod may do, and whether Headgate accepts its files.
package check

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const (
	root      = "../../.."
	chart     = "../headgate"
	helm      = root + "/.tools/bin/helm"
	release   = "headgate"
	namespace = "apps"
	// oldestKubernetes is that of Chart.yaml; helm would assume a newer one.
	oldestKubernetes = "1.30.0"
)

// headgate is the path of the product's binary, built for these tests.
var headgate string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if _, err := os.Stat(helm); err != nil {
		fmt.Fprintln(os.Stderr, "helm is missing: run scripts/tools.sh first")
		return 1
	}
	dir, err := os.MkdirTemp("", "chart")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	headgate = filepath.Join(dir, "headgate")
	build := exec.Command(root+"/scripts/build.sh", headgate) // as it is released
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build headgate: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// sets are the files of values that the chart ships, by name.
func sets(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(chart + "/ci/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("sets of values: %v, %v", files, err)
	}
	out := map[string]string{}
	for _, file := range files {
		out[strings.TrimSuffix(filepath.Base(file), ".yaml")] = file
	}
	return out
}

// rendered keeps what helm made of arguments: most tests look at the same sets.
var rendered sync.Map

// template renders the chart; the error is what helm says.
func template(args ...string) (string, error) {
	type result struct {
		text string
		err  error
	}
	once, _ := rendered.LoadOrStore(strings.Join(args, "\x00"), sync.OnceValue(func() result {
		text, err := runHelm(args...)
		return result{text, err}
	}))
	r := once.(func() result)()
	return r.text, r.err
}

func runHelm(args ...string) (string, error) {
	args = append([]string{"template", release, chart, "--namespace", namespace, "--kube-version", oldestKubernetes}, args...)
	var stderr strings.Builder
	cmd := exec.Command(helm, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("helm template: %w: %s", err, stderr.String())
	}
	return string(out), nil
}

// each runs a check on every set of values.
func each(t *testing.T, check func(t *testing.T, m *manifests)) {
	t.Helper()
	for name, file := range sets(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, render(t, "--values", file))
		})
	}
}
