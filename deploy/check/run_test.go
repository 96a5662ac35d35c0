package check

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// What TestContainers is told: the image that it is to run, as JSON, and where prometheus is.
const (
	imageVariable      = "HEADGATE_CHECK_IMAGE"
	prometheusVariable = "HEADGATE_CHECK_PROMETHEUS"
)

// runCompose runs TestContainers in a process with a network of its own.
func runCompose(t *testing.T, img *image) {
	t.Helper()
	for _, program := range []string{"ip", "nsenter", "redis-server"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is not on the PATH; scripts/image-check.sh installs it", program)
		}
	}
	text, err := json.Marshal(img)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestContainers$", "-test.v")
	cmd.Env = append(os.Environ(), imageVariable+"="+string(text), prometheusVariable+"="+output(t, nil, "scripts/prometheus.sh", "prometheus"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}

// project is what runs of a compose file.
type project struct {
	*types.Project
	network *network
	image   *image
	running map[string]*running
}

type running struct {
	container
	cmd  *exec.Cmd
	log  *bytes.Buffer
	ends chan error
}

// TestContainers starts what compose.yaml says, with its command lines, variables, files, users and
// rights, and sends a request through.
func TestContainers(t *testing.T) {
	text := os.Getenv(imageVariable)
	if text == "" {
		t.Skip("TestImage runs it, in a network of its own")
	}
	loaded, err := loadCompose(t, composeFile)
	if err != nil {
		t.Fatal(err)
	}
	p := &project{Project: loaded, network: newNetwork(t), running: map[string]*running{}}
	if err := json.Unmarshal([]byte(text), &p.image); err != nil {
		t.Fatal(err)
	}
	spans := p.standInForJaeger(t)
	p.up(t)
	for _, name := range []string{"gateway", "worker", "simulators"} {
		p.checkRights(t, name)
	}
	if out, err := p.running["gateway"].exec(t, "/headgate", "check", "-c", "/etc/headgate/headgate.yaml"); err != nil || strings.Contains(out, "warning") {
		t.Errorf("headgate check: %v\n%s", err, out)
	}
	trace := p.sendRequest(t)
	spans.expect(t, trace)
	p.checkPrometheus(t)
	p.stop(t, "worker")
	p.checkHealth(t)
	for _, name := range []string{"gateway", "simulators"} {
		p.stop(t, name)
	}
}

// standIn gives what an image of others would run: a program of this machine, and its user.
func (p *project) standIn(name string) (argv []string, user string, ok bool) {
	switch name {
	case "redis":
		return nil, "", true
	case "prom/prometheus":
		return []string{os.Getenv(prometheusVariable)}, "nobody", true
	}
	return nil, "", false
}

// up starts the services, each when what it depends on is as it asks.
func (p *project) up(t *testing.T) {
	t.Helper()
	err := p.ForEachService(nil, func(name string, s *types.ServiceConfig) error {
		for on, d := range s.DependsOn {
			if p.running[on] != nil && d.Condition == types.ServiceConditionHealthy {
				p.waitHealthy(t, on)
			}
		}
		p.start(t, name, s)
		return nil
	}, types.IncludeDependencies)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gateway", "worker", "redis"} {
		p.waitHealthy(t, name)
	}
}

