package check

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// buildArguments are given as scripts/image.sh gives them.
var buildArguments = map[string]string{
	"VERSION": "v1.2.3", "REVISION": "0123456789abcdef0123456789abcdef01234567",
	"CREATED": "2026-01-01T00:00:00Z", "SOURCE": "https://git.example.com/headgate", "SOURCE_DATE_EPOCH": "1767225600",
	"TARGETOS": "linux", "TARGETARCH": runtime.GOARCH, "BUILDPLATFORM": "linux/" + runtime.GOARCH,
}

func builtImage(t *testing.T) *image {
	t.Helper()
	needNamespaces(t)
	return newBuilder(t, buildArguments).build(t, parseDockerfile(t))
}

func TestDockerfile(t *testing.T) {
	stages := parseDockerfile(t)
	goVersion := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(read(t, root+"/go.mod"))[1]
	pinned := regexp.MustCompile(`^[a-z/]+:(\d+\.\d+\.\d+)-[a-z0-9.]+(@sha256:[0-9a-f]{64})?$`)
	for _, s := range stages {
		version := pinned.FindStringSubmatch(s.BaseName)
		switch {
		case s.BaseName == "scratch":
		case version == nil:
			t.Errorf("FROM %s is not pinned to a version such as golang:1.2.3-bookworm", s.BaseName)
		case version[1] != goVersion:
			t.Errorf("FROM %s is not the Go of go.mod, %s", s.BaseName, goVersion)
		}
	}
	if last := stages[len(stages)-1]; last.BaseName != "scratch" {
		t.Errorf("the image is made from %s", last.BaseName)
	}
	if s := stages[0]; s.Platform != "$BUILDPLATFORM" {
		t.Errorf("the compiler runs on %q, not on the builder's own platform", s.Platform)
	}
	declared := map[string]bool{"SOURCE_DATE_EPOCH": true, "BUILDPLATFORM": true} // BuildKit's own
	for _, s := range stages {
		for _, c := range s.Commands {
			if arg, ok := c.(*instructions.ArgCommand); ok {
				for _, a := range arg.Args {
					declared[a.Key] = true
				}
			}
		}
	}
	given := regexp.MustCompile(`for name in ([A-Z_ ]+); do`).FindStringSubmatch(read(t, root+"/scripts/image.sh"))
	for _, name := range strings.Fields(given[1]) {
		if !declared[name] {
			t.Errorf("scripts/image.sh gives the argument %s, which the Dockerfile does not know", name)
		}
		if _, ok := buildArguments[name]; !ok {
			t.Errorf("this check does not give the argument %s of scripts/image.sh", name)
		}
	}
}

