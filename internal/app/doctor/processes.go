package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// ask is how long a process may take to answer; maxAnswer bounds what is read of it.
const (
	askFor    = 3 * time.Second
	maxAnswer = 4 << 20
)

// processes gives a look at each running process that has an admin listener.
func (e *exam) processes() (out []look) {
	urls := e.o.URLs
	if len(urls) == 0 && e.table != nil && e.conf.Admin.Enabled() {
		urls = []string{"http://" + reachable(e.conf.Admin.Listen)}
	}
	token := e.o.Token
	if token == "" && !e.conf.Admin.Token.IsZero() {
		if value, err := e.conf.Admin.Token.Read(); err == nil {
			token = value.Reveal()
		}
	}
	for _, base := range urls {
		p := process{exam: e, base: strings.TrimRight(base, "/"), token: token, client: httpClient(askFor)}
		out = append(out, look{"processes", false, p.look})
	}
	return out
}

// reachable makes an address to call of one to listen at.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// process is a running one.
type process struct {
	*exam
	base, token string
	client      *http.Client
	out         []Finding
}

func (p process) say(state State, do, format string, args ...any) []Finding {
	return append(p.out, Finding{"", state, fmt.Sprintf("the process at %s "+format, append([]any{p.base}, args...)...), do})
}

// get reads one page; status 0 when nothing answered.
func (p process) get(ctx context.Context, path string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path, nil)
	if err != nil {
		return 0, "", err
	}
	if p.token != "" {
		req.Header.Set("Authorization", "Bearer "+p.token)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, string(text), err
}

// look asks how it is, and whether it has these files and this version.
func (p process) look(ctx context.Context) []Finding {
	if status, _, err := p.get(ctx, "/livez"); err != nil || status != http.StatusOK {
		why := fmt.Sprintf("answers %d", status)
		if err != nil {
			why = "does not answer: " + plainError(err)
		}
		return p.say(Warning, "headgate serve -c "+p.o.ConfigPath+"; for a process elsewhere: --url http://HOST:9090", "%s", why)
	}
	status, text, err := p.get(ctx, "/readyz?verbose")
	switch {
	case err != nil:
		return p.say(Warning, "", "does not say how it is: %s", plainError(err))
	case status == http.StatusUnauthorized:
		return p.say(Warning, "give its token: --token, or HEADGATE_ADMIN_TOKEN", "does not take the admin token of %s", p.o.ConfigPath)
	case status == http.StatusTooManyRequests:
		return p.say(Warning, "ask again in a minute; its log names the address: grep 'guessed too often'", "does not listen to this address: too many wrong admin tokens came from it")
	}
	p.out = p.health(status, text)
	same := "is ready"
	for _, compare := range []func(ctx context.Context) (what string, other bool){p.version, p.config} {
		what, other := compare(ctx)
		switch {
		case other:
			p.out = p.say(Warning, "reload it (SIGHUP) or restart it; a version, addresses and Redis take a restart", "%s", what)
		case what != "":
			same += ", " + what
		}
	}
	if len(p.out) == 0 {
		p.out = p.say(OK, "", "%s", same)
	}
	return p.out
}

// health gives what is not well by its own account.
func (p process) health(status int, text string) []Finding {
	if status != http.StatusOK {
		var problem struct {
			Checks []struct{ Name, State, Detail string }
		}
		_ = json.Unmarshal([]byte(text), &problem) // without checks there is the status
		p.out = p.say(Problem, "see what it says, and its log", "is not ready (%d)", status)
		for _, c := range problem.Checks {
			if c.State == "failed" {
				p.out = p.say(Problem, "it takes no requests until that is mended", "says of %s: %s", c.Name, oneLine(c.Detail))
			}
		}
		return p.out
	}
	for line := range strings.Lines(text) {
		if what, ok := strings.CutPrefix(strings.TrimSpace(line), "[warning] "); ok {
			p.out = p.say(Warning, "", "says: %s", oneLine(what))
		}
	}
	return p.out
}

var buildInfo = regexp.MustCompile(`(?m)^headgate_build_info\{[^}]*\bversion="([^"]*)"`)

// version compares the versions; it says nothing of a process that does not tell.
func (p process) version(ctx context.Context) (what string, other bool) {
	_, text, err := p.get(ctx, "/metrics")
	found := buildInfo.FindStringSubmatch(text)
	switch {
	case err != nil || found == nil:
		return "", false
	case found[1] != p.o.Version:
		return fmt.Sprintf("has version %s, this is %s", found[1], p.o.Version), true
	}
	return "has this version", false
}

// inForce is what of GET /config is compared.
type inForce struct {
	Config  map[string]any                `json:"config"`
	Targets []struct{ Name, Plan string } `json:"targets"`
}

// config compares the files; it says nothing of a process that does not tell.
func (p process) config(ctx context.Context) (what string, other bool) {
	var theirs inForce
	var mine map[string]any
	status, text, err := p.get(ctx, "/config")
	if err != nil || status != http.StatusOK || json.Unmarshal([]byte(text), &theirs) != nil || theirs.Config == nil ||
		json.Unmarshal([]byte(p.conf.String()), &mine) != nil {
		return "", false
	}
	delete(mine, "route_files") // named as each process was started
	found := differences("", mine, theirs.Config)
	if p.table != nil && theirs.Targets != nil {
		found = append(found, p.otherTargets(theirs)...)
	}
	if len(found) > 0 {
		return "runs with other files than " + p.o.ConfigPath + ": " + strings.Join(found, ", "), true
	}
	return "has this configuration", false
}

// otherTargets names the targets that are not the same.
func (p process) otherTargets(theirs inForce) (out []string) {
	plans := map[string]string{}
	for _, t := range theirs.Targets {
		plans[t.Name] = t.Plan
	}
	for name, plan := range p.table.Plans() {
		if plans[name] != plan.Hash {
			out = append(out, "target "+name)
		}
		delete(plans, name)
	}
	for name := range plans {
		out = append(out, "target "+name)
	}
	slices.Sort(out)
	return out
}

// differences names the keys of mine that are other in theirs, sorted; their values are nobody's
// business here.
func differences(at string, mine, theirs map[string]any) (out []string) {
	for key, value := range mine {
		other, there := theirs[key]
		a, isMap := value.(map[string]any)
		b, both := other.(map[string]any)
		switch {
		case isMap && both:
			out = append(out, differences(at+key+".", a, b)...)
		case there && !reflect.DeepEqual(value, other):
			out = append(out, at+key)
		}
	}
	slices.Sort(out)
	return out
}
