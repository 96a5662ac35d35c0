package target

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"headgate/config/secret"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// The expected values were computed with another implementation over the same bytes.
func TestHMACSignsTheBody(t *testing.T) {
	t.Setenv("CRM_KEY", "a key")
	const sha256Hex = "826e9be391b4b4b27d9e0aa4ac53955ec766128abfa6b9c283396a04835e4d55"
	for name, tc := range map[string]struct{ call, auth, header, want, body string }{
		"defaults":    {"post: /x", `{hmac: {header: x-signature, secret: {env: CRM_KEY}}}`, "X-Signature", sha256Hex, string(input().Payload)},
		"prefix":      {"post: /x", `{hmac: {header: X-S, secret: {env: CRM_KEY}, prefix: "sha256="}}`, "X-S", "sha256=" + sha256Hex, string(input().Payload)},
		"base64":      {"post: /x", `{hmac: {header: X-S, secret: {env: CRM_KEY}, encoding: base64}}`, "X-S", "gm6b45G0tLJ9ngqkrFOVXsdmEoq/prnCgzlqBINeTVU=", string(input().Payload)},
		"sha512":      {"post: /x", `{hmac: {header: X-S, secret: {env: CRM_KEY}, algorithm: sha512, encoding: hex}}`, "X-S", "73279580bb8ba7c949992fa69023bc9a5ad121bf269f98ca35d26877646f2509c669ebc41d86968be1668a6f37c568cf77e28ddd1f22e2b16ce45619077e4efc", string(input().Payload)},
		"other body":  {"put: /x\nraw: \"é ${{ .params.id }}\\n\"", `{hmac: {header: X-S, secret: {env: CRM_KEY}, algorithm: sha256}}`, "X-S", "e3ac6e6c04595edcb16f657c42fa24f3dbbf3ebc1574415a50685f50515a52c9", "é 42\n"},
		"no body":     {"get: /x", `{hmac: {header: X-S, secret: {env: CRM_KEY}}}`, "X-S", "b42577ed528db0b7204b16233ef76b3166529951b36fb5b083df4ad85f4ae58b", ""},
		"in one step": {"steps: [{name: a, post: /x, auth: {hmac: {header: X-S, secret: {env: CRM_KEY}}}}]", "none", "X-S", sha256Hex, string(input().Payload)},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, says(200, ""))
			p := mustCompile(t, b.URL, "url: ${URL}\n"+tc.call+"\nauth: "+tc.auth)
			eventOf[tracking.Concluded](t, newEngine(t).Run(t.Context(), p, input()))
			got := b.seen()[0]
			if got.Body != tc.body || got.Header.Get(tc.header) != tc.want {
				t.Errorf("body %q, %s %q, want %q", got.Body, tc.header, got.Header.Get(tc.header), tc.want)
			}
		})
	}
}

// The vector of the specification's own reference libraries.
func TestWebhookOfTheSpecification(t *testing.T) {
	t.Setenv("CRM_KEY", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	p := mustCompile(t, "", "url: http://h\npost: /x\nauth: {webhook: {secret: {env: CRM_KEY}}}")
	r := &request{header: http.Header{}, id: "msg_p5jXN8AQM9LWM0D4loKWxJek", at: time.Unix(1614265330, 0), body: []byte(`{"test": 2432232314}`)}
	if f := p.steps[0].auth.apply(r, secret.Ref.Read); f != nil {
		t.Fatal(f)
	}
	if got := r.header[webhookSignature][0]; got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("signed %s", got)
	}
}

