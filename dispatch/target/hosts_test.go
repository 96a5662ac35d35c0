package target

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

const uploads = `
url: https://api.example.com/v1
allow_hosts: [uploads.example.com, "*.storage.example.net", "files.example.com:8443", 93.184.216.34]
put: ${{ .payload.url }}
`

// Where a URL may go that an expression gives: to the target itself or to a host of
// allow_hosts, and nowhere by another way of writing it.
func TestWhereURLsMayGo(t *testing.T) {
	const other, own, no = "other", "own", "no"
	for url, want := range map[string]string{
		"https://uploads.example.com/x?sig=1":      other,
		"https://UPLOADS.example.com./x":           other,
		"https://uploads.example.com:443/x":        other,
		"https://a.b.storage.example.net/x":        other,
		"https://files.example.com:8443/x":         other,
		"https://93.184.216.34/x":                  other,
		"https://api.example.com/elsewhere":        own,
		"https://api.example.com:443/x":            own,
		"/x":                                       own,
		"":                                         own,
		"https://uploads.example.com:8443/x":       no,
		"https://files.example.com/x":              no,
		"https://storage.example.net/x":            no, // a wildcard is for what lies below
		"https://evilstorage.example.net/x":        no,
		"https://uploads.example.com.evil.test/x":  no,
		"https://evil.test/uploads.example.com":    no,
		"https://evil.test#uploads.example.com":    no,
		"https://evil.test?uploads.example.com":    no,
		"https://uploads.example.com@evil.test/":   no,
		"https://uploads.example.com:443@evil/":    no,
		`https://evil.test\@uploads.example.com/`:  no,
		"https://u:p@uploads.example.com/":         no,
		"https://uploads.example.com/../../x":      no,
		"https://uploads.example.com/%2e%2e/x":     no,
		"https://uploads.example.com/x#f":          no,
		"http://uploads.example.com/x":             no, // the target itself is https
		"http://api.example.com/x":                 no,
		"ftp://uploads.example.com/x":              no,
		"gopher://uploads.example.com/x":           no,
		"file:///etc/passwd":                       no,
		"https:///x":                               no,
		"https://[::ffff:93.184.216.34]/x":         no,
		"https://[fe80::1%25eth0]/x":               no,
		"https://uploads.example.com\r\nX: y/":     no,
		"https://upl\u00f6ads.example.com/":        no,
		"https://uploads.example.com\u3002evil.t/": no,
		"https://2130706433/":                      no,
		"https://169.254.169.254/latest/meta-data": no,
		"https://%75ploads.example.com/":           no,
		"//uploads.example.com/x":                  own, // a path, as everything that begins with /
		"uploads.example.com/x":                    no,
	} {
		p := mustCompile(t, "", uploads)
		in := input()
		in.Payload, _ = json.Marshal(map[string]string{"url": url})
		scope, err := p.steps[0].scope(&in)
		if err != nil {
			t.Fatal(err)
		}
		to, f := p.place(p.steps[0].path, scope, p.home)
		got := own
		switch {
		case f != nil:
			got = no
			if f.Retry || strings.Contains(f.Message, "sig=") || strings.Contains(f.Message, ":p@") {
				t.Errorf("%s: %+v", url, f)
			}
		case to.other:
			got = other
		}
		if got != want {
			t.Errorf("%s: goes to %s (%+v, %v), want %s", url, got, to, f, want)
		}
		if want == own && !strings.HasPrefix(to.url, "https://api.example.com") {
			t.Errorf("%s: own, but %s", url, to.url)
		}
	}
}

// What is refused says which host it is and what would allow it.
func TestRefusedHostIsNamed(t *testing.T) {
	b := newBackend(t, says(200, `{}`))
	p := mustCompile(t, b.URL, "url: ${URL}\nallow_hosts: [uploads.example.com]\nput: ${{ .payload.url }}")
	in := input()
	in.Payload = json.RawMessage(`{"url":"https://evil.test:8080/x?key=hush"}`)
	got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, in))
	const want = "not sent: the URL goes to the host evil.test:8080, which is not in allow_hosts of target crm; add it there if it is meant"
	if !got.Final || got.Fault.Reason != fault.BadResponse || got.Fault.Message != want {
		t.Errorf("%+v %+v", got, got.Fault)
	}
}

// A plan that was accepted under older rules is still loaded, and its URLs stay home.
func TestKeptPlanWithoutHosts(t *testing.T) {
	p, err := FromSource("crm", []byte(`{"url":"http://h","put":"${{ .payload.url }}"}`))
	if err != nil {
		t.Fatal(err)
	}
	in := input()
	in.Payload = json.RawMessage(`{"url":"http://other/x"}`)
	got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, in))
	if !got.Final || !strings.Contains(got.Fault.Message, "allow_hosts") {
		t.Errorf("%+v", got.Fault)
	}
}

