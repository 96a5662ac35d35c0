package encode_test

import (
	"encoding/json"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"headgate/dispatch/encode"
	"headgate/dispatch/encode/encodetest"
)

type object = map[string]any

func TestConformance(t *testing.T) {
	deep := any("x")
	for range 10_002 {
		deep = []any{deep}
	}
	cases := map[string]struct{ good, bad []any }{
		"json": {
			good: []any{nil, "x", object{"b": json.Number("1.10"), "a": []any{true, nil}, "raw": json.RawMessage(`{"z": 1,  "a":2}`)}},
			bad:  []any{math.NaN(), json.Number("1x"), json.Number(`"s"`), json.Number(""), json.Number("1 "), json.Number("-"), json.RawMessage("{"), make(chan int), deep},
		},
		"form": {
			good: []any{object{}, object{"b": "x y", "a": []any{json.Number("1.10"), true}, "n": nil}, json.RawMessage(`{"a":1.10}`)},
			bad:  []any{nil, "x", []any{}, object{"a": object{}}, object{"a": []any{[]any{}}}, json.RawMessage("{")},
		},
		"raw": {
			good: []any{"", "a\x00\xffb", []byte("bytes")},
			bad:  []any{nil, object{}, json.Number("1"), true},
		},
		"ndjson": {
			good: []any{[]any{}, []any{object{"b": json.Number("1.10"), "a": nil}, "x", json.RawMessage("{\n \"z\": 1}")}, json.RawMessage(`[1]`)},
			bad:  []any{nil, "x", object{}, []any{"x", math.NaN()}, []any{deep}, json.RawMessage("["), []any{json.RawMessage("{")}},
		},
		"csv": {
			good: []any{[]any{}, []any{object{"b": json.Number("1.10"), "a": nil}, object{"c": []any{"x"}, "a": json.RawMessage(`{"z": 1}`)}}, json.RawMessage(`[{"a":1}]`)},
			bad:  []any{nil, "x", object{}, []any{object{"a": math.NaN()}}, []any{"x"}, []any{object{}}, []any{object{"a": deep}}, []any{object{"a": json.RawMessage("{")}}},
		},
	}
	for _, name := range encode.Names() {
		t.Run(name, func(t *testing.T) {
			e, ok := encode.ByName(name)
			c, known := cases[name]
			if !ok || !known {
				t.Fatalf("no encoder or no cases for %q", name)
			}
			if e.Name() != name {
				t.Errorf("%q is called %q", name, e.Name())
			}
			encodetest.Run(t, e, c.good, c.bad)
		})
	}
}

func TestConformanceOfXML(t *testing.T) {
	deep := any("x")
	for range 10_002 {
		deep = object{"a": deep}
	}
	encodetest.Run(t, encode.XML{Root: "r"},
		[]any{nil, "x", []any{}, object{"b": json.Number("1.10"), "a": []any{true, nil, []any{"x"}}, "raw": json.RawMessage(`{"z": 1}`)}, json.RawMessage(`[1]`)},
		[]any{math.NaN(), object{"a b": "x"}, object{"": "x"}, "\x00", json.Number("1x"), json.RawMessage("{"), []any{json.RawMessage("{")}, make(chan int), deep})
}

func TestNames(t *testing.T) {
	if got := encode.Names(); !slices.Equal(got, []string{"csv", "form", "json", "ndjson", "raw"}) {
		t.Errorf("got %v", got)
	}
	if e, ok := encode.ByName("yaml"); ok {
		t.Errorf("an unknown name must not become %v", e)
	}
}

