package target

// CSV is the mapping form of csv.
type CSV struct {
	Rows    any    `yaml:"rows,required" jsonschema:"required,oneof_type=string;array" jsonschema_description:"Expression that gives a list of flat objects, or a list. Numbers keep their digits, booleans are true and false, lists and objects within a record are written as JSON."`
	Columns any    `yaml:"columns" jsonschema:"oneof_type=string;array" jsonschema_description:"The columns: a list of keys, others being left out, or union: the keys of all records in order of first appearance, those that first appear in the same record in alphabetical order. Default union."`
	Missing string `yaml:"missing" jsonschema_description:"Text for a key that a record does not have. Default: nothing."`
	Null    string `yaml:"null" jsonschema_description:"Text for null, such as #N/A. Default: nothing."`
	// LineEnding is lf or crlf.
	LineEnding   string `yaml:"line_ending" jsonschema:"enum=lf,enum=crlf" jsonschema_description:"How lines end: lf or crlf. Line breaks within cells stay as they are. Default lf."`
	Delimiter    string `yaml:"delimiter" jsonschema_description:"The character between cells. Default: a comma."`
	FormulaGuard bool   `yaml:"formula_guard" jsonschema_description:"Put a ' before strings that begin with =, +, -, @, tab or CR, which spreadsheets take for formulas. Numbers are left alone. Default false."`
}

// XML is a body sent as XML.
type XML struct {
	Root  string `yaml:"root,required" jsonschema:"required" jsonschema_description:"Name of the outermost element."`
	Item  string `yaml:"item" jsonschema_description:"Name of the elements for a list that has no key: that of value itself, or one within a list. Default item."`
	Value any    `yaml:"value,required" jsonschema:"required" jsonschema_description:"What the root holds: any YAML value with expressions. A record with a key that is no name in XML, or a character that XML cannot hold, is rejected."`
}

// Part is one part of a multipart body: exactly one of json, ndjson, csv and raw.
type Part struct {
	Name        string `yaml:"name,required" jsonschema:"required" jsonschema_description:"Name of the part; text with expressions."`
	Filename    string `yaml:"filename" jsonschema_description:"File name of the part, which makes it a file; text with expressions."`
	ContentType string `yaml:"content_type" jsonschema_description:"Content-Type of the part. Default: that of json, ndjson, csv or raw, and none for raw without a filename."`
	JSON        any    `yaml:"json" jsonschema_description:"Content as JSON: any YAML value with expressions. A part whose expression gives no value is left out."`
	NDJSON      any    `yaml:"ndjson" jsonschema:"oneof_type=string;array" jsonschema_description:"Content as JSON documents, one a line: an expression that gives a list, or a list."`
	CSV         *CSV   `yaml:"csv" jsonschema:"oneof_type=string;array;object" jsonschema_description:"Content as CSV: as for csv of a call."`
	Raw         string `yaml:"raw" jsonschema_description:"Content as it is: text with expressions."`
}
