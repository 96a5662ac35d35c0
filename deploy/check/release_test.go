package check

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// releases is what of .goreleaser.yaml is held against the rest of the repository.
type releases struct {
	Before struct{ Hooks []string }
	Builds []struct {
		Goos, Goarch, Flags, Ldflags, Env []string
		ModTimestamp                      string `yaml:"mod_timestamp"`
	}
	Archives []struct {
		Files []struct{ Src string }
	}
	Sboms []struct{ Cmd string }
}

// TestReleases holds .goreleaser.yaml to goreleaser's schema, which `goreleaser jsonschema` of version
// 2.15.1 wrote to testdata. goreleaser itself needs 2 GB of modules and minutes to be built.
func TestReleases(t *testing.T) {
	text := read(t, root+"/.goreleaser.yaml")
	if err := releaseFault(t, text); err != nil {
		t.Fatalf(".goreleaser.yaml: %v", err)
	}
	if err := releaseFault(t, strings.Replace(text, "goarch:", "goarchs:", 1)); err == nil {
		t.Error("the schema takes an unknown key")
	}
	var r releases
	if err := yaml.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	build := r.Builds[0]
	if !slices.Equal(build.Goos, []string{"linux", "darwin"}) || !slices.Equal(build.Goarch, []string{"amd64", "arm64"}) {
		t.Errorf("it builds for %v on %v", build.Goos, build.Goarch)
	}
	if !slices.Contains(build.Env, "CGO_ENABLED=0") || build.ModTimestamp == "" {
		t.Errorf("binaries are not static, or have the time of the build: %v, %q", build.Env, build.ModTimestamp)
	}
	script := read(t, root+"/scripts/build.sh")
	if want := "go build " + strings.Join(build.Flags, " ") + " \\\n"; !strings.Contains(script, want) {
		t.Errorf("scripts/build.sh does not build with %q", want)
	}
	variable := regexp.MustCompile(`-X (?:headgate/internal/cli|\$of)\.(\w+)=`)
	names := func(text string) (found []string) {
		for _, m := range variable.FindAllStringSubmatch(text, -1) {
			found = append(found, m[1])
		}
		return found
	}
	if one, two := names(strings.Join(build.Ldflags, " ")), names(script); len(one) != 2 || !slices.Equal(one, two) {
		t.Errorf("goreleaser sets %v and scripts/build.sh %v", one, two)
	}
	var packed []string
	for _, f := range r.Archives[0].Files {
		packed = append(packed, f.Src)
		if made := strings.HasPrefix(f.Src, ".release/"); made {
			continue // TestPages
		}
		if found, err := filepath.Glob(filepath.Join(root, f.Src)); err != nil || len(found) == 0 {
			t.Errorf("archives are to have %s, which is not there: %v", f.Src, err)
		}
	}
	for _, want := range []string{"LICENSE", "README.md", "schemas/*.json", ".release/man/*.1", ".release/completions/*"} {
		if !slices.Contains(packed, want) {
			t.Errorf("archives have no %s", want)
		}
	}
	for _, command := range append(r.Before.Hooks, strings.TrimPrefix(r.Sboms[0].Cmd, "../")) {
		if program, _, _ := strings.Cut(command, " "); strings.HasPrefix(program, "scripts/") {
			if info, err := os.Stat(filepath.Join(root, program)); err != nil || info.Mode()&0o100 == 0 {
				t.Errorf("%s cannot be run: %v", program, err)
			}
		}
	}
}

func releaseFault(t *testing.T, text string) error {
	t.Helper()
	var file any
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		return err
	}
	document, err := json.Marshal(file)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return err
	}
	schema, err := jsonschema.NewCompiler().Compile("testdata/goreleaser.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(value)
}

// TestPlatforms: nothing that is built is for one platform only. With MATRIX=1 everything is
// compiled, which takes minutes.
func TestPlatforms(t *testing.T) {
	for _, system := range []string{"linux", "darwin"} {
		for _, processor := range []string{"amd64", "arm64"} {
			env := []string{"GOOS=" + system, "GOARCH=" + processor, "CGO_ENABLED=0"}
			output(t, env, "go", "list", "-deps", ".") // fails for a package without files for the platform
			if os.Getenv("MATRIX") != "" {
				output(t, env, "scripts/build.sh", filepath.Join(t.TempDir(), "headgate"))
			}
		}
	}
}

// TestPages: what is packed beside the binary is written, and is the same each time.
func TestPages(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "headgate")
	output(t, nil, "scripts/build.sh", binary)
	one, two := t.TempDir(), t.TempDir()
	for _, dir := range []string{one, two} {
		output(t, nil, "scripts/pages.sh", binary, dir)
	}
	names := leaves(t, one)
	for _, name := range names {
		if read(t, filepath.Join(one, name)) != read(t, filepath.Join(two, name)) {
			t.Errorf("%s differs from one run to the next", name)
		}
	}
	for _, want := range []string{"completions/headgate.bash", "completions/headgate.fish", "completions/headgate.zsh", "man/headgate.1", "man/headgate-serve.1"} {
		if !slices.Contains(names, want) {
			t.Errorf("there is no %s among %q", want, names)
		}
	}
}