func TestWebhookIsSigned(t *testing.T) {
	key := []byte("0123456789abcdefghijklmnopq") // its base64 has + or / or padding
	text := base64.StdEncoding.EncodeToString(key)
	for name, secret := range map[string]string{"prefixed": "whsec_" + text, "bare": text, "without padding": strings.TrimRight(text, "=")} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("CRM_KEY", secret)
			b := newBackend(t, says(200, ""))
			p := mustCompile(t, b.URL, "url: ${URL}\npost: /x\nauth: {webhook: {secret: {env: CRM_KEY}}}")
			in := input()
			in.Delivery.KeySuffix = ".r1"
			eventOf[tracking.Concluded](t, newEngine(t).Run(t.Context(), p, in))
			got := b.seen()[0]
			mac := hmac.New(sha256.New, key)
			mac.Write([]byte("trk_1:crm.r1.1772366400." + got.Body))
			want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
			if got.Header.Get("Webhook-Id") != got.Header.Get("Idempotency-Key") || got.Header.Get("Webhook-Timestamp") != "1772366400" || got.Header.Get("Webhook-Signature") != want {
				t.Errorf("%v, want %s", got.Header, want)
			}
		})
	}
}

func TestWebhookSecretThatIsNone(t *testing.T) {
	p := mustCompile(t, "", "url: http://h\npost: /x\nauth: {webhook: {secret: {env: CRM_KEY}}}")
	for _, secret := range []string{"whsec_", "whsec_pl@nted-secret", "planted secret"} {
		t.Setenv("CRM_KEY", secret)
		got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, input()))
		if got.Fault.Reason != fault.Auth || !got.Fault.Retry || got.Final || !strings.Contains(got.Fault.Message, "{env: CRM_KEY}") || strings.Contains(got.Fault.Error(), "nted") {
			t.Errorf("%q: %+v", secret, got.Fault)
		}
	}
}

func TestSigningProblems(t *testing.T) {
	for name, tc := range map[string]struct{ auth, where, message, hint string }{
		"no header":         {"{hmac: {secret: {env: CRM_KEY}}}", "3:14", `"header" is missing`, "add header"},
		"no secret":         {"{hmac: {header: X-S}}", "3:14", `"secret" is missing`, ""},
		"in clear":          {"{hmac: {header: X-S, secret: planted}}", "3:36", "in clear", "{env: NAME}"},
		"not ours to read":  {"{hmac: {header: X-S, secret: {env: PATH}}}", "3:36", "may not read", "routes_may_read"},
		"reserved header":   {"{hmac: {header: Host, secret: {env: CRM_KEY}}}", "3:14", `"Host" is no header`, ""},
		"algorithm":         {"{hmac: {header: X-S, secret: {env: CRM_KEY}, algorithm: sha1}}", "3:63", `algorithm cannot be "sha1"`, "sha256 or sha512"},
		"encoding":          {"{hmac: {header: X-S, secret: {env: CRM_KEY}, encoding: base46}}", "3:62", `encoding cannot be "base46"`, "hex or base64"},
		"prefix":            {`{hmac: {header: X-S, secret: {env: CRM_KEY}, prefix: "a\n"}}`, "3:60", "cannot carry", ""},
		"empty hmac":        {"{hmac: }", "3:8", "hmac is empty", ""},
		"empty webhook":     {"{webhook: {}}", "3:17", `"secret" is missing`, ""},
		"webhook, not ours": {"{webhook: {secret: {env: PATH}}}", "3:26", "may not read", ""},
		"webhook, unknown":  {"{webhook: {secret: {env: CRM_KEY}, header: X}}", "3:42", `unknown key "header"`, ""},
		"two":               {"{hmac: {header: X-S, secret: {env: CRM_KEY}}, webhook: {secret: {env: CRM_KEY}}}", "3:7", "exactly one way", "hmac"},
	} {
		t.Run(name, func(t *testing.T) {
			p, report := compileText(t, "", "url: http://h\npost: /x\nauth: "+tc.auth)
			err := report.Err()
			if p != nil || err == nil || len(report.Problems()) != 1 {
				t.Fatalf("%v", err)
			}
			for _, part := range []string{"t.yaml:" + tc.where, tc.message, tc.hint} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in\n%v", part, err)
				}
			}
			if strings.Contains(err.Error(), "planted") {
				t.Errorf("the secret is shown: %v", err)
			}
		})
	}
}
