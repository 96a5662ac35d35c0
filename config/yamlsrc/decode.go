package yamlsrc

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Decoder is a type that reads itself from a node: units, references, expressions.
// What is wrong goes into the report, at the node's position.
type Decoder interface {
	DecodeYAML(n *Node, report *Report)
}

var (
	decoderType = reflect.TypeFor[Decoder]()
	nodeType    = reflect.TypeFor[*Node]()
)

// Decode reads n into dst, a pointer. It is strict: an unknown key, a wrong type or a
// second spelling of a key is a problem. A field's name is its `yaml` tag; a tag
// ",required" makes its absence a problem; ",inline" flattens an embedded struct.
// A key that is absent leaves the field alone, so defaults are set before the call.
// A field of type *Node takes the subtree as it is.
func (n *Node) Decode(dst any, report *Report) {
	decodeInto(n, reflect.ValueOf(dst).Elem(), report)
}

func decodeInto(n *Node, v reflect.Value, report *Report) {
	if v.Type() == nodeType {
		v.Set(reflect.ValueOf(n))
		return
	}
	if v.CanAddr() && v.Addr().Type().Implements(decoderType) {
		v.Addr().Interface().(Decoder).DecodeYAML(n, report)
		return
	}
	if n.Kind == Null {
		decodeNull(n, v, report)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		decodeInto(n, v.Elem(), report)
	case reflect.Struct:
		if n.Kind != Map {
			n.wrong("a mapping", report)
			return
		}
		decodeStruct(n, v, report)
	case reflect.Map:
		decodeMap(n, v, report)
	case reflect.Slice:
		decodeSlice(n, v, report)
	case reflect.Interface:
		v.Set(reflect.ValueOf(n.Value()))
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64:
		decodeScalar(n, v, report)
	default:
		panic(fmt.Sprintf("yamlsrc: cannot decode into %s", v.Type()))
	}
}

// decodeNull handles a key without a value: a mapping then has its defaults, a list is
// empty and an optional mapping stays away, but a scalar must be written.
func decodeNull(n *Node, v reflect.Value, report *Report) {
	kind := v.Kind()
	if kind == reflect.Pointer {
		if kind = v.Type().Elem().Kind(); kind == reflect.Struct {
			return
		}
	}
	switch kind {
	case reflect.Struct:
		decodeStruct(&Node{Kind: Map, Pos: n.Pos, Path: n.Path}, v, report)
	case reflect.Map, reflect.Slice, reflect.Interface:
	default:
		report.Addf(n.Pos, n.Path, "write a value, or leave the key out for the default", "%s is empty", last(n.Path))
	}
}

func decodeScalar(n *Node, v reflect.Value, report *Report) {
	if n.Kind != Scalar {
		n.wrong(article(v.Kind()), report)
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Text)
	case reflect.Bool:
		b, ok := n.Value().(bool)
		if !ok {
			n.wrong("true or false", report)
			return
		}
		v.SetBool(b)
	case reflect.Float64:
		number, _ := n.Value().(json.Number)
		f, err := number.Float64()
		if err != nil {
			n.wrong("a number", report)
			return
		}
		v.SetFloat(f)
	default:
		number, _ := n.Value().(json.Number)
		i, err := strconv.ParseInt(string(number), 10, v.Type().Bits())
		if err != nil {
			n.wrong("a whole number", report)
			return
		}
		v.SetInt(i)
	}
}

func decodeSlice(n *Node, v reflect.Value, report *Report) {
	if n.Kind != Seq {
		n.wrong("a list", report)
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items))
	for i, item := range n.Items {
		decodeInto(item, out.Index(i), report)
	}
	v.Set(out)
}

func decodeMap(n *Node, v reflect.Value, report *Report) {
	if n.Kind != Map {
		n.wrong("a mapping", report)
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(n.Entries))
	for _, e := range n.Entries {
		elem := reflect.New(v.Type().Elem()).Elem()
		decodeInto(e.Value, elem, report)
		out.SetMapIndex(reflect.ValueOf(e.Key).Convert(v.Type().Key()), elem)
	}
	v.Set(out)
}

func decodeStruct(n *Node, v reflect.Value, report *Report) {
	fields := map[string]reflect.Value{}
	var names, required []string
	collect(v, fields, &names, &required)
	report.around = append(report.around, enclosing{v, n.Path})
	defer func() { report.around = report.around[:len(report.around)-1] }()
	present := map[string]bool{}
	for _, e := range n.Entries {
		field, ok := fields[e.Key]
		if !ok {
			report.Addf(e.KeyPos, join(n.Path, e.Key), report.keyHint(e.Key, names), "unknown key %q", e.Key)
			continue
		}
		present[e.Key] = true
		decodeInto(e.Value, field, report)
	}
	for _, name := range required {
		if !present[name] {
			report.Addf(n.Pos, n.Path, fmt.Sprintf("add %s: …", name), "%q is missing", name)
		}
	}
}

// collect gathers the decodable fields of a struct, those of inlined ones included.
func collect(v reflect.Value, fields map[string]reflect.Value, names, required *[]string) {
	for i := range v.NumField() {
		tag, ok := v.Type().Field(i).Tag.Lookup("yaml")
		if !ok || tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if strings.Contains(options, "inline") {
			collect(v.Field(i), fields, names, required)
			continue
		}
		fields[name] = v.Field(i)
		*names = append(*names, name)
		if strings.Contains(options, "required") {
			*required = append(*required, name)
		}
	}
}

// Wrong reports that n should have been what, for example "a duration such as 30s".
func (n *Node) Wrong(what string, report *Report) { n.wrong(what, report) }

func (n *Node) wrong(what string, report *Report) {
	report.Addf(n.Pos, n.Path, "write "+what, "%s should be %s, not %s", last(n.Path), what, n.describe())
}

func (n *Node) describe() string {
	switch n.Kind {
	case Map:
		return "a mapping"
	case Seq:
		return "a list"
	case Scalar:
		return strconv.Quote(shorten(n.Text))
	case Null:
	}
	return "nothing"
}

// shorten keeps messages readable; it cuts between characters, not within one.
func shorten(text string) string {
	const enough = 40
	if utf8.RuneCountInString(text) <= enough {
		return text
	}
	return string([]rune(text)[:enough]) + "…"
}

func article(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "a number"
	default:
		return "a whole number"
	}
}

func last(path string) string {
	if path == "" {
		return "the file"
	}
	return path[strings.LastIndexByte(path, '.')+1:]
}
