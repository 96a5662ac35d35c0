package encode

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// CSV writes a list of objects as lines of cells (RFC 4180), the first of which names
// the columns. The zero value separates with commas and ends lines with LF.
//
// encoding/csv is not used for it: with CRLF it changes the line breaks within cells.
type CSV struct {
	Columns      []string // empty: all keys of all records, in order of first appearance
	Missing      string   // text for a key that a record does not have
	Null         string   // text for null
	Delimiter    string   // one character; empty: a comma
	CRLF         bool     // lines end with CRLF
	FormulaGuard bool     // a ' before strings that a spreadsheet would take for a formula
}

// ValidDelimiter reports whether s can stand between cells.
func ValidDelimiter(s string) bool {
	r, size := utf8.DecodeRuneInString(s)
	return size > 0 && size == len(s) && r != utf8.RuneError && r != 0 && !strings.ContainsRune("\"\r\n", r)
}

// Name implements Encoder.
func (CSV) Name() string { return "csv" }

// ContentType implements Encoder.
func (CSV) ContentType() string { return "text/csv; charset=utf-8" }

// Encode takes a list of objects. Numbers keep their digits; lists and objects within a
// record are written as JSON. Keys that first appear in the same record are in
// alphabetical order, since objects have none of their own.
func (c CSV) Encode(v any) ([]byte, error) {
	items, err := listOf(v)
	if err != nil {
		return nil, fmt.Errorf("encode csv: %w", err)
	}
	union := &Union{}
	records := make([]any, len(items))
	for i, item := range items {
		record, err := recordOf(item, i+1)
		if err != nil {
			return nil, err
		}
		if len(c.Columns) == 0 {
			union.add(record)
		}
		records[i] = record
	}
	w := c.list(union)
	dst := w.Open([]byte{})
	start := len(dst)
	for i, record := range records {
		dst = reserve(dst, start, i, len(records))
		if dst, err = w.Item(dst, record); err != nil {
			return nil, err
		}
	}
	return w.Close(dst), nil
}

// recordOf gives the n-th item of a list as an object.
func recordOf(item any, n int) (map[string]any, error) {
	item, err := decodeRaw(item)
	if err != nil {
		return nil, fmt.Errorf("encode csv: record %d: %w", n, err)
	}
	record, ok := item.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("encode csv: %w", unwritable("record %d is %s, not an object", n, describe(item)))
	}
	return record, nil
}

// Union collects the keys of records in order of first appearance. The zero value has none.
type Union struct {
	columns []string
	seen    map[string]bool
	records int
}

// Add takes the keys of the next record.
func (u *Union) Add(item any) error {
	record, err := recordOf(item, u.records+1)
	if err == nil {
		u.add(record)
	}
	return err
}

func (u *Union) add(record map[string]any) {
	if u.seen == nil {
		u.seen = map[string]bool{}
	}
	u.records++
	before := len(u.columns)
	for key := range record {
		if !u.seen[key] {
			u.seen[key] = true
			u.columns = append(u.columns, key)
		}
	}
	slices.Sort(u.columns[before:])
}

// guarded keeps a spreadsheet from running a cell. The characters are those of OWASP's
// page on CSV injection.
func guarded(text string) string {
	if text != "" && strings.IndexByte("=+-@\t\r", text[0]) >= 0 {
		return "'" + text
	}
	return text
}

// List writes records one at a time. union holds the keys of all of them; it is looked at
// only when c has no columns.
func (c CSV) List(union *Union) List { return c.list(union) }

// csvWriter writes one body.
type csvWriter struct {
	CSV
	columns []string
	dst     []byte
	scratch []byte // the text of a number, or of nested JSON
	end     string
	alone   bool // there is one column: an empty cell would make an empty line
	guard   bool // the names of the columns are data; those from the file are meant as they are
	written int  // records
}

func (c CSV) list(union *Union) *csvWriter {
	w := &csvWriter{CSV: c, columns: c.Columns, end: "\n"}
	if len(c.Columns) == 0 {
		w.columns, w.guard = union.columns, c.FormulaGuard
	}
	w.Delimiter, w.alone = cmp.Or(c.Delimiter, ","), len(w.columns) == 1
	if c.CRLF {
		w.end = "\r\n"
	}
	return w
}

// Open writes the line with the names of the columns.
func (w *csvWriter) Open(dst []byte) []byte {
	if len(w.columns) == 0 {
		return dst
	}
	w.dst = dst
	for i, name := range w.columns {
		if w.guard {
			name = guarded(name)
		}
		w.field(name, i == 0)
	}
	w.line()
	return w.dst
}

// Item writes a record.
func (w *csvWriter) Item(dst []byte, item any) ([]byte, error) {
	w.written++
	record, err := recordOf(item, w.written)
	if err != nil {
		return nil, err
	}
	if len(w.columns) == 0 { // the lines would be empty, and readers pass over those
		return nil, fmt.Errorf("encode csv: %w", unwritable("no record has a key, so there are no columns"))
	}
	w.dst = dst
	if err := w.record(record); err != nil {
		return nil, fmt.Errorf("encode csv: record %d: %w", w.written, err)
	}
	return w.dst, nil
}

// Close writes nothing.
func (w *csvWriter) Close(dst []byte) []byte { return dst }

func (w *csvWriter) line() { w.dst = append(w.dst, w.end...) }

func (w *csvWriter) record(record map[string]any) error {
	for i, name := range w.columns {
		v, ok := record[name]
		if !ok {
			w.field(w.Missing, i == 0)
			continue
		}
		v, err := decodeRaw(v)
		if err != nil {
			return err
		}
		switch v := v.(type) {
		case nil:
			w.field(w.Null, i == 0)
		case string:
			if w.FormulaGuard {
				v = guarded(v)
			}
			w.field(v, i == 0)
		default:
			if w.scratch, err = AppendJSON(w.scratch[:0], v); err != nil {
				return fmt.Errorf("column %.60q: %w", name, err)
			}
			w.begin(i == 0)
			w.dst = appendField(w.dst, w.scratch, w.Delimiter[0], w.alone)
		}
	}
	w.line()
	return nil
}

func (w *csvWriter) field(text string, first bool) {
	w.begin(first)
	w.dst = appendField(w.dst, text, w.Delimiter[0], w.alone)
}

func (w *csvWriter) begin(first bool) {
	if !first {
		w.dst = append(w.dst, w.Delimiter...)
	}
}

// appendField quotes what would be read differently without: the delimiter, known by its
// first byte, quotes, line breaks, and white space at an end, which some readers trim.
func appendField[T string | []byte](dst []byte, text T, delimiter byte, alone bool) []byte {
	n := len(text)
	quote := n == 0 && alone || n > 0 && (isBlank(text[0]) || isBlank(text[n-1]))
	for i := 0; i < n && !quote; i++ {
		c := text[i]
		quote = c == delimiter || c == '"' || c == '\n' || c == '\r'
	}
	if !quote {
		return append(dst, text...)
	}
	dst = append(dst, '"')
	for i := range n {
		if text[i] == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, text[i])
	}
	return append(dst, '"')
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }
