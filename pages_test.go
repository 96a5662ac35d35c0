package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What the tests ask of every Markdown file of the repository:
//
//   - ```yaml is a file of Headgate's or a part of one, told by its keys or by a word
//     behind `yaml` (see wraps), and is checked. Where the paragraph before ends with a
//     file's name in backquotes, the block is that file of the page's commands.
//   - ```sh is run, page by page, in one shell and one folder, with a real binary, real
//     Redis and the simulated backends. `<!-- folder: examples/x -->` on the page makes
//     the folder a copy of that one. A ```text behind it is all that is printed: `…` stands
//     for any text of a line, and alone on a line for any lines. `trk_…` among the commands
//     is the last tracking ID that was printed. `<!-- exits 1 -->` before the block is for
//     one whose last command fails. `<!-- not run: why -->` leaves it at a look at
//     its command lines; blocks of tools like kubectl need no such comment, and the pages of
//     some folders are looked at only (see lookedAt).
//   - ```json parses. Links and their anchors lead somewhere. Commands of headgate in prose
//     exist with the flags that they are shown with, and so do metrics.
//   - `<!-- not checked: why -->` before a block leaves it alone.

// languages are those that a block may say it is in. One without any is a drawing or a
// text, and must have no command of headgate in it.
var languages = []string{"", "go", "http", "json", "mermaid", "sh", "text", "yaml"}

func TestPagesBlocks(t *testing.T) {
	pages := readPages(t)
	setVariables(t, pages)
	for _, p := range pages {
		for _, b := range p.blocks {
			t.Run(fmt.Sprintf("%s:%d", p.path, b.line), func(t *testing.T) {
				t.Parallel()
				if reason, marked := b.told("not checked"); marked {
					if reason == "" {
						t.Error("<!-- not checked --> gives no reason")
					}
					return
				}
				for _, err := range checkBlock(t, b) {
					t.Error(err)
				}
			})
		}
	}
}

func checkBlock(t *testing.T, b *block) []error {
	switch {
	case !slices.Contains(languages, b.lang):
		return []error{fmt.Errorf("the tests know nothing of %q; they know %q", b.lang, languages)}
	case b.lang == "" && regexp.MustCompile(`(?m)^(\$ |headgate |\./headgate |curl )`).MatchString(b.text):
		return []error{fmt.Errorf("commands belong into a block of sh, usage into one of text")}
	case b.lang == "yaml":
		if err := checkYAML(t, b); err != nil {
			return []error{err}
		}
	case b.lang == "json" && !json.Valid([]byte(b.text)):
		return []error{fmt.Errorf("this is no JSON: %s", b.text)}
	case b.lang == "sh":
		_, errs := parseScript(b.text)
		return errs
	}
	return nil
}

func TestPagesNameCommandsThatExist(t *testing.T) {
	seen := 0
	for _, p := range readPages(t) {
		if p.path == "CHANGELOG.md" {
			continue // it tells of what was
		}
		for _, span := range p.spans {
			args := strings.Fields(span.text)
			if len(args) < 2 || !isHeadgate(args[0]) || regexp.MustCompile(`^[A-Z<{…]`).MatchString(args[1]) {
				continue
			}
			seen++
			if err := checkFlags(args[1:]); err != nil {
				t.Errorf("%s:%d: `%s`: %v", p.path, span.line, span.text, err)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d commands seen", seen)
	}
}

// metric is the name of one of ours, whole: histograms have more behind it.
var metric = regexp.MustCompile(`\bheadgate_[a-z_]+[a-z]\b`)

func TestPagesNameMetricsThatExist(t *testing.T) {
	known, err := os.ReadFile("docs/reference/metrics.md") // a test holds it to the code
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, p := range readPages(t) {
		if p.path == "CHANGELOG.md" {
			continue // it tells of what was
		}
		for _, span := range p.spans {
			name := metric.FindString(span.text)
			if name == "" {
				continue
			}
			seen++
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				name = strings.TrimSuffix(name, suffix)
			}
			if !strings.Contains(string(known), "| `"+name+"` |") {
				t.Errorf("%s:%d: there is no metric %s", p.path, span.line, name)
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d metrics seen", seen)
	}
}

func TestPagesLinks(t *testing.T) {
	pages := map[string]*page{}
	for _, p := range readPages(t) {
		pages[p.path] = p
	}
	seen := 0
	for _, p := range pages {
		for _, link := range p.links {
			u, err := url.Parse(link.text)
			if err != nil {
				t.Errorf("%s:%d: %v", p.path, link.line, err)
				continue
			}
			if u.Scheme != "" {
				if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
					t.Errorf("%s:%d: %s is no address of a page", p.path, link.line, link.text)
				}
				continue
			}
			seen++
			to := p.path
			if u.Path != "" {
				to = path.Join(path.Dir(p.path), u.Path)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s:%d: %s leads nowhere: there is no %s", p.path, link.line, link.text, to)
				continue
			}
			if u.Fragment != "" && (pages[to] == nil || !pages[to].anchors[u.Fragment]) {
				t.Errorf("%s:%d: %s leads nowhere: %s has no heading #%s", p.path, link.line, link.text, to, u.Fragment)
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d links within the repository seen", seen)
	}
}

// TestPagesAreOnTheMap: whoever begins at docs/README.md finds every page below docs.
func TestPagesAreOnTheMap(t *testing.T) {
	const start = "docs/README.md"
	pages := map[string]*page{}
	for _, p := range readPages(t) {
		pages[p.path] = p
	}
	reached, todo := map[string]bool{}, []string{start}
	for len(todo) > 0 {
		p := pages[todo[0]]
		todo = todo[1:]
		if p == nil || reached[p.path] {
			continue
		}
		reached[p.path] = true
		if p.path != start && path.Base(p.path) != "README.md" {
			continue // only maps are followed: a page is to be found at a glance
		}
		for _, link := range p.links {
			to := path.Join(path.Dir(p.path), strings.SplitN(link.text, "#", 2)[0])
			todo = append(todo, to, path.Join(to, "README.md"))
		}
	}
	for name := range pages {
		if strings.HasPrefix(name, "docs/") && !reached[name] {
			t.Errorf("no map leads from %s to %s", start, name)
		}
	}
}
