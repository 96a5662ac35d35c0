package target

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// compare holds a preview against the call that a backend received.
func compare(t *testing.T, server string, v Preview, got call, secrets ...string) {
	t.Helper()
	if v.Method != got.Method || strings.TrimPrefix(v.URL, server) != got.URI || v.Body != got.Body {
		t.Errorf("explained %s %s %s\nsent      %s %s %s", v.Method, v.URL, v.Body, got.Method, got.URI, got.Body)
	}
	for name, values := range got.Header {
		switch name {
		case "Content-Length", "Accept-Encoding": // of the connection
			continue
		}
		want := values[0]
		for _, s := range secrets {
			want = strings.ReplaceAll(want, s, "***")
		}
		if v.Header[name] != want {
			t.Errorf("%s explained as %q, sent %q", name, v.Header[name], want)
		}
		delete(v.Header, name)
	}
	if len(v.Header) > 0 {
		t.Errorf("explained, but not sent: %v", v.Header)
	}
}

func TestPreviewIsWhatIsSent(t *testing.T) {
	t.Setenv("CRM_TOKEN", "pw")
	for name, yaml := range map[string]string{
		"one call": "url: ${URL}/v1\nput: /contacts/${{ .params.id }}?e=${{ .payload.email }}\nauth: {bearer: {env: CRM_TOKEN}}\nheaders: {X-A: \"${{ .tenant }}\"}",
		"mapped":   "url: ${URL}\npost: /x\nform: {n: \"${{ .payload.n }}\", t: \"${{ .tracking }}\"}\nauth: {header: {name: X-Key, value: {env: CRM_TOKEN}}}",
		"flow": "url: ${URL}\nsteps:\n- {name: a, post: /a, json: {x: \"${{ .payload.email }}\"}, save: {job: '${{ .response.body.id }}'}}\n" +
			"- {name: b, get: '/${{ .saved.job }}'}",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, says(200, `{"id":1}`))
			p := mustCompile(t, b.URL, yaml)
			in := input()
			previews, err := p.Preview(in)
			if err != nil {
				t.Fatal(err)
			}
			if len(b.seen()) != 0 {
				t.Fatal("a preview was sent")
			}
			newEngine(t).Run(t.Context(), p, in)
			compare(t, b.URL, previews[0], b.seen()[0], "pw")
		})
	}
}

func TestPreviewMasksSecrets(t *testing.T) {
	t.Setenv("CRM_TOKEN", "pw")
	for yaml, want := range map[string]string{
		"auth: {bearer: {env: CRM_TOKEN}}":                                                                              "Authorization: Bearer ***",
		"auth: {bearer: {env: CRM_NOT_SET}}":                                                                            "Authorization: Bearer ***",
		"auth: {basic: {user: u, password: {env: CRM_TOKEN}}}":                                                          "Authorization: Basic ***",
		"auth: {header: {name: X-Key, value: {env: CRM_TOKEN}}}":                                                        "X-Key: ***",
		"auth: {query: {name: key, value: {env: CRM_TOKEN}}}":                                                           "http://h/x?key=***",
		"auth: {hmac: {header: X-S, secret: {env: CRM_TOKEN}, prefix: \"sha256=\"}}":                                    "X-S: sha256=***",
		"auth: {webhook: {secret: {env: CRM_NOT_SET}}}":                                                                 "Webhook-Signature: v1,***",
		"auth: {oauth2: {token_url: http://t, client_id: a, client_secret: {env: CRM_TOKEN}}}":                          "Authorization: Bearer ***",
		"auth: {oauth2: {token_url: http://t, client_id: a, client_secret: {env: CRM_NOT_SET}, header_prefix: \"t=\"}}": "Authorization: t=***",
		"auth: none": "http://h/x",
	} {
		previews, err := mustCompile(t, "", "url: http://h\npost: /x\n"+yaml).Preview(input())
		if err != nil {
			t.Fatal(err)
		}
		v := previews[0]
		text := v.URL
		for name, value := range v.Header {
			text += "\n" + name + ": " + value
		}
		if !strings.Contains(text, want) || strings.Contains(fmt.Sprint(previews), "pw") {
			t.Errorf("%s: %s", yaml, text)
		}
	}
}

