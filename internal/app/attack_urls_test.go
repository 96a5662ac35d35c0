package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// uploading is a vendor that hands out where to upload.
const uploading = `
targets:
  vendor:
    url: ${VENDOR}
    allow_hosts: [%s]
    auth: {bearer: {env: ATTACK_TOKEN}}
    headers: {X-Client: "${{ .params.id }}"}
    retry: {attempts: 2, first: 10ms, max: 20ms}
    steps:
      - {name: announce, post: /imports, json: "${{ .payload }}", save: {upload_uri: "${{ .response.body.upload_uri }}"}}
      - {name: upload, put: "${{ .saved.upload_uri }}", json: "${{ .payload }}"}
routes:
  - {name: records, match: POST /records/:id, auth: none, targets: {vendor: }}
`

// A backend's answer (or whoever writes it) names an address inside. Nothing is sent
// there, the delivery ends at once as a dead letter, and its message names the host and
// what would allow it. How URLs are read: TestWhereURLsMayGo in dispatch/target.
func TestAttackURLOfAnAnswerPointsInside(t *testing.T) {
	t.Setenv("ATTACK_TOKEN", "planted-token")
	victim := serve(t, "127.0.0.1:0", func(w http.ResponseWriter, _ *http.Request) { says(w, 200, `{}`) })
	inside := port(t, victim)
	var url string
	vendor := serve(t, "127.0.0.1:0", func(w http.ResponseWriter, _ *http.Request) { says(w, 200, `{"upload_uri":%q}`, url) })
	hosts := "'*.example.com:" + inside + "', '*.example.com', uploads.example.com"
	r := attacked(t, "", strings.ReplaceAll(fmt.Sprintf(uploading, hosts), "${VENDOR}", vendor.URL), resolver(t, map[string][]string{
		"loopback.example.com": {"127.0.0.1"}, "metadata.example.com": {"169.254.169.254"}, "private.example.com": {"10.0.0.1"},
		"cgnat.example.com": {"100.100.100.200"}, "six.example.com": {"::1"}, "ula.example.com": {"fd00:ec2::254"},
		"mapped.example.com": {"::ffff:127.0.0.1"}, "nat64.example.com": {"64:ff9b::7f00:1"}, "any.example.com": {"0.0.0.0"},
		"localhost.example.com": {"127.0.0.1"},
	}))
	const listed, guarded = "allow_hosts", "no public address"
	for uri, remedy := range map[string]string{
		"http://" + victim.host() + "/x":              listed,
		"http://localhost:" + inside + "/x":           listed,
		"http://169.254.169.254/latest/meta-data":     listed,
		"http://metadata.google.internal/":            listed,
		"http://[::1]:" + inside + "/":                listed,
		"http://[::ffff:127.0.0.1]:" + inside + "/":   listed,
		"http://2130706433:" + inside + "/":           listed,
		"http://evil.test/":                           listed,
		"http://loopback.example.com:" + inside:       guarded,
		"http://localhost.example.com.:" + inside:     guarded,
		"http://metadata.example.com/latest":          guarded,
		"http://private.example.com/":                 guarded,
		"http://cgnat.example.com/":                   guarded,
		"http://six.example.com:" + inside + "/":      guarded,
		"http://ula.example.com/":                     guarded,
		"http://mapped.example.com:" + inside + "/":   guarded,
		"http://nat64.example.com:" + inside + "/":    guarded,
		"http://any.example.com:" + inside + "/":      guarded,
		"http://uploads.example.com@" + victim.host(): "credentials",
	} {
		url = uri
		d := r.deliver(t, "/records/7", `{"a":1}`)
		if d.State != tracking.Failed || d.Reason != fault.BadResponse || d.Attempts != 2 || !strings.Contains(d.Message, remedy) {
			t.Errorf("%s: %+v", uri, d)
		}
		if host, _, _ := strings.Cut(strings.TrimPrefix(uri, "http://"), "/"); remedy == guarded && !strings.Contains(d.Message, strings.TrimSuffix(strings.TrimSuffix(host, ":"+inside), ".")) {
			t.Errorf("%s: the host is not named: %s", uri, d.Message)
		}
	}
	if got := victim.requests(); len(got) != 0 {
		t.Errorf("the victim was reached: %+v", got)
	}
	if said := r.adminSays(t, "/deadletters?target=vendor"); strings.Count(said, `"tracking_id"`) != 19 {
		t.Errorf("dead letters: %s", said)
	}
}

// A client names the address, in a payload that a target takes its URL from.
func TestAttackURLOfAClientPointsInside(t *testing.T) {
	victim := serve(t, "127.0.0.1:0", func(w http.ResponseWriter, _ *http.Request) { says(w, 200, `{}`) })
	r := attacked(t, "", `
targets:
  callback:
    url: http://127.0.0.1:1
    allow_hosts: ["*.example.com"]
    post: ${{ .payload.callback_url }}
routes:
  - {name: records, match: POST /records/:id, auth: none, targets: {callback: }}
`, resolver(t, map[string][]string{"hooks.example.com": {"127.0.0.1"}}))
	for _, url := range []string{"http://" + victim.host() + "/", "http://hooks.example.com/", "http://hooks.example.com:" + port(t, victim), "file:///etc/passwd"} {
		if d := r.deliver(t, "/records/7", fmt.Sprintf(`{"callback_url":%q}`, url)); d.State != tracking.Failed || d.Reason != fault.BadResponse {
			t.Errorf("%s: %+v", url, d)
		}
	}
	if got := victim.requests(); len(got) != 0 {
		t.Errorf("the victim was reached: %+v", got)
	}
}