// TestImage carries out the Dockerfile, and looks at what comes of it.
func TestImage(t *testing.T) {
	img := builtImage(t)
	binary := filepath.Join(img.Root, "headgate")
	t.Run("files", func(t *testing.T) {
		want := []string{"LICENSE", "etc/ssl/certs/ca-certificates.crt", "headgate", "tmp/", "var/lib/headgate/"}
		if got := leaves(t, img.Root); !slices.Equal(got, want) {
			t.Errorf("the image has %q, want %q", got, want)
		}
		info, err := os.Stat(filepath.Join(img.Root, "tmp"))
		if err != nil || info.Mode().Perm() != 0o777 || info.Mode()&os.ModeSticky == 0 {
			t.Errorf("/tmp is %v, %v", info.Mode(), err)
		}
	})
	t.Run("settings", func(t *testing.T) {
		if img.User != "65532:65532" {
			t.Errorf("USER is %q: Kubernetes can only tell that a number is not root", img.User)
		}
		if want := []string{"/headgate"}; !slices.Equal(img.Entrypoint, want) {
			t.Errorf("ENTRYPOINT is %q", img.Entrypoint)
		}
		if len(img.Health) == 0 || img.Health[0] != "CMD" {
			t.Errorf("HEALTHCHECK %q needs a shell, and there is none", img.Health)
		}
		for name, want := range map[string]string{
			"title": "headgate", "licenses": "Apache-2.0", "version": buildArguments["VERSION"], "revision": buildArguments["REVISION"],
			"created": buildArguments["CREATED"], "source": buildArguments["SOURCE"],
		} {
			if got := img.Labels["org.opencontainers.image."+name]; got != want {
				t.Errorf("label %s is %q, want %q", name, got, want)
			}
		}
	})
	t.Run("static", func(t *testing.T) { checkStatic(t, binary) })
	t.Run("version", func(t *testing.T) {
		var says struct{ Version, Commit string }
		if err := json.Unmarshal([]byte(output(t, nil, binary, "version", "--json")), &says); err != nil {
			t.Fatal(err)
		}
		if says.Version != buildArguments["VERSION"] || says.Commit != buildArguments["REVISION"] {
			t.Errorf("the binary says it is %+v", says)
		}
	})
	t.Run("reproducible", func(t *testing.T) {
		again := filepath.Join(t.TempDir(), "headgate")
		env := []string{"VERSION=" + buildArguments["VERSION"], "REVISION=" + buildArguments["REVISION"]}
		if os.Getenv("COLD") != "" { // nothing of the first build is used: minutes
			env = append(env, "GOCACHE="+t.TempDir())
		}
		output(t, env, "scripts/build.sh", again)
		if one, two := sum(t, binary), sum(t, again); one != two {
			t.Errorf("the same source gave %s in the image and %s in a clone, where there are tests and Git as well", one, two)
		}
	})
	t.Run("sbom", func(t *testing.T) { checkSBOM(t, binary) })
	t.Run("containers", func(t *testing.T) { runCompose(t, img) })
}

// leaves are the files and the empty folders below a folder.
func leaves(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			out = append(out, e.Name())
			continue
		}
		below := leaves(t, filepath.Join(dir, e.Name()))
		if len(below) == 0 {
			out = append(out, e.Name()+"/")
		}
		for _, name := range below {
			out = append(out, e.Name()+"/"+name)
		}
	}
	slices.Sort(out)
	return out
}

func checkStatic(t *testing.T, binary string) {
	t.Helper()
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary has a segment %s: it is not static", p.Type)
		}
	}
}

func sum(t *testing.T, file string) string {
	t.Helper()
	return fmt.Sprintf("%x", sha256.Sum256([]byte(read(t, file))))
}

// checkSBOM: the script writes the same document each time, with every module of the binary.
func checkSBOM(t *testing.T, binary string) {
	t.Helper()
	dir := t.TempDir()
	env := []string{"VERSION=" + buildArguments["VERSION"]}
	for _, name := range []string{"one.json", "two.json"} {
		output(t, env, "scripts/sbom.sh", binary, filepath.Join(dir, name))
	}
	if sum(t, filepath.Join(dir, "one.json")) != sum(t, filepath.Join(dir, "two.json")) {
		t.Error("the SBOM of the same binary differs from one run to the next")
	}
	var bom struct {
		BOMFormat  string
		Components []struct{ PURL, Type string }
		Metadata   struct {
			Component struct{ Name, Version string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, filepath.Join(dir, "one.json"))), &bom); err != nil {
		t.Fatal(err)
	}
	if bom.BOMFormat != "CycloneDX" || bom.Metadata.Component.Version != buildArguments["VERSION"] {
		t.Errorf("it is %s of %+v", bom.BOMFormat, bom.Metadata.Component)
	}
	listed := map[string]bool{}
	for _, c := range bom.Components {
		name, _, _ := strings.Cut(c.PURL, "?")
		listed[name] = true
	}
	modules := 0
	for line := range strings.Lines(output(t, nil, "go", "version", "-m", binary)) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "dep" {
			modules++
			if purl := "pkg:golang/" + f[1] + "@" + f[2]; !listed[purl] {
				t.Errorf("the SBOM lacks %s", purl)
			}
		}
	}
	if modules < 20 {
		t.Errorf("the binary has %d modules", modules)
	}
}