func TestPreviewOfLaterSteps(t *testing.T) {
	p := mustCompile(t, "", `
url: http://h
steps:
- {name: a, post: /a, save: {job: "${{ .response.body.id }}", n: "${{ .response.body.n }}"}}
- {name: b, put: "/b/${{ .saved.job }}", json: {job: "${{ .saved.job }}"}}
- {name: c, put: "/c/${{ .saved.n + 1 }}", json: {}}
- name: d
  get: ${{ "/d/" + .saved.job }}
  until: {state: "${{ .response.body.s }}", running: [r], succeeded: [ok], failed: [bad, worse]}
`)
	v, err := p.Preview(input())
	if err != nil {
		t.Fatal(err)
	}
	if v[0].Unknown != nil || v[0].Until != "" {
		t.Errorf("%+v", v[0])
	}
	if v[1].URL != "http://h/b/<saved.job>" || v[1].Body != `{"job":"<saved.job>"}` || !slices.Equal(v[1].Unknown, []string{".saved.job"}) {
		t.Errorf("%+v", v[1])
	}
	if v[2].URL != "http://h/c/${{ .saved.n + 1 }}" || !slices.Equal(v[2].Unknown, []string{".saved.n"}) {
		t.Errorf("%+v", v[2])
	}
	if v[3].URL != "http://h/d/<saved.job>" || !strings.Contains(v[3].Until, "ok (succeeded), bad, worse (failed)") || !strings.Contains(v[3].Until, "24h") {
		t.Errorf("%+v", v[3])
	}
	in := input()
	in.Delivery.Saved = map[string]json.RawMessage{"job": json.RawMessage(`"j/7"`)}
	if v, err = p.Preview(in); err != nil || v[1].URL != "http://h/b/j%2F7" || v[1].Unknown != nil {
		t.Errorf("%v %+v", err, v[1])
	}
	if _, err := mustCompile(t, "", "url: http://h\npost: /${{ .payload.no }}").Preview(input()); err == nil {
		t.Error("a mapping that fails is not told")
	}
}

// A batch is shown with one record, as it would be sent.
func TestPreviewOfABatch(t *testing.T) {
	for text, want := range map[string]string{
		`{url: "${URL}", batch: {}, post: /rows}`:                                                                                    `[{"n":1.10}]`,
		`{url: "${URL}", batch: {linger: 5s}, put: /rows, json: {rows: "${{ .records }}"}}`:                                          `{"rows":[{"n":1.10}]}`,
		`{url: "${URL}", batch: {}, put: /rows, raw: "${{ .records | length }} of ${{ .tracking }}"}`:                                `1 of trk_x`,
		`{url: "${URL}", batch: {}, put: /rows, json: {rows: "${{ [.records, .keys] | transpose | map({row: .[0], key: .[1]}) }}"}}`: `{"rows":[{"key":"trk_x:crm","row":{"n":1.10}}]}`,
	} {
		p := mustCompile(t, "https://x.example", text)
		views, err := p.Preview(Input{Tracking: "trk_x", Payload: []byte(`{"n":1.10}`)})
		if err != nil || len(views) != 1 || views[0].Body != want {
			t.Errorf("%s: %+v, %v; want the body %s", text, views, err, want)
		}
	}
}

// The calls beside the steps are shown where they are made, with what is not known in its place.
func TestPreviewOfCallsBesideTheSteps(t *testing.T) {
	p := mustCompile(t, "http://h", `
url: ${URL}
auth: {bearer: {env: CRM_TOKEN}}
setup:
- {name: login, get: "http://login/id", save: {base: "${{ .response.body.base }}", list: "${{ .response.body.list }}"}, ttl: 12h}
allow_hosts: []
steps:
- name: create
  post: /lists/${{ .setup.list }}
  json: {name: "${{ .tracking }}"}
  save: {id: "${{ .response.body.id }}"}
  reconcile: {get: "/lists?name=${{ .tracking }}", found: "${{ .response.body | length > 0 }}", save: {id: "${{ .response.body[0].id }}"}}
- {name: send, put: "${{ .setup.base + \"/x\" }}", json: {id: "${{ .saved.id }}"}}
finally:
- {name: remove, delete: "/lists/${{ .saved.id }}?${{ .state }}"}
- {name: always, when: "${{ .state != \"failed\" }}", post: /done, json: {state: "${{ .state }}"}}
`)
	previews, err := p.Preview(input())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range previews {
		got = append(got, strings.Join([]string{v.Kind, v.Step, v.About, v.When, v.Method, v.URL, v.Body, strings.Join(v.Unknown, " "), v.Header["Authorization"], v.Header["Idempotency-Key"]}, "|"))
	}
	want := []string{
		"setup|login|made once in 12h, for all workers||GET|http://login/id|||Bearer ***|",
		"reconcile|create|made first when an earlier try may have got through; unless it did, the call follows||GET|http://h/lists?name=trk_1||.setup.base .setup.list|Bearer ***|",
		`step|create|||POST|http://h/lists/<setup.list>|{"name":"trk_1"}|.setup.base .setup.list|Bearer ***|trk_1:crm:create`,
		`step|send|||PUT|<setup.base>/x|{"id":"<saved.id>"}|.setup.base .setup.list .saved.id|Bearer ***|trk_1:crm:send`,
		"finally|remove|made after the end, unless it is unknown||DELETE|http://h/lists/<saved.id>?<state>||.state .saved.id|Bearer ***|trk_1:crm:remove",
		`finally|always|made after the end|${{ .state != "failed" }}|POST|http://h/done|{"state":"<state>"}|.state|Bearer ***|trk_1:crm:always`,
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			break
		}
	}
}
