package target

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"headgate/config/unit"
	"headgate/config/yamlsrc"
	"headgate/dispatch/encode"
	"headgate/dispatch/tracking"
)

// meanings are the words for what an item says of its record.
var meanings = map[string]tracking.State{
	"rejected": tracking.Rejected, "warned": tracking.Warned, "succeeded": tracking.Succeeded, "retry": tracking.Retrying,
}

const meaningHint = "write rejected, warned, succeeded or retry"

// lists compiles the lists of results of a call.
func (c *compiler) lists(call *yamlsrc.Node, spec *Call) (out []*rejects) {
	n := call.Get("rejects")
	if n == nil {
		return nil
	}
	nodes := []*yamlsrc.Node{n}
	if n.Kind != yamlsrc.Map {
		nodes = n.Items
	}
	if len(nodes) == 0 && (n.Kind == yamlsrc.Null || n.Kind == yamlsrc.Seq) {
		c.problem(n, "write {items: …}, or leave the key out", "rejects is empty")
	}
	if len(nodes) != len(spec.Rejects) {
		return nil // reported as no list
	}
	for i, at := range nodes {
		if at.Kind != yamlsrc.Map {
			continue // reported
		}
		r := c.rejects(at, &spec.Rejects[i])
		if spec.Until == nil && r.Always {
			c.problem(at.Get("always"), "leave it out, or add until", "without until the list is always read")
		}
		if spec.Until == nil && r.path != nil {
			// Were the list not to be had, nothing could be done but to send everything again.
			c.problem(at, "add until, which says when the backend's job is over, or leave get out", "rejects.get needs until")
		}
		out = append(out, r)
	}
	return out
}

func (c *compiler) rejects(n *yamlsrc.Node, spec *Rejects) *rejects {
	r := &rejects{Rejects: *spec, means: meanings[spec.Means], warnings: map[string]bool{}}
	if _, ok := meanings[spec.Means]; !ok {
		c.problem(find(n, "means"), meaningHint, "an item cannot mean %q", spec.Means)
	}
	r.when = c.condition(n.Get("when"), c.roots.answer)
	if get := n.Get("get"); get != nil {
		r.path = c.path(get, c.roots.answer)
	}
	c.format(n, r)
	r.items = c.expression(n.Get("items"), c.roots.answer)
	r.total = c.expression(n.Get("total"), c.roots.answer)
	r.count = c.expression(n.Get("count"), c.roots.answer)
	r.reason = c.expression(n.Get("reason"), c.roots.item)
	r.code = c.expression(n.Get("code"), c.roots.item)
	for _, e := range entries(n.Get("result")) {
		r.result = append(r.result, named{e.Key, c.value(e.Value, c.roots.item)})
	}
	r.match = c.condition(n.Get("match"), c.roots.item)
	c.correlation(n, r)
	c.pages(n, r)
	c.classes(n, r)
	if list := n.Get("warnings"); list != nil {
		for _, item := range list.Items {
			code, ok := textOf(item.Value())
			if !ok {
				c.problem(item, "write a code, such as ELQ-00040", "a warning is the code of a reason")
			}
			r.warnings[code] = true
		}
		if r.code == nil && len(list.Items) > 0 {
			c.problem(list, "add code: ${{ .item.… }}", "warnings are codes, but code does not say where they are")
		}
	}
	return r
}

// maxResults bounds the answers of lists, as maxMaxResponse does others.
const maxResults unit.Size = 256 << 20

// format compiles how the answer of a list is read.
func (c *compiler) format(n *yamlsrc.Node, r *rejects) {
	archive := r.Format == "zip" || r.Format == "tar.gz"
	table := r.Format == "csv" || archive && r.Files == "csv"
	comma, _ := utf8.DecodeRuneInString(r.Delimiter)
	switch {
	case !slices.Contains([]string{"json", "ndjson", "csv", "zip", "tar.gz"}, r.Format):
		c.problem(find(n, "format"), "write json, ndjson, csv, zip or tar.gz", "%q is no format of a list", r.Format)
	case !slices.Contains([]string{"json", "ndjson", "csv"}, r.Files):
		c.problem(find(n, "files"), "write json, ndjson or csv", "files cannot be written as %q", r.Files)
	case n.Get("files") != nil && !archive:
		c.problem(n.Get("files"), "leave it out, or write format: zip", "files says how those in an archive are written, and this is none")
	case n.Get("delimiter") != nil && !table:
		c.problem(n.Get("delimiter"), "leave it out, or write format: csv", "only a CSV has a delimiter")
	case !encode.ValidDelimiter(r.Delimiter):
		c.problem(find(n, "delimiter"), `write one character, such as ";" or "\t"`, "%q cannot stand between cells", r.Delimiter)
	}
	if r.MaxResponse < 1 || r.MaxResponse > maxResults {
		c.problem(find(n, "max_response"), "write a size such as 32MB", "max_response should be more than 0 and at most %s", maxResults)
	}
	r.decode = decoderOf(r.Format, r.Files, comma)
}

