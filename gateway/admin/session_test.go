package admin

import (
	"strings"
	"testing"
)

// TestCookieIsNotForOthers: what a browser sends by itself with a request that another
// site makes changes nothing; programs, who send the token, are not asked where they come
// from.
func TestCookieIsNotForOthers(t *testing.T) {
	s := whole(t)
	res, _ := ask(t, s, "POST", "/login", "token="+token, "Content-Type: application/x-www-form-urlencoded")
	if len(res.cookies) != 1 {
		t.Fatalf("no cookie: %d", res.status)
	}
	cookie := "Cookie: " + res.cookies[0].Name + "=" + res.cookies[0].Value
	changes := []struct{ method, path, body string }{
		{"POST", "/targets/crm/pause", ""}, {"POST", "/targets/crm/pause", "{}"}, {"PUT", "/loglevel", `{"level":"info"}`},
		{"POST", "/deadletters/trk_1/crm/replay", "{}"}, {"POST", "/deadletters/drop", `{"all":true}`}, {"POST", "/logout", ""},
	}
	for _, c := range changes {
		for origin, refused := range map[string]bool{
			"Origin: https://evil.example": true, "Origin: null": true, "Origin: http://admin.evil.example": true,
			"Sec-Fetch-Site: cross-site": true, "Sec-Fetch-Site: same-site": true,
			"Origin: http://admin": false, "Sec-Fetch-Site: same-origin": false, "Sec-Fetch-Site: none": false, "X-Nothing: 1": false,
		} {
			res, text := ask(t, s, c.method, c.path, c.body, jsonType, cookie, origin)
			if told := res.status == 403 && strings.Contains(text, "cross-origin"); told != refused || res.status > 403 {
				t.Errorf("%s %s by cookie, %s: %d %s", c.method, c.path, origin, res.status, text)
			}
			if res, text := ask(t, s, c.method, c.path, c.body, jsonType, bearer, cookie, origin); res.status >= 400 {
				t.Errorf("%s %s by token, %s: %d %s", c.method, c.path, origin, res.status, text)
			}
		}
	}
	// Looking is not changing, and its answer is not given to other sites' scripts.
	if res, _ := ask(t, s, "GET", "/targets", "", cookie, "Origin: https://evil.example"); res.status != 200 || res.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("looking: %d %v", res.status, res.header)
	}
}

// TestIndexLinksToWhatThereIs: and to nothing that is not there.
func TestIndexLinksToWhatThereIs(t *testing.T) {
	links := []string{"/asynqmon", "/targets", "/deadletters", "/metrics", "/readyz?verbose", "/livez", "/config", "/loglevel", "/debug/pprof/", "/openapi.json"}
	for name, s := range map[string]*Server{"whole": whole(t), "bare": start(t, func(o *Options) { *o = Options{Token: o.Token} })} {
		_, page := ask(t, s, "GET", "/", "", bearer)
		for _, link := range links {
			linked := strings.Contains(page, `href="`+link+`"`)
			res, _ := ask(t, s, "GET", link, "", bearer)
			if linked != (res.status == 200) || name == "whole" && !linked {
				t.Errorf("%s: %s is linked: %v, and answers %d", name, link, linked, res.status)
			}
		}
	}
}

func TestHealthIsOnlyRead(t *testing.T) {
	s := start(t, nil)
	for _, path := range []string{"/livez", "/readyz"} {
		if res, _ := ask(t, s, "POST", path, ""); res.status != 405 || res.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %d, Allow %s", path, res.status, res.header.Get("Allow"))
		}
		if res, _ := ask(t, s, "HEAD", path, ""); res.status != 200 {
			t.Errorf("HEAD %s: %d", path, res.status)
		}
	}
}
