package check

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// container is a process in namespaces of its own, as an engine would start it.
type container struct {
	// Root becomes /. Over says that it is a layer over this machine's files, which stand in
	// for a base image; what is written then lies in Root afterwards.
	Root     string
	Over     bool
	ReadOnly bool // nothing can be written to but to Mounts
	Mounts   []mount

	Dir  string
	Argv []string
	Env  []string

	User, Group  int
	Capabilities bool // root's are kept
	// Address, with the length of its prefix, is what the container has on a network of its own;
	// empty: it is on this machine's network.
	Address string
}

// mount is a file or folder of this machine, or a tmpfs, at a place in a container.
type mount struct {
	Source   string // empty: a tmpfs
	Target   string
	ReadOnly bool
}

// containerVariable holds the container that a process of this test binary is to become.
const containerVariable = "HEADGATE_CHECK_CONTAINER"

// needNamespaces skips a test where there can be no containers, and says why.
func needNamespaces(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("not run: only root may make the namespaces that stand in for an engine")
	}
	try := container{Root: t.TempDir(), Over: true, Dir: "/", Argv: []string{"/bin/true"}}
	if out, err := try.command(t).CombinedOutput(); err != nil {
		t.Skipf("not run: this kernel or sandbox does not allow namespaces with an overlay: %v\n%s", err, out)
	}
}

// command is the process that becomes the container. It ends with this one.
func (c container) command(t testing.TB) *exec.Cmd {
	t.Helper()
	spec, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), containerVariable+"="+string(spec))
	flags := syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC
	if c.Address != "" {
		flags |= syscall.CLONE_NEWNET
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: uintptr(flags), Pdeathsig: syscall.SIGKILL}
	return cmd
}

// becomeContainer turns a process that was started by command into what it is to run.
func becomeContainer() {
	spec := os.Getenv(containerVariable)
	if spec == "" {
		return
	}
	runtime.LockOSThread() // namespaces and rights are a thread's
	var c container
	err := json.Unmarshal([]byte(spec), &c)
	if err == nil {
		err = c.enter()
	}
	fmt.Fprintf(os.Stderr, "container: %v\n", err)
	os.Exit(125) // as docker run does
}

// enter ends only with an error.
func (c container) enter() error {
	if err := c.network(); err != nil {
		return err
	}
	place, err := c.files()
	if err != nil {
		return err
	}
	if err := unix.Chroot(place); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	if err := unix.Chdir(c.Dir); err != nil {
		return fmt.Errorf("chdir %s: %w", c.Dir, err)
	}
	if err := c.rights(); err != nil {
		return err
	}
	program, err := c.lookPath()
	if err != nil {
		return err
	}
	return fmt.Errorf("exec %s: %w", program, unix.Exec(program, c.Argv, c.Env))
}

// network waits until somebody has given this network its end of a cable, and sets it up.
func (c container) network() error {
	if c.Address == "" {
		return nil
	}
	if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("wait for the cable: %w", err)
	}
	for _, args := range [][]string{
		{"link", "set", "lo", "up"}, {"address", "add", c.Address, "dev", "eth0"}, {"link", "set", "eth0", "up"},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// files mounts everything and gives where it lies.
func (c container) files() (string, error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return "", fmt.Errorf("make mounts private: %w", err)
	}
	place := c.Root
	if c.Over {
		place = filepath.Join(c.Root, "merged")
		upper, work := filepath.Join(c.Root, "upper"), filepath.Join(c.Root, "work")
		for _, dir := range []string{place, upper, work} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return "", err
			}
		}
		if err := unix.Mount("overlay", place, "overlay", 0, "lowerdir=/,upperdir="+upper+",workdir="+work); err != nil {
			return "", fmt.Errorf("mount overlay: %w", err)
		}
	} else if err := unix.Mount(place, place, "", unix.MS_BIND, ""); err != nil {
		return "", fmt.Errorf("mount root: %w", err)
	}
	system := []mount{{Source: "/proc", Target: "/proc"}, {Source: "/dev", Target: "/dev"}}
	for _, m := range append(system, c.Mounts...) {
		if err := m.at(place); err != nil {
			return "", fmt.Errorf("mount %s: %w", m.Target, err)
		}
	}
	// What is mounted over stays as it is.
	if c.ReadOnly {
		if err := unix.Mount("", place, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return "", fmt.Errorf("make root read-only: %w", err)
		}
	}
	return place, nil
}

func (m mount) at(place string) error {
	target := filepath.Join(place, m.Target)
	if m.Target == "/proc" {
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		return unix.Mount("proc", target, "proc", 0, "")
	}
	if m.Source == "" {
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		return unix.Mount("tmpfs", target, "tmpfs", 0, "mode=1777")
	}
	info, err := os.Stat(m.Source)
	if err != nil {
		return err
	}
	if err := makeFor(target, info.IsDir()); err != nil {
		return err
	}
	if err := unix.Mount(m.Source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil || !m.ReadOnly {
		return err
	}
	return unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
}

// makeFor makes what something is mounted on, as engines do.
func makeFor(target string, dir bool) error {
	if dir {
		return os.MkdirAll(target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(target, os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// rights gives up what the container is not to have, root first.
func (c container) rights() error {
	if c.Capabilities {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	for capability := uintptr(0); capability <= unix.CAP_LAST_CAP; capability++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d: %w", capability, err)
		}
	}
	if err := unix.Setgroups(nil); err != nil {
		return fmt.Errorf("set groups: %w", err)
	}
	if err := unix.Setresgid(c.Group, c.Group, c.Group); err != nil {
		return fmt.Errorf("set group: %w", err)
	}
	if err := unix.Setresuid(c.User, c.User, c.User); err != nil {
		return fmt.Errorf("set user: %w", err)
	}
	return nil
}

func (c container) lookPath() (string, error) {
	if strings.Contains(c.Argv[0], "/") {
		return c.Argv[0], nil
	}
	for _, variable := range c.Env {
		if list, ok := strings.CutPrefix(variable, "PATH="); ok {
			for _, dir := range filepath.SplitList(list) {
				if path := filepath.Join(dir, c.Argv[0]); unix.Access(path, unix.X_OK) == nil {
					return path, nil
				}
			}
		}
	}
	return "", fmt.Errorf("%s is not on the container's PATH", c.Argv[0])
}
