package encode_test

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"headgate/dispatch/encode"
)

func decoded(t testing.TB, text string) any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestNDJSON(t *testing.T) {
	ndjson, _ := encode.ByName("ndjson")
	for in, want := range map[string]string{
		`[]`:                             "",
		`[null]`:                         "null\n",
		`[{"b":1.10,"a":"<é>\r\n\"\\"}]`: `{"a":"<é>\r\n\"\\","b":1.10}` + "\n",
		`[{"n":12345678901234567890},{"n":12345678901234567890}]`: "{\"n\":12345678901234567890}\n{\"n\":12345678901234567890}\n",
		`[[],{},"x"]`: "[]\n{}\n\"x\"\n",
	} {
		got, err := ndjson.Encode(decoded(t, in))
		if err != nil || string(got) != want || got == nil {
			t.Errorf("%s: got %q, %v, want %q", in, got, err, want)
		}
	}
	got, err := ndjson.Encode([]any{json.RawMessage("{\r\n  \"z\": 1.10,\n\"a\": \"\\n\"}"), json.RawMessage(`{"z": 1}`)})
	if want := "{\"z\":1.10,\"a\":\"\\n\"}\n{\"z\": 1}\n"; err != nil || string(got) != want {
		t.Errorf("raw messages: got %q, %v, want %q", got, err, want)
	}
}

func TestCSV(t *testing.T) {
	tests := []struct {
		name, in string
		csv      encode.CSV
		want     string
	}{
		{"no records", `[]`, encode.CSV{}, ""},
		{"no records, but columns", `[]`, encode.CSV{Columns: []string{"a", "b"}}, "a,b\n"},
		{"columns of all records", `[{"b":1,"a":2},{"c":3},{"a":4}]`, encode.CSV{}, "a,b,c\n2,1,\n,,3\n4,,\n"},
		{"columns in order of appearance", `[{"z":1},{"y":2,"b":3}]`, encode.CSV{}, "z,b,y\n1,,\n,3,2\n"},
		{"a list of columns leaves out the others", `[{"b":1,"a":2,"secret":3}]`, encode.CSV{Columns: []string{"b", "x", "a"}}, "b,x,a\n1,,2\n"},
		{"missing and null", `[{"a":null},{"b":""}]`, encode.CSV{Missing: "-", Null: "#N/A"}, "a,b\n#N/A,-\n-,\n"},
		{"missing and null by default", `[{"a":null,"b":1},{"b":2}]`, encode.CSV{}, "a,b\n,1\n,2\n"},
		{"digits stay", `[{"n":12345678901234567890,"d":1.10,"e":1E5}]`, encode.CSV{}, "d,e,n\n1.10,1E5,12345678901234567890\n"},
		{"booleans", `[{"a":true,"b":false}]`, encode.CSV{}, "a,b\ntrue,false\n"},
		{"nested values", `[{"a":{"x":[1,"y"]},"b":[]}]`, encode.CSV{}, "a,b\n\"{\"\"x\"\":[1,\"\"y\"\"]}\",[]\n"},
		{"quotes and commas", `[{"a":"say \"hi\"","b":"x,y"}]`, encode.CSV{}, "a,b\n\"say \"\"hi\"\"\",\"x,y\"\n"},
		{"line breaks stay as they are", `[{"a":"1\n2","b":"1\r\n2","c":"1\r2"}]`, encode.CSV{CRLF: true}, "a,b,c\r\n\"1\n2\",\"1\r\n2\",\"1\r2\"\r\n"},
		{"white space at the ends", `[{"a":" x","b":"y\t","c":"p q"}]`, encode.CSV{}, "a,b,c\n\" x\",\"y\t\",p q\n"},
		{"other scripts", `[{"名前":"Zoë 日本 \u2028"}]`, encode.CSV{}, "名前\nZoë 日本 \u2028\n"},
		{"names are quoted too", `[{"a,b":1,"c\"d":2}]`, encode.CSV{}, "\"a,b\",\"c\"\"d\"\n1,2\n"},
		{"one empty cell is no empty line", `[{"a":""},{"a":null},{"a":"x"}]`, encode.CSV{}, "a\n\"\"\n\"\"\nx\n"},
		{"identical records are kept", `[{"a":1,"b":2},{"a":1,"b":2}]`, encode.CSV{}, "a,b\n1,2\n1,2\n"},
		{"semicolon", `[{"a":"x;y","b":"1,5"}]`, encode.CSV{Delimiter: ";"}, "a;b\n\"x;y\";1,5\n"},
		{"a delimiter that numbers hold", `[{"a":1.5,"b":2}]`, encode.CSV{Delimiter: "."}, "a.b\n\"1.5\".2\n"},
		{"a delimiter of several bytes", `[{"a":"x‖y","b":2}]`, encode.CSV{Delimiter: "‖"}, "a‖b\n\"x‖y\"‖2\n"},
		{"formulas by default", `[{"a":"=1+1"}]`, encode.CSV{}, "a\n=1+1\n"},
		{"formulas guarded", `[{"a":"=1","b":"+1","c":"-1","d":"@x","e":"\tx","f":"\rx","g":"x=1","h":-1,"i":""}]`, encode.CSV{FormulaGuard: true},
			"a,b,c,d,e,f,g,h,i\n'=1,'+1,'-1,'@x,'\tx,\"'\rx\",x=1,-1,\n"},
		{"names of records guarded", `[{"=x":1}]`, encode.CSV{FormulaGuard: true}, "'=x\n1\n"},
		{"names of the file not guarded", `[{"@id":1}]`, encode.CSV{FormulaGuard: true, Columns: []string{"@id"}}, "@id\n1\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.csv.Encode(decoded(t, tt.in))
			if err != nil || string(got) != tt.want || got == nil {
				t.Errorf("got  %q, %v\nwant %q", got, err, tt.want)
			}
		})
	}
}

