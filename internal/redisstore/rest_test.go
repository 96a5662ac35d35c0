package redisstore

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"headgate/dispatch/tracking"
)

// A rest with any of its fields set is not empty: a field that empty forgets would be lost.
func TestRestWithAnythingIsNotEmpty(t *testing.T) {
	if r := (rest{}); !r.empty() {
		t.Error("nothing is not empty")
	}
	for i := range reflect.TypeFor[rest]().NumField() {
		var r rest
		switch f := reflect.ValueOf(&r).Elem().Field(i); f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Int, reflect.Int64:
			f.SetInt(1)
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Map:
			f.Set(reflect.MakeMapWithSize(f.Type(), 1))
			f.SetMapIndex(reflect.ValueOf("k"), reflect.Zero(f.Type().Elem()))
		default:
			t.Fatalf("a field of kind %s", f.Kind())
		}
		if r.empty() {
			t.Errorf("a rest with %s is empty", reflect.TypeFor[rest]().Field(i).Name)
		}
	}
}

// While a fleet is upgraded, workers read what later versions have written: fields that
// they do not know are passed over.
func TestRestOfALaterVersion(t *testing.T) {
	d, err := decodeDelivery(`3 r - 5f2b6a7c0d9e4f1a r{"a":2,"ha":7,"s":"upload","hb":{"x":[1]}}`)
	if err != nil {
		t.Fatal(err)
	}
	if d.Seq != 3 || d.State != tracking.Retrying || d.Attempts != 2 || d.Step != "upload" || d.HTTPStatus != 0 {
		t.Errorf("read as %+v", d)
	}
	for i := range reflect.TypeFor[rest]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[rest]().Field(i).Tag.Get("json"), ",")
		if len(name) == 1 && !strings.Contains("abcdefghijklmnopqrstuvwxyzABCDEFG", name) {
			t.Errorf("the new field %q: versions that do not know it take it for another one; see rest", name)
		}
	}
}

// What is written without encoding/json is what encoding/json reads, and the other way
// round: for rests of all kinds, each field's value any of a few.
func TestRestIsJSON(t *testing.T) {
	texts := []string{"", "", "", "plain", `q"uote`, "<a&b>", "é\u2028", "\xff", "tab\t", "~", "a\\b"}
	random := rand.New(rand.NewPCG(1, 2))
	plain := 0
	for round := range 5000 {
		some := texts[:4] // mostly plain
		if round%4 == 0 {
			some = texts
		}
		var r rest
		v := reflect.ValueOf(&r).Elem()
		for i := range v.NumField() {
			switch f := v.Field(i); f.Kind() {
			case reflect.String:
				f.SetString(some[random.IntN(len(some))])
			case reflect.Bool:
				f.SetBool(random.IntN(2) == 0)
			case reflect.Map:
				if random.IntN(20) == 0 {
					f.Set(reflect.ValueOf(map[string]json.RawMessage{"k": json.RawMessage(`{"a":[1]}`)}))
				}
			default:
				f.SetInt([]int64{0, 0, 1, -7, 1_790_000_000_000}[random.IntN(5)])
			}
		}
		text, err := r.append(nil)
		if err != nil {
			t.Fatal(err)
		}
		var want rest
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		got, err := parseRest(string(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s is read as %+v, %v", text, got, err)
		}
		for i := range v.NumField() {
			if w := reflect.ValueOf(want).Field(i); v.Field(i).Kind() == reflect.String && strings.ToValidUTF8(v.Field(i).String(), "\ufffd") != w.String() {
				t.Fatalf("%s: %q was written", text, v.Field(i).String())
			} else if v.Field(i).Kind() != reflect.String && !reflect.DeepEqual(v.Field(i).Interface(), w.Interface()) {
				t.Fatalf("%s: %v was written", text, v.Field(i))
			}
		}
		// What encoding/json writes is read as well.
		if text, err = json.Marshal(r); err != nil {
			t.Fatal(err)
		}
		if got, err := parseRest(string(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s is read as %+v, %v", text, got, err)
		}
		if quick := new(rest); quick.parse(string(text)) {
			plain++
		}
	}
	if plain < 500 {
		t.Errorf("only %d of 5000 were read without encoding/json", plain)
	}
	for _, bad := range []string{"}", "{", `{"a":}`, `{"a":1`, `{"a":1}}`, `{"a":"x"}`, `{"m":1}`, `{"l":1}`, `{"a":1.5}`, `{"a":1,}`, `{"m":"x}`} {
		if r, err := parseRest(bad); err == nil {
			t.Errorf("%s was read as %+v", bad, r)
		}
	}
}

// Objects of strings, too, are what encoding/json reads and writes.
func TestStringsAreJSON(t *testing.T) {
	for _, object := range []map[string]string{
		{}, {"id": "42"}, {"b": "2", "a": "1", "c": ""}, {"id": `a"b\c`, "é": "ü", "<": "\xff"},
	} {
		text, err := appendStrings(nil, object)
		if err != nil {
			t.Fatal(err)
		}
		var want map[string]string
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for name, value := range object {
			if want[name] != strings.ToValidUTF8(value, "\ufffd") {
				t.Errorf("%s has not %q", text, value)
			}
		}
		if got, ok := parseStrings(string(text)); ok && !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as %v", text, got)
		}
	}
	if got, ok := parseStrings(`{"b":"2","a":"1"}`); !ok || got["a"] != "1" || got["b"] != "2" {
		t.Errorf("what is plain is read as %v", got)
	}
	for _, bad := range []string{"", "{", "}", `{"a"}`, `{"a":"1"`, `{"a":"1",}`, `{"a":"1"}}`, `{"a":1}`, `["a"]`, `{"a":"\u0031"}`} {
		if got, ok := parseStrings(bad); ok {
			t.Errorf("%s was read as %v", bad, got)
		}
	}
	row := tracking.IdemRow{Fingerprint: "f", ID: "trk", First: map[string]tracking.State{"crm": tracking.Pending, "a": tracking.Skipped}}
	got, err := appendIdemRow(nil, &row)
	if want, wrong := json.Marshal(row); err != nil || wrong != nil || string(got) != string(want) {
		t.Errorf("%s, %v; want %s, %v", got, err, want, wrong)
	}
}
