package target

import (
	"headgate/config/unit"
	"headgate/config/yamlsrc"
)

// ResultLists are the lists that tell what came of single records: written as one mapping
// or as a list of them.
type ResultLists []Rejects

// DecodeYAML implements yamlsrc.Decoder.
func (l *ResultLists) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	if n.Kind == yamlsrc.Map {
		*l = make(ResultLists, 1)
		n.Decode(&(*l)[0], report)
		return
	}
	type plain ResultLists
	n.Decode((*plain)(l), report)
}

// Rejects says how to read one list, what its items mean and which record each is about.
type Rejects struct {
	When      string `yaml:"when" jsonschema_description:"Condition on the last answer: is this list needed? Default: always."`
	Always    bool   `yaml:"always" jsonschema_description:"Read the list after a job that ended succeeded, too: for backends whose job does not tell whether records were refused."`
	Get       string `yaml:"get" jsonschema_description:"GET this path, appended to url; its expressions see .response, the last answer of the poll, and one that is a single expression may give a whole URL, as for other calls. Without get the list is in the last answer."`
	Format    string `yaml:"format" jsonschema:"enum=json,enum=ndjson,enum=csv,enum=zip,enum=tar.gz" jsonschema_description:"How the answer is written, whatever it says of itself. json (default), ndjson: .response.body is the list of the lines. csv: the list of the rows, objects by the names in the first line, all values strings. zip, tar.gz: the list of the files, as {name, content}. An answer that is compressed with gzip once more is read, too."`
	Files     string `yaml:"files" jsonschema:"enum=json,enum=ndjson,enum=csv" jsonschema_description:"How the files in a zip or tar.gz are written. Default json."`
	Delimiter string `yaml:"delimiter" jsonschema_description:"The character between the cells of a CSV. Default: a comma."`
	// MaxResponse bounds what is held at a time.
	MaxResponse unit.Size `yaml:"max_response" jsonschema_description:"Largest answer of this list's own call that is read, decompressed, its archive as well as its files. What is larger counts as unreadable. Default 32MB."`

	Items    string         `yaml:"items,required" jsonschema:"required" jsonschema_description:"Expression that gives the list of items in .response.body."`
	Means    string         `yaml:"means" jsonschema:"enum=rejected,enum=warned,enum=succeeded,enum=retry" jsonschema_description:"What an item says of its record. rejected (default), warned and succeeded are its end. retry: it is sent again from the first step on, in a new batch, as retry says. With a list whose items mean succeeded, a record that no item of any list names is unknown; such lists are also read after a job ended succeeded."`
	Match    string         `yaml:"match" jsonschema_description:"Condition on .item: is it our record? Default: every item is, since a job has one record. In a batch index or key says which record is meant."`
	Index    string         `yaml:"index" jsonschema_description:"Expression on .item that gives the place of its record in the upload, the first being 0: a backend that counts from 1 needs .item.place - 1, and one that counts the lines of a CSV, with its header, .item.line - 2; text becomes a number with tonumber. A JSON pointer has it inside: ${{ .item.pointer | capture(\"/data/(?<i>[0-9]+)/\").i }}. For a batch: this or key."`
	Key      *RecordKey     `yaml:"key" jsonschema_description:"What an item and its record have in common, for a batch whose items name no place."`
	Reason   string         `yaml:"reason" jsonschema_description:"Expression on .item that gives the reason for a person."`
	Result   map[string]any `yaml:"result" jsonschema_description:"Values of .item shown in the tracking answer of its record, such as the backend's ID of it, besides those of the step's result."`
	Code     string         `yaml:"code" jsonschema_description:"Expression on .item that gives the backend's code for the reason."`
	Warnings []any          `yaml:"warnings" jsonschema_description:"Codes that are only warnings: the record was taken."`
	Classify []Class        `yaml:"classify" jsonschema_description:"What single items mean. The first whose condition holds counts, then warnings, then means."`
	Total    string         `yaml:"total" jsonschema_description:"Expression on the list's answer, .response, that gives how many items there should be. While fewer were read, records that no item names are unknown."`
	Count    string         `yaml:"count" jsonschema_description:"Expression on the last answer of the poll, .response, that gives how many records the list should name. Where it names more or fewer, records that no item names are unknown. Null: not told."`
	Page     *Page          `yaml:"page" jsonschema_description:"How to read page by page: by offset, by cursor, by next or by link. Default: one page."`
	MaxPages int            `yaml:"max_pages" jsonschema_description:"Most pages read. While there are more, records that no item names are unknown. Default 100."`
}

// Class says what some items of a list mean.
type Class struct {
	When string `yaml:"when,required" jsonschema:"required" jsonschema_description:"Condition on .item: the class is for such items."`
	As   string `yaml:"as,required" jsonschema:"required,enum=rejected,enum=warned,enum=succeeded,enum=retry" jsonschema_description:"What they say of their records, as for means."`
}

// RecordKey says how an item and a record are found to belong together.
type RecordKey struct {
	Item   string `yaml:"item,required" jsonschema:"required" jsonschema_description:"Expression on .item."`
	Record string `yaml:"record,required" jsonschema:"required" jsonschema_description:"Expression on .record, which is the record's payload, and on .key, which names its delivery. Records with the same value share their items; where a list means succeeded, and there is one item for each of them, each has one."`
}

// Page says how a list goes on: by offset, or else by what an answer says of the next page.
type Page struct {
	Limit       int    `yaml:"limit" jsonschema_description:"By offset: items a page. Default 1000."`
	LimitParam  string `yaml:"limit_param" jsonschema_description:"By offset: query parameter for the limit. Default limit."`
	OffsetParam string `yaml:"offset_param" jsonschema_description:"By offset: query parameter for the number of items to pass over. Default offset."`
	More        string `yaml:"more" jsonschema_description:"By offset: condition on .response: is there another page? Default: the page was full."`
	Cursor      string `yaml:"cursor" jsonschema_description:"By cursor: expression on .response that gives what stands for the next page; null or empty: there is none."`
	Param       string `yaml:"param" jsonschema_description:"By cursor: query parameter for it. Default cursor."`
	Next        string `yaml:"next" jsonschema_description:"By link: expression on .response that gives the URL of the next page, whole or relative to this page's; null or empty: there is none. It leads to the host of url or of allow_hosts."`
	Link        bool   `yaml:"link" jsonschema_description:"By link: the answer's header Link gives it, as rel=next. Default false."`
}

// DecodeYAML implements yamlsrc.Decoder: it sets the defaults first.
func (r *Rejects) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	*r = Rejects{Format: "json", Files: "json", Delimiter: ",", MaxResponse: 32 << 20, Means: "rejected", MaxPages: 100}
	type plain Rejects
	n.Decode((*plain)(r), report)
}

// DecodeYAML implements yamlsrc.Decoder: it sets the defaults first.
func (p *Page) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	*p = Page{Limit: 1000, LimitParam: "limit", OffsetParam: "offset", Param: "cursor"}
	type plain Page
	n.Decode((*plain)(p), report)
}
