package main

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestPagesFaultsAreFound: a page that has gone wrong does not pass.
func TestPagesFaultsAreFound(t *testing.T) {
	t.Setenv("HEADGATE_ADMIN_TOKEN", strings.Repeat("x", 64))
	for _, c := range []struct{ name, page, want string }{
		{"language", "```ruby\nputs 1\n```", "ruby"},
		{"commands without a language", "```\n$ headgate check\n```", "block of sh"},
		{"json", "```json\n{,}\n```", "no JSON"},
		{"yaml of no kind", "```yaml\nspec: {}\n```", "do not tell what it is"},
		{"yaml that is none", "```yaml\na: [\n```", "a: ["},
		{"kind of yaml", "```yaml chart\na: 1\n```", `no kind "chart"`},
		{"key of a target", "```yaml\ntargets:\n  a: {url: https://a.example.com, post: /, retries: 3}\n```", "retries"},
		{"key of a part of a target", "```yaml target\nbatch: {max: 3}\n```", "max"},
		{"key of a route", "```yaml route\nidempotence: off\n```", "idempotence"},
		{"key of the operator's file", "```yaml\nredis: {uri: embedded}\n```", "uri"},
		{"key of a test", "```yaml\ntests: [{name: a, requests: {}}]\n```", "requests"},
		{"value of the chart", "```yaml values\nreplicas: 3\n```", "replicas"},
		{"value of the chart on the command line", "```sh\nhelm upgrade headgate deploy/helm/headgate --set config.redis.uri.x=1 --set nothing=1\n```", "nothing"},
		{"chart", "```sh\nhelm upgrade headgate deploy/helm/nothing\n```", "deploy/helm/nothing"},
		{"shell", "```sh\nif true; then\n```", "then"},
		{"command", "```sh\nheadgate chekc\n```", "chekc"},
		{"command below another", "```sh\nheadgate deadletters purge\n```", "deadletters"},
		{"flag", "```sh\n./headgate check --strict\n```", "--strict"},
		{"argument", "```sh\nheadgate tracking\n```", "one tracking ID"},
		{"command in another", "```sh\necho \"$(headgate token --subject x)\"\n```", "--subject"},
		{"make", "```sh\nmake everything\n```", "everything"},
		{"package", "```sh\ngo run ./bench/nothing\n```", "bench/nothing"},
		{"kubectl", "```sh\nkubectl -n x destroy pod\n```", "destroy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := parsePage("page.md", []byte(c.page+"\n"))
			if len(p.blocks) != 1 {
				t.Fatalf("%d blocks", len(p.blocks))
			}
			if err := errors.Join(checkBlock(t, p.blocks[0])...); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// TestPagesFaultsAreFoundByRunning: the same for what shows only when it is done.
func TestPagesFaultsAreFoundByRunning(t *testing.T) {
	t.Parallel()
	p := parsePage("page.md", []byte("```sh\necho trk_0123456789012345678901234; false || cd /\n```\n\n```text\ntrk_…\n```\n\n"+
		"```sh\necho two trk_…\n```\n\n```text\nthree trk_…\n```\n\n```sh\ntrue\nfalse\n```\n\n<!-- exits 1 -->\n```sh\ntrue\n```\n\n"+
		"```sh\nmake test && true\n```\n\n```sh\nkubectl get pod\ntrue\n```\n\n```sh\nexit 0\n```\n"))
	s := newSession(t, p)
	commands := slices.DeleteFunc(slices.Clone(p.blocks), func(b *block) bool { return b.lang != "sh" })
	for i, want := range []string{
		"", "two trk_0123456789012345678901234\nand the page says\nthree", "exit code 1", "exit code 0", "exit code 2", "tests do not run kubectl", "ends the shell",
	} {
		b := commands[i]
		if err := s.block(b); err == nil != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", b.text, err, want)
		}
	}
	if s.cwd != "/" {
		t.Errorf("the shell is in %s", s.cwd)
	}
}

func TestPagesOutputIsCompared(t *testing.T) {
	const printed = "one\ntwo 3.5s\nthree"
	for text, want := range map[string]bool{
		"one\ntwo 3.5s\nthree\n": true,
		"one\ntwo …s\nthree":     true,
		"…\nthree":               true,
		"one\n…":                 true,
		"one\n…\nthree":          true,
		"…":                      true,
		"one":                    false,
		"two 3.5s\nthree":        false,
		"one\nthree":             false,
		"one\ntwo …m\nthree":     false,
		"one…\nthree":            false,
	} {
		if shown(text).MatchString(printed) != want {
			t.Errorf("%q matches %q: %v, want %v", printed, text, !want, want)
		}
	}
}

// TestPagesMarks: what a block is, and what is said of it, is found where people write it.
func TestPagesMarks(t *testing.T) {
	p := parsePage("page.md", []byte("# A `b`, c.\n\n## A b c\n\nIn `x` there is `routes/a.yaml`, [a link](x.md#y):\n\n```yaml routes\na: 1\n```\n\n"+
		"<!-- exits 1 -->\n```sh\nfalse\n```\n\nwhich prints\n\n```text\n1\n```\n"))
	if len(p.blocks) != 3 || len(p.links) != 1 || len(p.spans) != 3 {
		t.Fatalf("%d blocks, %d links, %d spans", len(p.blocks), len(p.links), len(p.spans))
	}
	yaml, sh := p.blocks[0], p.blocks[1]
	if yaml.file != "routes/a.yaml" || yaml.kind != "routes" || yaml.line != 7 {
		t.Errorf("the block of YAML is %+v", yaml)
	}
	if code, found := sh.told("exits"); !found || code != "1" || sh.shows != p.blocks[2] || runnable(yaml) || !runnable(sh) {
		t.Errorf("the block of commands is %+v", sh)
	}
	if !p.anchors["a-b-c"] || !p.anchors["a-b-c-1"] {
		t.Errorf("anchors %v", p.anchors)
	}
}