// A name resolves to an allowed address when it is looked at, and to a forbidden one when
// it is called. Here 127.0.0.2 plays the public address, by egress.may_reach, and a
// victim listens on the same port of 127.0.0.1.
func TestAttackDNSRebinding(t *testing.T) {
	t.Setenv("ATTACK_TOKEN", "planted-token")
	public := serve(t, "127.0.0.2:0", func(w http.ResponseWriter, _ *http.Request) { says(w, 200, `{}`) })
	victim := serve(t, "127.0.0.1:"+port(t, public), func(w http.ResponseWriter, _ *http.Request) { says(w, 200, `{}`) })
	host := "uploads.example.com:" + port(t, public)
	vendor := serve(t, "127.0.0.1:0", func(w http.ResponseWriter, _ *http.Request) {
		says(w, 200, `{"upload_uri":"http://%s/file?signature=planted"}`, host)
	})
	dns := resolver(t, map[string][]string{"uploads.example.com": {"127.0.0.2", "127.0.0.1"}})
	r := attacked(t, "egress: {may_reach: [127.0.0.2/32]}\n", strings.ReplaceAll(fmt.Sprintf(uploading, "'"+host+"'"), "${VENDOR}", vendor.URL), dns)
	if d := r.deliver(t, "/records/7", `{"a":1}`); d.State != tracking.Succeeded || len(public.requests()) != 1 {
		t.Fatalf("while the name is public: %+v", d)
	}
	d := r.deliver(t, "/records/7", `{"a":1}`)
	if d.State != tracking.Failed || d.Reason != fault.BadResponse || !strings.Contains(d.Message, host) || strings.Contains(d.Message, "planted") {
		t.Errorf("after the name has moved: %+v", d)
	}
	if len(victim.requests()) != 0 || len(public.requests()) != 1 {
		t.Errorf("the victim saw %d requests", len(victim.requests()))
	}
}

// What is meant for a target does not reach the hosts that its answers name: neither its
// credentials and headers, nor what the client put into them, nor the names of the
// delivery. In more detail: TestOtherHostsGetNothingOfTheTarget in dispatch/target.
func TestAttackUploadHostCollectsCredentials(t *testing.T) {
	t.Setenv("ATTACK_TOKEN", "planted-token")
	storage := serve(t, "127.0.0.1:0", func(w http.ResponseWriter, _ *http.Request) { says(w, 200, `{}`) })
	vendor := serve(t, "127.0.0.1:0", func(w http.ResponseWriter, _ *http.Request) {
		says(w, 200, `{"upload_uri":"http://%s/file"}`, storage.host())
	})
	r := attacked(t, "egress: {may_reach: [127.0.0.1]}\n", strings.ReplaceAll(fmt.Sprintf(uploading, "'"+storage.host()+"'"), "${VENDOR}", vendor.URL), nil)
	d := r.deliver(t, "/records/planted-param", `{"a":1}`, "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "X-Client", "planted-header")
	if d.State != tracking.Succeeded {
		t.Fatalf("%+v", d)
	}
	if own := vendor.requests()[0].Header; own.Get("Authorization") != "Bearer planted-token" || own.Get("X-Client") != "planted-param" || own.Get("Traceparent") == "" {
		t.Errorf("the target itself got %v", own)
	}
	got := storage.requests()[0].Header
	for name := range got {
		switch name {
		case "Accept", "Accept-Encoding", "Content-Length", "Content-Type", "User-Agent", "Body", "Connection":
		default:
			t.Errorf("the storage got %s: %v", name, got[name])
		}
	}
	if strings.Contains(fmt.Sprint(got), "planted") || strings.Contains(fmt.Sprint(got), "trk_") || got.Get("Body") != `{"a":1}` {
		t.Errorf("the storage got %v", got)
	}
}

// A backend redirects to another host, which would collect the credentials. No redirect
// is followed, neither of a target nor of a host that an answer named.
func TestAttackRedirectToAnotherHost(t *testing.T) {
	t.Setenv("ATTACK_TOKEN", "planted-token")
	thief := serve(t, "127.0.0.1:0", func(w http.ResponseWriter, _ *http.Request) { says(w, 200, `{}`) })
	away := func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, thief.URL+"/?leak=planted-query", http.StatusTemporaryRedirect)
	}
	storage := serve(t, "127.0.0.1:0", away)
	vendor := serve(t, "127.0.0.1:0", func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("X-Client") == "direct" {
			away(w, req)
			return
		}
		says(w, 200, `{"upload_uri":"http://%s/file"}`, storage.host())
	})
	r := attacked(t, "egress: {may_reach: [127.0.0.1]}\n", strings.ReplaceAll(fmt.Sprintf(uploading, "'"+storage.host()+"'"), "${VENDOR}", vendor.URL), nil)
	for _, id := range []string{"direct", "by-upload"} {
		d := r.deliver(t, "/records/"+id, `{"a":1}`)
		if d.State != tracking.Failed || d.Reason != fault.BadResponse || !strings.Contains(d.Message, thief.host()) || strings.Contains(d.Message, "planted") {
			t.Errorf("%s: %+v", id, d)
		}
	}
	if len(thief.requests()) != 0 || len(storage.requests()) != 1 {
		t.Errorf("the thief saw %v", thief.requests())
	}
}
