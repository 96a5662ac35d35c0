package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseRedisURL(t *testing.T) {
	for text, want := range map[string]RedisURL{
		"redis://h":                      {Mode: Single, Addrs: []string{"h:6379"}},
		"redis://h:1/":                   {Mode: Single, Addrs: []string{"h:1"}},
		"redis://a%40b@h:1/2":            {Mode: Single, Addrs: []string{"h:1"}, DB: 2, User: "a@b"},
		"redis://[::1]/1":                {Mode: Single, Addrs: []string{"[::1]:6379"}, DB: 1},
		"redis://[::1]:7?db=4":           {Mode: Single, Addrs: []string{"[::1]:7"}, DB: 4},
		"rediss://h":                     {Mode: Single, Addrs: []string{"h:6379"}, TLS: true},
		"unix:///run/redis.sock?db=2":    {Mode: Unix, Addrs: []string{"/run/redis.sock"}, DB: 2},
		"redis+sentinel://a,b:1/main/3":  {Mode: Sentinel, Addrs: []string{"a:26379", "b:1"}, Master: "main", DB: 3},
		"rediss+sentinel://u@a/main":     {Mode: Sentinel, Addrs: []string{"a:26379"}, Master: "main", User: "u", TLS: true},
		"redis+cluster://a:1,b":          {Mode: Cluster, Addrs: []string{"a:1", "b:6379"}},
		"rediss+cluster://a/0":           {Mode: Cluster, Addrs: []string{"a:6379"}, TLS: true},
		"embedded":                       {Mode: Embedded},
		"redis+sentinel://[::1],[::2]/m": {Mode: Sentinel, Addrs: []string{"[::1]:26379", "[::2]:26379"}, Master: "m"},
	} {
		got, err := ParseRedisURL(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if again, err := ParseRedisURL(got.String()); err != nil || !reflect.DeepEqual(again, want) {
			t.Errorf("%s written as %s: %+v, %v", text, got, again, err)
		}
	}
}

func TestParseRedisURLErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "no scheme",
		"localhost:6379":            "no scheme",
		"http://h":                  "unknown",
		"redis://":                  "host is missing",
		"redis://:6379":             "host is missing",
		"redis://h:x":               "not a number",
		"redis://h:0":               "not a number",
		"redis://h/x":               "database",
		"redis://h/-1":              "database",
		"redis://a,b":               "several hosts",
		"redis://h?timeout=1":       `"timeout" is unknown`,
		"redis://h?password=s3cret": "password",
		"redis://u:s3cret@h":        "password",
		"redis://:s3@cret@h":        "password",
		"unix://run/redis":          "absolute",
		"unix://u:s3cret@/run/r":    "password",
		"redis+sentinel://h":        "master",
		"redis+cluster://h/1":       "no databases",
		"redis://%zz@h":             "percent",
	} {
		if _, err := ParseRedisURL(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
