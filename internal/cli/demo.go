package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"headgate/dispatch/tracking"
	"headgate/examples/quickstart"
	"headgate/gateway"
	"headgate/internal/app"
	"headgate/internal/obs"
	"headgate/internal/redisstore"
	"headgate/internal/simulate"
)

// demoEnds is how each target of the example ends, given what its backend does.
var demoEnds = map[string]tracking.State{
	"crm": tracking.Succeeded, "newsletter": tracking.Succeeded, "marketing": tracking.Warned,
	"analytics": tracking.Succeeded, "billing": tracking.Rejected,
}

// demoTimeout bounds the way of the demo's one request.
const demoTimeout = 30 * time.Second

func newDemo() *cobra.Command {
	c := &cobra.Command{
		Use:   "demo",
		Short: "See one request feed five backends, on this machine and with nothing else",
		Long: "Runs examples/quickstart: an embedded Redis, simulated backends, the gateway and the\n" +
			"workers in this process. Sends one request, follows it until every target is final,\n" +
			"prints how to repeat it by hand, and stays up until Ctrl-C.",
		Example: "  headgate demo\n  headgate demo --once\n  headgate demo --show",
		Args:    noArgs,
	}
	once := c.Flags().Bool("once", false, "end after the request; exit 0 when all targets ended as they should")
	show := c.Flags().Bool("show", false, "print the configuration that the demo runs, and end")
	verbose := c.Flags().Bool("verbose", false, "print the log as well")
	listen := c.Flags().String("listen", "", "address for clients; default: the example's, or any when that is taken")
	c.RunE = func(c *cobra.Command, _ []string) error {
		d := demo{out: c.OutOrStdout(), once: *once, listen: *listen, log: slog.New(slog.DiscardHandler)}
		if *show {
			return d.show()
		}
		if *verbose {
			log, _, err := obs.Logger(os.Stderr, "text", "debug")
			if err != nil {
				return err
			}
			d.log = log
		}
		redisstore.LogTo(d.log)
		return d.run(c.Context())
	}
	return c
}

type demo struct {
	out    io.Writer
	once   bool
	listen string
	log    *slog.Logger
	token  string
}

// show prints the files of the example.
func (d *demo) show() error {
	return fs.WalkDir(quickstart.Files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := quickstart.Files.ReadFile(path)
		fmt.Fprintf(d.out, "# ---- examples/quickstart/%s\n%s\n", path, text)
		return err
	})
}