func (p *project) start(t *testing.T, name string, s *types.ServiceConfig) {
	t.Helper()
	c := container{ReadOnly: s.ReadOnly, Dir: "/"}
	asked, first := s.User, []string(nil)
	if s.Build != nil {
		c.Root, first = p.image.Root, p.image.Entrypoint
		c.Env = slices.Clone(p.image.Env)
		if asked == "" {
			asked = p.image.User
		}
	} else {
		image, _, _ := strings.Cut(s.Image, ":")
		argv, runsAs, ok := p.standIn(image)
		if !ok {
			t.Logf("%s: not started, there is no %s here", name, s.Image)
			return
		}
		c.Root, c.Over, first = folder(t), true, argv
		if asked == "" {
			asked = runsAs
		}
	}
	if !slices.Contains(s.CapDrop, "ALL") || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		t.Fatalf("%s keeps rights, which this check does not know", name)
	}
	c.User, c.Group = ids(t, asked)
	c.Argv = append(slices.Clone(first), s.Command...)
	c.Env = append(c.Env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	for key, value := range s.Environment {
		if value != nil {
			c.Env = append(c.Env, key+"="+*value)
		}
	}
	c.Mounts = p.mounts(t, s, c.User, c.Group)
	c.Address = p.network.address(name)

	r := &running{container: c, cmd: c.command(t), log: new(bytes.Buffer), ends: make(chan error, 1)}
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	cable, err := r.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.ends <- r.cmd.Wait() }()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill() // mostly it has ended
		if t.Failed() {
			t.Logf("%s said:\n%s", name, r.log)
		}
	})
	p.network.plug(t, name, strconv.Itoa(r.cmd.Process.Pid))
	if _, err := cable.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	p.running[name] = r
}

// folder is one that every user may enter.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func ids(t *testing.T, name string) (uid, gid int) {
	t.Helper()
	if _, err := fmt.Sscanf(name, "%d:%d", &uid, &gid); err == nil {
		return uid, gid
	}
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	if uid, err = strconv.Atoi(u.Uid); err == nil {
		gid, err = strconv.Atoi(u.Gid)
	}
	if err != nil {
		t.Fatal(err)
	}
	return uid, gid
}

// mounts are the service's, and what an engine gives to find the others.
func (p *project) mounts(t *testing.T, s *types.ServiceConfig, uid, gid int) []mount {
	t.Helper()
	dir := folder(t)
	names := filepath.Join(dir, "resolv.conf")
	hosts := filepath.Join(dir, "hosts")
	for file, text := range map[string]string{names: "nameserver " + p.network.gateway().String() + "\n", hosts: "127.0.0.1 localhost\n"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := []mount{{names, "/etc/resolv.conf", true}, {hosts, "/etc/hosts", true}}
	for _, target := range s.Tmpfs {
		out = append(out, mount{Target: target})
	}
	for _, v := range s.Volumes {
		source := v.Source
		if v.Type == types.VolumeTypeVolume {
			source = folder(t)
			if err := os.Chown(source, uid, gid); err != nil {
				t.Fatal(err)
			}
		}
		out = append(out, mount{source, v.Target, v.ReadOnly})
	}
	for _, secret := range s.Secrets {
		target := secret.Target
		if target == "" {
			target = secret.Source
		}
		if !filepath.IsAbs(target) {
			target = "/run/secrets/" + target
		}
		out = append(out, mount{p.Secrets[secret.Source].File, target, true})
	}
	return out
}

// exec runs a program inside, as docker compose exec does.
func (r *running) exec(t *testing.T, argv ...string) (string, error) {
	t.Helper()
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), nsenter, append([]string{
		"-t", strconv.Itoa(r.cmd.Process.Pid), "-m", "-n", "-p", "-r", "-w",
		"-S", strconv.Itoa(r.User), "-G", strconv.Itoa(r.Group), "--",
	}, argv...)...)
	cmd.Env = r.Env
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// health runs the healthcheck: the service's, or the image's.
func (p *project) health(t *testing.T, name string) error {
	t.Helper()
	test := p.image.Health
	if h := p.Services[name].HealthCheck; h != nil {
		test = h.Test
	}
	if out, err := p.running[name].exec(t, test[1:]...); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// within is for how long something that has to come is waited for.
const within = time.Minute

// eventually asks again until there is no error.
func eventually(t *testing.T, what string, ask func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for err := ask(); err != nil; err = ask() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (p *project) waitHealthy(t *testing.T, name string) {
	t.Helper()
	eventually(t, name+" is healthy", func() error {
		select {
		case err := <-p.running[name].ends:
			t.Fatalf("%s ended: %v", name, err)
		default:
		}
		return p.health(t, name)
	})
}

// answer is what of an HTTP answer is looked at.
type answer struct {
	status   int
	location string
	body     string
}

func (p *project) do(t *testing.T, method, url, body string, headers map[string]string) answer {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: p.network.dial, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header.Get("Location"), string(text)}
}
