package main

import (
	"fmt"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

// page is a Markdown file of the repository, as far as the tests look into it.
type page struct {
	path    string // slash-separated, from the root
	folder  string // of <!-- folder: … -->: what its commands run in a copy of
	blocks  []*block
	links   []reference
	spans   []reference // code within text
	anchors map[string]bool
}

// reference is something short in a page, with its line.
type reference struct {
	line int
	text string
}

// block is a fenced block of code.
type block struct {
	line int
	lang string // first word of the info string
	kind string // the rest of it
	text string
	file string // the file that it is, where the paragraph before it ends with a name in backquotes
	mark string // the comment right before it, without <!-- and -->
	// shows is what a block of commands prints, as the next block tells; nil: it does not.
	shows *block
}

func (b *block) String() string { return fmt.Sprintf("line %d (%s)", b.line, b.lang) }

// told gives what follows a word in the comment before the block, such as the reason of
// `<!-- not run: … -->`.
func (b *block) told(word string) (value string, found bool) {
	rest, found := strings.CutPrefix(b.mark, word)
	return strings.TrimSpace(strings.TrimPrefix(rest, ":")), found
}

// readPages reads every Markdown file of the module.
func readPages(t *testing.T) []*page {
	t.Helper()
	var pages []*page
	walk(t, func(p string) {
		if path.Ext(p) != ".md" {
			return
		}
		source, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, parsePage(p, source))
	})
	if len(pages) < 20 {
		t.Fatalf("only %d Markdown files found", len(pages))
	}
	return pages
}

func parsePage(name string, source []byte) *page {
	p := &page{path: name, anchors: map[string]bool{}}
	reader := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser()
	line := func(n ast.Node) int {
		for ; n != nil; n = n.Parent() {
			if n.Type() != ast.TypeInline && n.Lines().Len() > 0 {
				return 1 + strings.Count(string(source[:n.Lines().At(0).Start]), "\n")
			}
		}
		return 1
	}
	var last *block // the commands whose output may follow
	_ = ast.Walk(reader.Parse(text.NewReader(source)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			p.anchor(plain(n, source))
			last = nil
		case *ast.Link:
			p.links = append(p.links, reference{line(n), string(n.Destination)})
		case *ast.Image:
			p.links = append(p.links, reference{line(n), string(n.Destination)})
		case *ast.CodeSpan:
			p.spans = append(p.spans, reference{line(n), plain(n, source)})
		case *ast.HTMLBlock:
			if folder, found := strings.CutPrefix(comment(n, source), "folder:"); found {
				p.folder = strings.TrimSpace(folder)
			}
		case *ast.FencedCodeBlock:
			b := newBlock(n, source)
			b.line = line(n) - 1
			if b.lang == "text" && last != nil {
				last.shows = b
			}
			last = nil
			if b.lang == "sh" {
				last = b
			}
			p.blocks = append(p.blocks, b)
		}
		return ast.WalkContinue, nil
	}) // the walker returns no error
	return p
}

func newBlock(n *ast.FencedCodeBlock, source []byte) *block {
	b := &block{text: string(n.Lines().Value(source))}
	if n.Info != nil {
		lang, kind, _ := strings.Cut(string(n.Info.Value(source)), " ")
		b.lang, b.kind = lang, strings.TrimSpace(kind)
	}
	before := n.PreviousSibling()
	if html, ok := before.(*ast.HTMLBlock); ok {
		b.mark = comment(html, source)
		before = before.PreviousSibling()
	}
	if paragraph, ok := before.(*ast.Paragraph); ok {
		for c := paragraph.FirstChild(); c != nil; c = c.NextSibling() {
			if span, ok := c.(*ast.CodeSpan); ok {
				b.file = plain(span, source)
			}
		}
	}
	if !fileName.MatchString(b.file) {
		b.file = ""
	}
	return b
}

var fileName = regexp.MustCompile(`^[\w./-]+\.(yaml|json)$`)

// comment gives the text of an HTML comment; empty when it is other HTML.
func comment(n *ast.HTMLBlock, source []byte) string {
	whole := strings.TrimSpace(string(n.Lines().Value(source)))
	inner, ok := strings.CutPrefix(whole, "<!--")
	if !ok {
		return ""
	}
	return strings.TrimSpace(strings.TrimSuffix(inner, "-->"))
}

// plain gives the text of a node without its markup.
func plain(n ast.Node, source []byte) string {
	var out strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if t, ok := n.(*ast.Text); ok && entering {
			out.Write(t.Segment.Value(source))
			if t.SoftLineBreak() {
				out.WriteByte(' ')
			}
		}
		return ast.WalkContinue, nil
	}) // the walker returns no error
	return out.String()
}

// anchor notes a heading under the name by which forges link to it: in lower case,
// punctuation left out, blanks as dashes, and a number for one that is there already.
func (p *page) anchor(heading string) {
	name := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsNumber(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
	unique := name
	for i := 1; p.anchors[unique]; i++ {
		unique = fmt.Sprintf("%s-%d", name, i)
	}
	p.anchors[unique] = true
}