func (d *demo) run(ctx context.Context) (err error) {
	backends, err := simulate.Start("127.0.0.1:0", simulate.Quickstart()...)
	if err != nil {
		return fmt.Errorf("start simulated backends: %w", err)
	}
	defer func() { err = errors.Join(err, backends.Close(context.WithoutCancel(ctx))) }()
	dir, err := d.unpack("http://" + backends.Addr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	configPath := filepath.Join(dir, "headgate.yaml")
	a, err := app.New(ctx, app.Options{
		Version: version, ConfigPath: configPath, Role: app.RoleAll, Log: d.log,
		Listen: free(d.listen, "127.0.0.1:8080"), AdminListen: free("", "127.0.0.1:9090"),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop(ctx, a)) }()
	if banner := a.Banner(); banner != "" {
		fmt.Fprintf(d.out, "%s\n\n", banner)
	} else {
		fmt.Fprintf(d.out, "Redis: %s\n\n", a.Redis())
	}
	if err := a.Start(ctx); err != nil {
		return err
	}
	if d.token, err = mint(a.Table(), "mobile", "alice", []string{"org=acme"}, []string{"profiles:write"}, 24*time.Hour); err != nil {
		return err
	}
	view, err := d.request(ctx, a.Addr())
	if err != nil {
		return err
	}
	if d.once {
		return d.judge(view)
	}
	d.farewell(a, view.TrackingID)
	<-ctx.Done()
	fmt.Fprintln(d.out, "\nstopping")
	return nil
}

var exportLine = regexp.MustCompile(`(?m)^export ([A-Z_]+)=(.*)$`)

// unpack writes the example into a folder of its own and sets the environment that its
// env.sh sets, but for the address of the backends.
func (d *demo) unpack(backends string) (string, error) {
	dir, err := os.MkdirTemp("", "headgate-demo-")
	if err != nil {
		return "", fmt.Errorf("make a folder for the demo: %w", err)
	}
	if err := os.CopyFS(dir, quickstart.Files); err != nil {
		return "", errors.Join(fmt.Errorf("unpack the example: %w", err), os.RemoveAll(dir))
	}
	text, err := quickstart.Files.ReadFile("env.sh")
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	for _, line := range exportLine.FindAllStringSubmatch(string(text), -1) {
		value := line[2]
		if line[1] == "BACKENDS_URL" {
			value = backends
		}
		if err := os.Setenv(line[1], value); err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
	}
	return dir, nil
}

// free gives wanted, or else the example's address, or any when that one is taken.
func free(wanted, example string) string {
	if wanted != "" {
		return wanted
	}
	listener, err := net.Listen("tcp", example) //nolint:noctx // looks only whether the port is free
	if err != nil {
		return "127.0.0.1:0"
	}
	_ = listener.Close()
	return example
}

// request sends the example's request and follows it to its end.
func (d *demo) request(ctx context.Context, addr string) (*gateway.TrackingView, error) {
	body, err := quickstart.Files.ReadFile("profile.json")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	c := newClient("http://"+addr, d.token)
	body = bytes.TrimSpace(body)
	fmt.Fprintf(d.out, "POST /profiles/42\n%s\n\n", body)
	began := time.Now()
	a, err := c.do(ctx, http.MethodPost, "/profiles/42", bytes.NewReader(body), map[string]string{"Content-Type": "application/json"})
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(d.out, "%s  in %.1f ms\nLocation: %s\n", a.line, float64(time.Since(began).Microseconds())/1000, a.location)
	if a.status != http.StatusAccepted {
		return nil, a.problem()
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, a.body, "", "  "); err != nil {
		return nil, fmt.Errorf("decode answer: %w", err)
	}
	fmt.Fprintf(d.out, "%s\n\n", pretty.String())
	var accepted struct {
		TrackingID string `json:"tracking_id"`
	}
	if err := json.Unmarshal(a.body, &accepted); err != nil {
		return nil, fmt.Errorf("decode answer: %w", err)
	}
	live := isTerminal(d.out)
	view, err := c.follow(ctx, accepted.TrackingID, d.out, live)
	if err == nil && !live {
		fmt.Fprintf(d.out, "\n%s", table(view, 0))
	}
	return view, err
}

// judge tells whether every target ended as its backend makes it end.
func (d *demo) judge(view *gateway.TrackingView) error {
	wrong := 0
	for _, t := range view.Targets {
		if want := demoEnds[t.Name]; t.Value.State != want {
			fmt.Fprintf(d.out, "%s ended as %s, expected %s: %s\n", t.Name, t.Value.State, want, notes(t.Value))
			wrong++
		}
	}
	if wrong > 0 || len(view.Targets) != len(demoEnds) {
		return errReported
	}
	fmt.Fprintln(d.out, "\nAll targets ended as they should.")
	return nil
}

func (d *demo) farewell(a *app.App, id string) {
	fmt.Fprintf(d.out, `
Repeat it by hand:

  TOKEN='%s'
  curl -si http://%s/profiles/42 -H "Authorization: Bearer $TOKEN" \
    -H 'Content-Type: application/json' -H 'Idempotency-Key: my-key-1' \
    -d '{"email":"Ada@Example.com","first":"Ada","last":"Lovelace","consent":true}'
  curl -s http://%s/tracking/%s -H "Authorization: Bearer $TOKEN" -H 'Prefer: wait=20'

Look into the queues (Asynqmon):  http://%s/asynqmon   the token is: %s
See the files this runs:          headgate demo --show

Ctrl-C ends it.
`, d.token, a.Addr(), a.Addr(), id, a.AdminAddr(), os.Getenv("HEADGATE_ADMIN_TOKEN"))
}
