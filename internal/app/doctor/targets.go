package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"headgate/dispatch/target"
	"headgate/policies"
)

// dials bounds how many backends are tried at a time.
const dials = 16

// targets gives a look at each server that targets call, once for all targets that call it.
func (e *exam) targets() (out []look) {
	if e.table == nil {
		return nil
	}
	users := map[target.Endpoint][]string{}
	ends := map[string]target.Endpoint{} // by origin and TLS: two plans' endpoints are not the same value
	plans := e.table.Plans()
	for _, name := range slices.Sorted(maps.Keys(plans)) {
		for _, end := range plans[name].Endpoints() {
			key := end.Origin + "\n" + end.TLS
			if _, known := ends[key]; !known {
				ends[key] = end
			}
			users[ends[key]] = append(users[ends[key]], name)
		}
	}
	turn := make(chan struct{}, dials)
	for _, key := range slices.Sorted(maps.Keys(ends)) {
		end := ends[key]
		names := users[end]
		out = append(out, look{"targets", false, func(ctx context.Context) []Finding {
			select {
			case turn <- struct{}{}:
				defer func() { <-turn }()
			case <-ctx.Done():
			}
			return reached(strings.Join(names, ", "), end.Origin, end.Reach(ctx, target.Outgoing{Resolver: e.o.Resolver}), time.Now())
		}})
	}
	return out
}

// reached judges how far a connection came.
func reached(who, origin string, r target.Reached, now time.Time) (out []Finding) {
	who += ": " + origin
	if r.Err != nil {
		return append(out, notReached(who, origin, r))
	}
	out = append(out, certificate(who+": the server's certificate", r.Server, now,
		"have it renewed; see: openssl s_client -connect "+hostOf(origin)+" -servername "+nameOf(origin)+" </dev/null | openssl x509 -noout -dates")...)
	out = append(out, certificate(who+": our client certificate", r.Client, now, "renew tls.client_cert of the target; it is read anew with each call")...)
	if len(out) > 0 {
		return out
	}
	text := who + " is reached in " + short(r.Took)
	if !r.Server.Until.IsZero() {
		text += ", its certificate is good until " + r.Server.Until.UTC().Format(time.DateOnly)
	}
	return []Finding{{"", OK, text, ""}}
}

func notReached(who, origin string, r target.Reached) Finding {
	switch r.Stage {
	case "dns":
		text := plainError(r.Err)
		var dns *net.DNSError
		if errors.As(r.Err, &dns) && dns.IsNotFound {
			text = "there is no such name"
		}
		return Finding{"", Problem, who + " has no address: " + text, "correct url; see: getent hosts " + nameOf(origin)}
	case "tcp":
		return Finding{"", Problem, who + " is not reached: " + plainError(r.Err), "see whether it runs, and whether a firewall or NetworkPolicy is in between: nc -vz " + strings.ReplaceAll(hostOf(origin), ":", " ")}
	case "secret":
		return Finding{"", Warning, who + " is not tried: " + plainError(r.Err), "run this where workers run"}
	}
	return Finding{"", Problem, who + " does not agree on TLS: " + plainError(r.Err),
		"openssl s_client -connect " + hostOf(origin) + " -servername " + nameOf(origin) + "; a private authority is named with tls: {ca: …} of the target"}
}

func hostOf(origin string) string { _, host, _ := strings.Cut(origin, "://"); return host }

func nameOf(origin string) string {
	u, err := url.Parse(origin)
	if err != nil {
		return origin
	}
	return u.Hostname()
}

// soon is how long before its end a certificate is worth a word; one with a short life only
// when four fifths of that are over.
const soon = 14 * 24 * time.Hour

// certificate judges when a certificate ends.
func certificate(what string, l target.Lifetime, now time.Time, do string) []Finding {
	left := l.Until.Sub(now)
	switch {
	case l.Until.IsZero() || left > min(soon, l.Until.Sub(l.From)/5):
		return nil
	case left <= 0:
		return []Finding{{"", Problem, what + " has expired at " + l.Until.UTC().Format(time.RFC3339), do}}
	}
	text := short(left)
	if days := int(left.Hours() / 24); days >= 2 {
		text = count(days, "day")
	}
	return []Finding{{"", Warning, fmt.Sprintf("%s expires in %s, at %s", what, text, l.Until.UTC().Format(time.RFC3339)), do}}
}

// keyLook is how often a key set that is being fetched is asked after.
const keyLook = 50 * time.Millisecond

// keys waits for the key sets of authenticators.
func (e *exam) keys(ctx context.Context) (out []Finding) {
	if e.table == nil {
		return nil
	}
	tick := time.NewTicker(keyLook)
	defer tick.Stop()
	health := e.table.Health() // begins to fetch
	for pending(health) && ctx.Err() == nil {
		select {
		case <-tick.C:
			health = e.table.Health()
		case <-ctx.Done():
		}
	}
	for _, name := range slices.Sorted(maps.Keys(health)) {
		out = append(out, Finding{"", Problem, "authenticator " + name + " cannot check credentials: " + plainError(health[name]),
			"see whether its jwks_url is right and answers, or its key can be read here"})
	}
	if len(out) == 0 {
		out = append(out, Finding{"", OK, "every authenticator has its keys", ""})
	}
	return out
}

func pending(health map[string]error) bool {
	for _, err := range health {
		if errors.Is(err, policies.ErrPending) {
			return true
		}
	}
	return false
}

// httpClient is what key sets and processes are asked with.
func httpClient(timeout time.Duration) *http.Client { return &http.Client{Timeout: timeout} }