func TestValidDelimiter(t *testing.T) {
	for text, want := range map[string]bool{",": true, ";": true, "\t": true, "|": true, "‖": true, "": false, ",,": false, "\"": false, "\n": false, "\r": false, "\x00": false, "\xff": false} {
		if got := encode.ValidDelimiter(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// Whatever stands in the cells, a reader finds the same cells.
func FuzzCSV(f *testing.F) {
	f.Add("a", "1", "say \"hi\"", " x\r\n,y", true, byte(','))
	f.Add("", "", "", "\n", false, byte(';'))
	f.Add("=a", "\ufeff", "é\u2028", "\xff", true, byte('\t'))
	f.Fuzz(func(t *testing.T, key, one, two, three string, crlf bool, delimiter byte) {
		c := encode.CSV{CRLF: crlf, Delimiter: string(rune(delimiter)), Missing: "none"}
		if !encode.ValidDelimiter(c.Delimiter) {
			return
		}
		in := []any{object{key: one, key + "2": two}, object{key: three}, object{key: three}}
		got, err := c.Encode(in)
		if err != nil {
			t.Fatal(err)
		}
		r := csv.NewReader(bytes.NewReader(got))
		r.Comma = rune(delimiter)
		rows, err := r.ReadAll()
		if err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		// The reader makes LF of CRLF within cells; nothing else may differ.
		want := [][]string{{key, key + "2"}, {one, two}, {three, "none"}, {three, "none"}}
		for _, row := range want {
			for i := range row {
				row[i] = strings.ReplaceAll(row[i], "\r\n", "\n")
			}
		}
		if !reflect.DeepEqual(rows, want) {
			t.Errorf("%q is read as %q, want %q", got, rows, want)
		}
	})
}

func TestXML(t *testing.T) {
	const head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	for _, tt := range []struct{ name, in, item, want string }{
		{"keys are elements", `{"b":1.10,"a":{"x":true}}`, "", "<r><a><x>true</x></a><b>1.10</b></r>"},
		{"lists repeat", `{"c":[1,{"d":2},1]}`, "", "<r><c>1</c><c><d>2</d></c><c>1</c></r>"},
		{"a list in the root", `[{"a":1},{"a":1}]`, "contact", "<r><contact><a>1</a></contact><contact><a>1</a></contact></r>"},
		{"a list in a list", `{"m":[[1,2],[]]}`, "", "<r><m><item>1</item><item>2</item></m><m></m></r>"},
		{"nothing", `{"n":null,"l":[],"s":"","o":{}}`, "", "<r><n/><o></o><s></s></r>"},
		{"empty list", `[]`, "", "<r></r>"},
		{"null", `null`, "", "<r/>"},
		{"text", `"x"`, "", "<r>x</r>"},
		{"markup", `{"a":"<b>&amp;]]> \"q\" 'p'"}`, "", "<r><a>&lt;b&gt;&amp;amp;]]&gt; \"q\" 'p'</a></r>"},
		{"line breaks", `{"a":"1\r\n2\t"}`, "", "<r><a>1&#13;\n2\t</a></r>"},
		{"other scripts", `{"名前":"Zoë 日本 😀 \ufffd"}`, "", "<r><名前>Zoë 日本 😀 \ufffd</名前></r>"},
		{"digits stay", `{"n":12345678901234567890}`, "", "<r><n>12345678901234567890</n></r>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := encode.XML{Root: "r", Item: tt.item}.Encode(decoded(t, tt.in))
			if err != nil || string(got) != head+tt.want {
				t.Fatalf("got  %s, %v\nwant %s", got, err, tt.want)
			}
			for dec := xml.NewDecoder(bytes.NewReader(got)); ; {
				if _, err := dec.Token(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatalf("%s cannot be read: %v", got, err)
				}
			}
		})
	}
}

func TestXMLRefusesTheData(t *testing.T) {
	for in, want := range map[string]string{
		`{"a b":1}`:             `"a b" is no name`,
		`{"1a":1}`:              `"1a" is no name`,
		`{"":1}`:                `"" is no name`,
		`{"x:y":1}`:             `"x:y" is no name`,
		`{"a><b":1}`:            "is no name",
		`{"-a":[1]}`:            `"-a" is no name`,
		`{"a":"hunter2\u0000"}`: "U+0000",
		`{"a":"\uffff"}`:        "U+FFFF",
	} {
		_, err := encode.XML{Root: "r"}.Encode(decoded(t, in))
		var data *encode.DataError
		if !errors.As(err, &data) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want %s", in, err, want)
		}
	}
}

func TestGzip(t *testing.T) {
	for _, body := range []string{"", "x", strings.Repeat("row after row\n", 10_000)} {
		first, err := encode.Gzip([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		again, _ := encode.Gzip([]byte(body))
		r, err := gzip.NewReader(bytes.NewReader(first))
		if err != nil {
			t.Fatal(err)
		}
		back, err := io.ReadAll(r)
		if err != nil || string(back) != body || !bytes.Equal(first, again) {
			t.Errorf("%d bytes: read back %d, %v; the same again: %v", len(body), len(back), err, bytes.Equal(first, again))
		}
	}
}

// Making a large body takes no more memory than three times its size, all that was
// allocated on the way included.
func TestLargeBodiesAreNotHeldOftenAtATime(t *testing.T) {
	var records []any
	for i := range 80_000 {
		note := strings.Repeat("x", 60+i%70)
		if i < 1000 { // the first ones tell little of the others
			note = ""
		}
		records = append(records, object{"email": fmt.Sprintf("%d@example.com", i), "name": "Lovelace, Ada", "n": json.Number("1.10"), "note": note})
	}
	parts := func() ([]byte, error) {
		e, _ := encode.ByName("ndjson")
		rows, err := e.Encode(records)
		if err != nil {
			return nil, err
		}
		body, _, err := encode.Multipart([]encode.Part{{Name: "file", Body: rows}})
		return body, err
	}
	jsonBody, _ := encode.ByName("json")
	ndjson, _ := encode.ByName("ndjson")
	for name, write := range map[string]func() ([]byte, error){
		"json":      func() ([]byte, error) { return jsonBody.Encode(object{"contacts": records}) },
		"ndjson":    func() ([]byte, error) { return ndjson.Encode(records) },
		"csv":       func() ([]byte, error) { return encode.CSV{}.Encode(records) },
		"xml":       func() ([]byte, error) { return encode.XML{Root: "r"}.Encode(records) },
		"multipart": parts,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		body, err := write()
		runtime.ReadMemStats(&after)
		if err != nil || len(body) < 10_000_000 {
			t.Fatalf("%s: %d bytes, %v", name, len(body), err)
		}
		if times := float64(after.TotalAlloc-before.TotalAlloc) / float64(len(body)); times > 3 {
			t.Errorf("%s: %.1f times the body was allocated", name, times)
		} else {
			t.Logf("%s: %d bytes, allocated %.2f times", name, len(body), times)
		}
	}
}