// pageKeys are the keys of each way to read page by page.
var pageKeys = map[string]string{
	"limit": "offset", "limit_param": "offset", "offset_param": "offset", "more": "offset",
	"cursor": "cursor", "param": "cursor", "next": "next", "link": "link",
}

// pages compiles how a list goes on.
func (c *compiler) pages(n *yamlsrc.Node, r *rejects) {
	c.atLeastOne(r.MaxPages, n, "max_pages")
	at := n.Get("page")
	if r.Page == nil {
		return
	}
	if r.path == nil {
		c.problem(at, "add get, or leave page out", "the last answer has no other page")
		return
	}
	way := ""
	for _, e := range at.Entries {
		switch own := pageKeys[e.Key]; {
		case own == "": // reported as unknown
		case way == "":
			way = own
		case own != way:
			c.report.Addf(e.KeyPos, e.Value.Path, "keep one of them: by offset, cursor, next or link", "a list is read by %s, or by %s", way, own)
		}
	}
	if way == "cursor" && at.Get("cursor") == nil {
		c.problem(at, "add cursor: ${{ .response.body.… }}", "where the cursor is is not said")
	}
	r.more = c.condition(at.Get("more"), c.roots.answer)
	r.cursor = c.expression(at.Get("cursor"), c.roots.answer)
	r.following = c.expression(at.Get("next"), c.roots.answer)
	if r.linked() {
		c.expressionURL = true // whose host is looked at for each page
	}
	c.atLeastOne(r.Page.Limit, n, "page", "limit")
	for key, param := range map[string]struct{ name, usual string }{
		"limit_param": {r.Page.LimitParam, "limit"}, "offset_param": {r.Page.OffsetParam, "offset"}, "param": {r.Page.Param, "cursor"},
	} {
		if param.name == "" {
			c.problem(find(n, "page", key), fmt.Sprintf("leave it out for %q", param.usual), "%s is empty", key)
		}
	}
}

// classes compiles what single items mean.
func (c *compiler) classes(n *yamlsrc.Node, r *rejects) {
	at := n.Get("classify")
	if at == nil || at.Kind != yamlsrc.Seq || len(at.Items) != len(r.Classify) {
		return // reported, or left out
	}
	for i, item := range at.Items {
		as, ok := meanings[r.Classify[i].As]
		if !ok && item.Get("as") != nil {
			c.problem(item.Get("as"), meaningHint, "an item cannot mean %q", r.Classify[i].As)
		}
		r.classes = append(r.classes, class{c.condition(item.Get("when"), c.roots.item), as})
	}
}

// recordRoots are what the key of a record is made of.
var recordRoots = []string{"record", "key"}

// correlation compiles which record an item means.
func (c *compiler) correlation(n *yamlsrc.Node, r *rejects) {
	index, key := n.Get("index"), n.Get("key")
	if c.spec.Batch == nil {
		for _, at := range []*yamlsrc.Node{index, key} {
			if at != nil {
				c.problem(at, "use match, a condition on .item, or add batch", "without batch there is one record, and no other to tell it from")
			}
		}
		return
	}
	switch {
	case r.match != nil:
		c.problem(n.Get("match"), "use index or key", "match cannot tell the records of a batch apart")
	case index == nil && key == nil:
		c.problem(n, "add index: ${{ .item.… }}, or key: {item: ${{ .item.… }}, record: ${{ .record.… }}}", "which record of the batch an item means is not said")
	case index != nil && key != nil:
		c.problem(key, "keep one of them", "index and key are two ways to say the same")
	}
	r.index = c.expression(index, c.roots.item)
	r.itemKey = c.expression(key.Get("item"), c.roots.item)
	r.recordKey = c.expression(key.Get("record"), recordRoots)
}
