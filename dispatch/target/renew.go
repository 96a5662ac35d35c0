package target

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"headgate/dispatch/encode"
	"headgate/dispatch/fault"
)

// refreshToken is a refresh token that a token server answered.
type refreshToken struct {
	text string
	name string // of the vault that keeps it: it changes with the secrets
}

// keepTimeout bounds how long a new refresh token is kept trying to be put away. The run
// may be over by then: the old one is good no more.
const keepTimeout = 5 * time.Second

// detachTimeout bounds a search that goes on when its run is over.
const detachTimeout = fetchTimeout + keepTimeout

// detached is obtain for a grant that rotates, for whoever has the source's turn; it gives
// that back. Once the token server has been asked, its answer must be seen: it may have the
// only refresh token that is still good. So the search goes on when the run is stopped or
// has no more time.
func (c *tokenCache) detached(outer, ctx context.Context, s *source, k *errand, v *vault) (accessToken, *fault.Fault) {
	type outcome struct {
		token accessToken
		fault *fault.Fault
	}
	done := make(chan outcome, 1)
	c.detach.Go(func() {
		defer func() { <-s.turn }()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), detachTimeout)
		defer cancel()
		t, f := c.obtain(ctx, ctx, s, k, v)
		s.note(t, f)
		done <- outcome{t, f}
	})
	select {
	case o := <-done:
		return o.token, o.fault
	case <-ctx.Done():
		return accessToken{}, k.late(outer, ctx)
	}
}

// wait ends when no search goes on.
func (c *tokenCache) wait() {
	if c != nil {
		c.detach.Wait()
	}
}

// renew asks for a token with the newest refresh token: the one that was answered last, or
// else that of the secret. A store that does not answer ends it, unlike that of an access
// token: an old refresh token that is shown again may cost the grant.
func (c *tokenCache) renew(outer, ctx context.Context, s *source, cl *client, v *vault) (tokenAnswer, *fault.Fault) {
	first := cl.secrets[refreshTokenAt].Reveal()
	kept, f := c.newest(ctx, s, v)
	if f != nil {
		return tokenAnswer{}, f
	}
	used := cmp.Or(kept, first)
	answer, f := c.ask(outer, ctx, cl, used)
	if f != nil && used != first && errors.Is(f.Err, errInvalidGrant) {
		used = first
		answer, f = c.ask(outer, ctx, cl, used)
	}
	if f != nil {
		return tokenAnswer{}, f
	}
	if newest := cmp.Or(answer.refresh, used); newest != cmp.Or(kept, first) || s.unsaved.text != "" {
		c.keep(ctx, s, v, newest)
	}
	return answer, nil
}

// newest gives the refresh token that was answered last; empty when there is none.
func (c *tokenCache) newest(ctx context.Context, s *source, v *vault) (string, *fault.Fault) {
	if s.unsaved.name == v.refresh {
		return s.unsaved.text, nil
	}
	if c.shared == nil {
		return "", nil
	}
	sealed, _, err := c.shared.Get(ctx, v.refresh)
	if err != nil {
		return "", storeFault(err)
	}
	plain, _ := v.open(v.refresh, sealed)
	return string(plain), nil
}

// keep puts a refresh token away for all workers. Until that works this process remembers
// it: nobody else has it.
func (c *tokenCache) keep(ctx context.Context, s *source, v *vault, text string) {
	s.unsaved = refreshToken{text: text, name: v.refresh}
	if c.shared == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTimeout)
	defer cancel()
	sealed, err := v.seal(v.refresh, []byte(text))
	if err == nil {
		err = c.shared.Put(ctx, v.refresh, sealed, 0)
	}
	if err != nil {
		c.log.ErrorContext(ctx, "a new refresh token is known to this process only", "error", err)
		return
	}
	s.unsaved = refreshToken{}
}

func storeFault(err error) *fault.Fault {
	return &fault.Fault{Reason: fault.Internal, Retry: true, Err: err,
		Message: "no access token: the newest refresh token cannot be looked up"}
}

// packed is an access token as it is sealed.
type packed struct {
	Text   string          `json:"text"`
	Fields json.RawMessage `json:"fields,omitempty"`
}

func (t *accessToken) pack() ([]byte, error) {
	p := packed{Text: t.text}
	if t.fields != nil {
		var err error
		if p.Fields, err = encode.AppendJSON(nil, t.fields); err != nil {
			return nil, err
		}
	}
	return json.Marshal(p)
}

// unpack is the reverse of pack; false for what is not made by it.
func (t *accessToken) unpack(plain []byte) bool {
	var p packed
	if err := json.Unmarshal(plain, &p); err != nil || p.Text == "" {
		return false
	}
	t.text = p.Text
	if p.Fields == nil {
		return true
	}
	v, err := encode.Decode(p.Fields)
	fields, ok := v.(map[string]any)
	t.fields = fields
	return ok && err == nil
}