// Nothing that was meant for the target goes to another host: neither its auth and
// headers nor the trace and the key that name the delivery.
func TestOtherHostsGetNothingOfTheTarget(t *testing.T) {
	t.Setenv("CRM_TOKEN", "target-secret")
	t.Setenv("CRM_UPLOAD", "upload-secret")
	other := newBackend(t, says(200, `{}`))
	for name, tt := range map[string]struct {
		yaml string
		want map[string]string
	}{
		"of the target": {`
auth: {bearer: {env: CRM_TOKEN}}
headers: {X-Param: "${{ .params.id }}"}
steps:
- {name: a, get: /a, save: {u: "${{ .response.body.u }}"}}
- {name: b, put: "${{ .saved.u }}", headers: {X-Own: "${{ .tracking }}"}}`, map[string]string{"X-Own": "trk_1"}},
		"of the step": {`
auth: {bearer: {env: CRM_TOKEN}}
steps:
- {name: a, get: /a, save: {u: "${{ .response.body.u }}"}}
- {name: b, put: "${{ .saved.u }}", auth: {bearer: {env: CRM_UPLOAD}}}`, map[string]string{"Authorization": "Bearer upload-secret"}},
		"key in the query": {`
auth: {query: {name: key, value: {env: CRM_TOKEN}}}
steps:
- {name: a, get: /a, save: {u: "${{ .response.body.u }}"}}
- {name: b, put: "${{ .saved.u }}"}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			own := newBackend(t, says(200, `{"u":"`+other.URL+`/file?sig=1"}`))
			host := strings.TrimPrefix(other.URL, "http://")
			p := mustCompile(t, own.URL, "url: ${URL}\nallow_hosts: ['"+host+"']"+tt.yaml)
			e := NewEngine(Outgoing{MayReach: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}, nil)
			t.Cleanup(e.Close)
			in := input()
			before := len(other.seen())
			if d, _ := drive(t, e, p, in); d.State != tracking.Succeeded {
				t.Fatalf("%+v", d)
			}
			got := other.seen()[before]
			if got.URI != "/file?sig=1" || len(other.seen()) != before+1 {
				t.Errorf("%+v", got)
			}
			for _, header := range []string{"Authorization", "X-Param", "X-Own", "Idempotency-Key", "Traceparent"} {
				if got.Header.Get(header) != tt.want[header] {
					t.Errorf("%s: %q, want %q", header, got.Header.Get(header), tt.want[header])
				}
			}
		})
	}
}

// The guard of other hosts lets public addresses through and nothing else.
func TestGuardedAddresses(t *testing.T) {
	g := guard([]netip.Prefix{netip.MustParsePrefix("10.7.0.0/16"), netip.MustParsePrefix("64:ff9b::/96")})
	for address, allowed := range map[string]bool{
		"93.184.216.34": true, "2606:2800:220:1::1": true, "10.7.1.1": true, "64:ff9b::5db8:d822": true,
		"64:ff9b::7f00:1": false, "64:ff9b::a9fe:a9fe": false,
		"127.0.0.1": false, "127.8.8.8": false, "0.0.0.0": false, "10.0.0.1": false, "172.16.0.1": false, "192.168.1.1": false,
		"169.254.169.254": false, "169.254.170.2": false, "100.100.100.200": false, "168.63.129.16": false, "192.0.0.192": false,
		"100.64.0.1": false, "224.0.0.1": false, "255.255.255.255": false, "198.18.0.1": false,
		"::1": false, "::": false, "fe80::1": false, "fc00::1": false, "fd00:ec2::254": false, "ff02::1": false,
		"::ffff:127.0.0.1": false, "::ffff:93.184.216.34": false, "::127.0.0.1": false, "64:ff9b:1::7f00:1": false,
		"2002:7f00:1::": false, "2001::1": false, "2001:db8::1": false,
	} {
		network, to := "tcp4", netip.AddrPortFrom(netip.MustParseAddr(address), 443)
		if to.Addr().Is6() {
			network = "tcp6"
		}
		if err := g(network, to.String(), nil); (err == nil) != allowed {
			t.Errorf("%s: %v, want it allowed: %v", address, err, allowed)
		}
	}
}

// What explain shows: what is not known is shown where it will stand, and the note says
// where it may go.
func TestPreviewOfURLsFromAnswers(t *testing.T) {
	const steps = `
auth: {bearer: {env: CRM_TOKEN}}
steps:
- {name: a, get: /a, save: {u: "${{ .response.body.u }}"}}
- {name: b, put: "${{ .saved.u }}", json: {}}`
	v, err := mustCompile(t, "", "url: https://h\nallow_hosts: [a.example, '*.b.example']"+steps).Preview(input())
	if err != nil {
		t.Fatal(err)
	}
	const note = "a URL of h itself, or of allow_hosts (a.example, *.b.example) at public addresses, without the target's auth and headers"
	if v[0].Hosts != "" || v[1].URL != "<saved.u>" || v[1].Hosts != note || v[1].Header["Authorization"] != "" {
		t.Errorf("%+v", v)
	}
	v, err = mustCompile(t, "", "url: https://h\nallow_hosts: []"+steps).Preview(input())
	if err != nil || v[1].URL != "<saved.u>" || v[1].Hosts != "" || v[1].Header["Authorization"] != "Bearer ***" {
		t.Errorf("%v %+v", err, v)
	}
}
