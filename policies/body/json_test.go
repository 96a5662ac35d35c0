package body

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// reference is what encoding/json makes of a text.
func reference(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more after the value")
	}
	return v, nil
}

func TestDecodeLikeEncodingJSON(t *testing.T) {
	for _, text := range []string{
		`{}`, `[]`, `null`, `true`, `false`, `0`, `-0`, `1.5e+10`, `-0.0E-7`, `""`, `" "`, "\t\r\n {} \n",
		`{"a":{"b":[1,2,{"c":null}]},"d":[[],{}]}`, `"\"\\\/\b\f\n\r\t"`, `"\u00e4\u4e2d\ud83d\ude00"`, `"ä中😀"`, `"\u0000"`,
		`{"":1}`, `{"a\u0062":1}`, `12345678901234567890123`, `"�"`,
		// What is not JSON.
		``, ` `, `{`, `[`, `"`, `{"a"}`, `{"a":}`, `{"a":1,}`, `[1,]`, `[,]`, `{,}`, `[1 2]`, `{"a":1 "b":2}`, `{a:1}`, `{'a':1}`,
		`01`, `-`, `+1`, `.5`, `1.`, `1e`, `1e+`, `0x10`, `NaN`, `Infinity`, `tru`, `nul`, `nulll`, `True`,
		`"\x"`, `"\u12"`, `"\u12G4"`, "\"a\nb\"", "\"\x00\"", `{} {}`, `1 2`, `{}x`, "\uFEFF{}", `[1]]`, `// x`, `"a\`, `"\u`,
	} {
		want, wantErr := reference([]byte(text))
		got, err := decode([]byte(text), maxDepth, true)
		if (err != nil) != (wantErr != nil) {
			t.Errorf("%q: %v, encoding/json says %v", text, err, wantErr)
			continue
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %#v, want %#v", text, got, want)
		}
	}
}

func TestDecodeIsStricter(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	tests := []struct{ name, text, want, pointer string }{
		{"same field twice", `{"a":1,"b":{"c/d":1,"c/d":2}}`, "twice", "/b/c~1d"},
		{"same field, other spelling", `{"ab":1,"a\u0062":2}`, "twice", "/ab"},
		{"same field in a list", `[{}, {"a":1,"a":1}]`, "twice", "/1/a"},
		{"empty name twice", `{"":1,"":1}`, "twice", "/"},
		{"deep", deep(33), "more than 32 levels", strings.Repeat("/0", 32)},
		{"deeper than any stack", strings.Repeat(`{"a":`, 1<<20), "more than 32 levels", strings.Repeat("/a", 32)},
		{"not UTF-8", "{\"a\":\"\xff\"}", "not valid UTF-8, at byte 6", ""},
		{"not UTF-8 after U+FFFD", "\"\uFFFD\xff\"", "at byte 4", ""},
		{"UTF-16", "{\x00}\x00", "line 1, column 2", ""},
		{"half a pair", `{"a":"\ud83d"}`, "half of a surrogate pair", "/a"},
		{"the other half", `["\ude00"]`, "half of a surrogate pair", "/0"},
		{"huge exponent", `{"a":[1,1e999999999]}`, "exponent beyond 1000", "/a/1"},
		{"huge negative exponent", `1e-1001`, "exponent beyond 1000", ""},
		{"huge number", `[` + strings.Repeat("9", 1001) + `]`, "more than 1000 digits", "/0"},
		{"leading zero", `{"a":01}`, "starts with a zero (line 1, column 6)", "/a"},
		{"trailing data", `{"a":1}` + "\n\n}", "after the end of the JSON value (line 3, column 1)", ""},
		{"place", "{\"ä\": 1,\n \"b\": x}", "'x' stands where a value should be (line 2, column 7)", "/b"},
		{"byte order mark", "\uFEFF{}", "byte order mark", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decode([]byte(tt.text), 32, false)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.detail, tt.want) || err.pointer != tt.pointer {
				t.Errorf("%q at %q\nwant %q at %q", err.detail, err.pointer, tt.want, tt.pointer)
			}
		})
	}
	for _, fine := range []string{deep(32), `1e1000`, `1e0000000000001`, strings.Repeat("9", 1000), `[{"a":1},{"a":1}]`} {
		if _, err := decode([]byte(fine), 32, false); err != nil {
			t.Errorf("%.20s: %v", fine, err)
		}
	}
}

func TestDuplicatesAllowed(t *testing.T) {
	v, err := decode([]byte(`{"a":1,"a":2}`), 32, true)
	if err != nil || !reflect.DeepEqual(v, map[string]any{"a": json.Number("2")}) {
		t.Errorf("%v, %v", v, err)
	}
}

func TestInputMayChangeAfterwards(t *testing.T) {
	text := []byte(`{"key":"value","n":123}`)
	v, _ := decode(text, 32, false)
	for i := range text {
		text[i] = 'x'
	}
	if want := map[string]any{"key": "value", "n": json.Number("123")}; !reflect.DeepEqual(v, want) {
		t.Errorf("%v", v)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"a":[1,-2.5e3,"x\u00e4\ud83d\ude00",null,true,{}]}`, `{"a":1,"a":2}`, `[[[]]]`, `"\ud800"`, `1e99999`, "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		strict, strictErr := decode(text, 32, false)
		got, err := decode(text, maxDepth, true)
		want, wantErr := reference(text)
		if wantErr != nil && err == nil {
			t.Fatalf("accepted, encoding/json says %v", wantErr)
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("%#v, want %#v", got, want)
		}
		if strictErr == nil && (err != nil || !reflect.DeepEqual(strict, want)) {
			t.Fatalf("strict accepts %#v, want %#v (%v)", strict, want, err)
		}
		// What encoding/json takes and we do not must be one of the stricter rules.
		if wantErr == nil && err != nil && utf8.Valid(text) &&
			!strings.Contains(err.detail, "surrogate") && !strings.Contains(err.detail, "number has") && !strings.Contains(err.detail, "levels deep") {
			t.Fatalf("refused: %s", err.detail)
		}
	})
}

func profile(n int) []byte {
	var out bytes.Buffer
	out.WriteString(`{"items":[`)
	for i := range n {
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(&out, `{"id":%d,"email":"user%d@example.com","first":"Jürgen","last":"O\"Neil","consent":true,"score":12.75,"tags":["a","b"],"address":{"city":"Köln","zip":"50667"}}`, i, i)
	}
	out.WriteString(`]}`)
	return out.Bytes()
}

func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{1, 100} {
		text := profile(n)
		run := func(name string, f func() error) {
			b.Run(fmt.Sprintf("%s/%dB", name, len(text)), func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					if err := f(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("ours", func() error {
			if _, err := decode(text, 32, false); err != nil {
				return err
			}
			return nil
		})
		run("json.Unmarshal", func() error { var v any; return json.Unmarshal(text, &v) })
		run("json.Decoder.UseNumber", func() error { _, err := reference(text); return err })
		run("json.Decoder.Token", func() error {
			d := json.NewDecoder(bytes.NewReader(text))
			d.UseNumber()
			for {
				if _, err := d.Token(); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
			}
		})
	}
}
