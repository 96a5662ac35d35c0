package app_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"headgate/internal/testenv"
)

// A reload while an issuer is away does not forget its keys.
func TestReloadKeepsFetchedKeys(t *testing.T) {
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":%q}]}`, base64.RawURLEncoding.EncodeToString(public))
	}))
	defer issuer.Close()
	r := newRig(t, func(s string) string {
		return strings.Replace(s, "auth:\n", "auth:\n  partner:\n    jwt: {issuer: p, audience: a, algorithms: [EdDSA], jwks_url: '"+issuer.URL+"'}\n", 1)
	})
	r.start(t)
	testenv.Eventually(t, 10*time.Second, func() bool { return r.Table().Health()["partner"] == nil }, "the keys are not fetched")
	issuer.Close()
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.Table().Authenticators()["partner"] == nil {
		t.Fatal("the authenticator is not there")
	}
	if err := r.Table().Health()["partner"]; err != nil {
		t.Error(err)
	}
}