func TestEncode(t *testing.T) {
	huge, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	tests := []struct {
		name, encoder string
		in            any
		want          string
	}{
		{"keys are sorted", "json", object{"b": true, "a": nil}, `{"a":null,"b":true}`},
		{"digits stay", "json", []any{json.Number("12345678901234567890"), json.Number("1.10"), json.Number("-0")}, `[12345678901234567890,1.10,-0]`},
		{"no HTML escape", "json", "<a href='x'>&", `"<a href='x'>&"`},
		{"control characters", "json", "a\"b\\c\n\x01é", `"a\"b\\c\n\u0001é"`},
		{"broken UTF-8 is replaced", "json", "a\xffb", `"a\ufffdb"`},
		{"other scripts", "json", "Zoë \u2028 日本", `"Zoë \u2028 日本"`},
		{"raw message to the byte", "json", object{"a": json.RawMessage(" {\"z\":1, \"a\" : \"<\"} ")}, `{"a": {"z":1, "a" : "<"} }`},
		{"Go numbers", "json", []any{1, 2.5, 1e21, 1e-7, 3.0, huge}, `[1,2.5,1e+21,1e-07,3,123456789012345678901234567890]`},
		{"other types", "json", struct {
			A string `json:"a"`
		}{"<"}, `{"a":"<"}`},
		{"empty containers", "json", object{"l": []any{}, "o": object{}, "nl": []any(nil), "no": object(nil)}, `{"l":[],"nl":null,"no":null,"o":{}}`},
		{"more keys than fit on the stack", "json", manyKeys(20), `{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"n":1,"o":1,"p":1,"q":1,"r":1,"s":1,"t":1}`},
		{"form", "form", object{"b": "x y&z=+", "a": json.Number("1.10"), "c": false, "n": nil}, "a=1.10&b=x+y%26z%3D%2B&c=false&n="},
		{"form repeats a list's key", "form", object{"k": []any{"1", json.Number("2")}, "none": []any{}}, "k=1&k=2"},
		{"form escapes keys", "form", object{"a[b]": "é"}, "a%5Bb%5D=%C3%A9"},
		{"form from raw", "form", json.RawMessage(`{"a": 12345678901234567890}`), "a=12345678901234567890"},
		{"form with raw inside", "form", object{"a": json.RawMessage(`["x", 1.10]`)}, "a=x&a=1.10"},
		{"form with Go numbers", "form", object{"a": 1, "b": 2.5}, "a=1&b=2.5"},
		{"raw", "raw", "<x>\r\n\x00\xff", "<x>\r\n\x00\xff"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, _ := encode.ByName(tt.encoder)
			got, err := e.Encode(tt.in)
			if err != nil || string(got) != tt.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, tt.want)
			}
		})
	}
}

func TestErrorsNameTheFaultNotTheData(t *testing.T) {
	tests := []struct {
		encoder string
		in      any
		want    string
	}{
		{"form", object{"a": object{"secret": "hunter2"}}, `field "a": a form holds strings, numbers and booleans, not an object`},
		{"form", []any{"hunter2"}, "expected an object, got a list"},
		{"raw", object{"x": "hunter2"}, "expected a string, got an object"},
		{"json", json.Number("x"), `"x" is not a number in JSON`},
		{"ndjson", object{"x": "hunter2"}, "expected a list, got an object"},
		{"csv", []any{object{"a": "b"}, "hunter2"}, "record 2 is a string, not an object"},
	}
	for _, tt := range tests {
		e, _ := encode.ByName(tt.encoder)
		_, err := e.Encode(tt.in)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

func FuzzJSON(f *testing.F) {
	f.Add(`{"a":[1.10,"<é\u2028"],"b":null}`)
	f.Fuzz(func(t *testing.T, text string) {
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		var v any
		if dec.Decode(&v) != nil {
			return
		}
		got, err := encode.AppendJSON(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		var back strings.Builder
		enc := json.NewEncoder(&back)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
		if string(got)+"\n" != back.String() {
			t.Errorf("got %s, encoding/json gives %s", got, back.String())
		}
	})
}

func BenchmarkJSON(b *testing.B) {
	e, _ := encode.ByName("json")
	in := object{"email": "a@example.com", "name": "Ada Lovelace", "n": json.Number("1.10"), "tags": []any{"x", "y"}, "raw": json.RawMessage(`{"a":1}`)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Encode(in); err != nil {
			b.Fatal(err)
		}
	}
}

func manyKeys(n int) object {
	out := object{}
	for i := range n {
		out[string(rune('a'+i))] = json.Number("1")
	}
	return out
}
