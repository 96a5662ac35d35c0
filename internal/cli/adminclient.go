package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	defaultAdminURL = "http://127.0.0.1:9090"
	adminTokenName  = "HEADGATE_ADMIN_TOKEN" //nolint:gosec // G101: the variable's name
)

// adminWithin bounds one answer: a process that hangs is to be told of soon. What takes longer there
// (2 s for a look at Redis, 3 s for one at the fleet) has bounds of its own well below; a replay of
// many dead letters has none.
const adminWithin = 15 * time.Second

// adminClient asks the admin listener. Its errors say what to do about them.
type adminClient struct{ *client }

// adminFlags adds what every command has that asks the admin listener.
func adminFlags(c *cobra.Command) func() *adminClient {
	base := c.Flags().String("url", defaultAdminURL, "URL of the admin listener")
	token := tokenFlag(c, "admin token", adminTokenName)
	return func() *adminClient {
		a := &adminClient{newClient(*base, token())}
		a.http.Timeout = adminWithin
		return a
	}
}

// ask sends one request, with body as JSON unless it is nil, and reads the answer into what
// into points to.
func (a *adminClient) ask(ctx context.Context, method, path string, body, into any) error {
	var header map[string]string
	var text io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		text, header = bytes.NewReader(raw), jsonBody
	}
	got, err := a.do(ctx, method, path, text, header)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(got.body, into); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	return nil
}

// do sends one request and reads the answer whole. One that is no success is an error.
func (a *adminClient) do(ctx context.Context, method, path string, body io.Reader, header map[string]string) (*answer, error) {
	got, err := a.client.do(ctx, method, path, body, header)
	if err != nil {
		return nil, a.unreached(err)
	}
	return got, a.refused(got)
}

// unreached explains why there is no answer.
func (a *adminClient) unreached(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err // the URL is told already
	}
	if at, perr := url.Parse(a.base); perr != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
		return fmt.Errorf("%q is no URL of an admin listener: write --url http://HOST:PORT", a.base)
	}
	return fmt.Errorf("the admin listener does not answer at %s: %w; where it listens is admin.listen of the operator's file: name it with --url", a.base, err)
}

// refused explains an answer that is no success; nil for one that is.
func (a *adminClient) refused(got *answer) error {
	switch {
	case got.status < http.StatusMultipleChoices:
		return nil
	case got.status == http.StatusUnauthorized && a.token == "":
		return fmt.Errorf("the admin listener at %s asks for its token: set %s to it, or give --token", a.base, adminTokenName)
	case got.status == http.StatusUnauthorized:
		return fmt.Errorf("the admin listener at %s does not accept the token of %s or --token: it is what admin.token of its file names", a.base, adminTokenName)
	case got.status == http.StatusNotFound && strings.Contains(string(got.body), noRoute):
		return fmt.Errorf("%s is the listener for clients, not the admin one: where that listens is admin.listen of the operator's file; name it with --url", a.base)
	}
	return got.problem()
}

// noRoute is by what the listener for clients gives itself away: it has no path of the admin one.
const noRoute = "No route has this path."

var jsonBody = map[string]string{"Content-Type": "application/json"}
