package encode_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"

	"headgate/dispatch/encode"
)

// written gives a list as it is written item by item.
func written(l encode.List, items []any) (out []byte, err error) {
	out = l.Open(nil)
	for _, item := range items {
		if out, err = l.Item(out, item); err != nil {
			return nil, err
		}
	}
	return l.Close(out), nil
}

func TestListIsWrittenItemByItem(t *testing.T) {
	for _, text := range []string{
		`[]`, `[{"a":1.10,"b":"<\u2028>"}]`, `[{"a":1},{"b":[null,{"z":1,"a":2}],"=x":"=1"},{"a":null,"c":""}]`,
		`[1]`, `[{}]`, `[{"a":1},[]]`, // which CSV refuses
	} {
		items := decoded(t, text).([]any)
		gap := &encode.Gap{}
		before, after, list, err := encode.Around(map[string]any{"a": 1, "list": []any{"x", gap}, "z": true}, gap)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // each is good for one pass
			got, err := written(list(), items)
			if want := `{"a":1,"list":["x",` + text + `],"z":true}`; err != nil || !jsonEqual(t, string(before)+string(got)+string(after), want) {
				t.Errorf("%s: %s%s%s, %v", text, before, got, after, err)
			}
		}
		union := &encode.Union{}
		for i := 0; i < len(items) && err == nil; i++ {
			err = union.Add(items[i])
		}
		ndjson, _ := encode.ByName("ndjson")
		for _, tt := range []struct {
			encoder encode.Encoder
			list    encode.List
		}{
			{ndjson, encode.NDJSON()},
			{encode.CSV{FormulaGuard: true}, encode.CSV{FormulaGuard: true}.List(union)},
			{encode.CSV{Columns: []string{"c", "=x"}, CRLF: true}, encode.CSV{Columns: []string{"c", "=x"}, CRLF: true}.List(nil)},
			{encode.CSV{Columns: []string{"c"}}, encode.CSV{Columns: []string{"c"}}.List(nil)},
		} {
			want, wantErr := tt.encoder.Encode(decoded(t, text))
			got, gotErr := written(tt.list, items)
			if string(got) != string(want) || (gotErr == nil) != (wantErr == nil) || (wantErr != nil && wantErr.Error() != gotErr.Error()) {
				t.Errorf("%s of %s: %q, %v, as a whole %q, %v", tt.encoder.Name(), text, got, gotErr, want, wantErr)
			}
		}
	}
}

// jsonEqual holds compact JSON of ours against any other.
func jsonEqual(t *testing.T, got, want string) bool {
	t.Helper()
	out, err := encode.AppendJSON(nil, decoded(t, want))
	if err != nil {
		t.Fatal(err)
	}
	return got == string(out)
}

func TestFrame(t *testing.T) {
	parts := []encode.Part{
		{Name: "a", Body: []byte("x\r\n--headgate-")},
		{Name: "file", Filename: `"f".csv`, ContentType: "text/csv", Body: []byte("a,b\n1,2\n")},
		{Name: "z", Body: []byte{}},
	}
	for open := range parts {
		want, wantType, err := encode.Multipart(parts)
		if err != nil {
			t.Fatal(err)
		}
		hollow := append([]encode.Part(nil), parts...)
		content := hollow[open].Body
		hollow[open].Body = nil
		frame, err := encode.NewFrame(hollow, open)
		if err != nil {
			t.Fatal(err)
		}
		size := frame.Size()
		for i := range content {
			_, _ = frame.Write(content[i : i+1])
		}
		before, after, contentType := frame.Close()
		if got := string(before) + string(content) + string(after); got != string(want) || contentType != wantType || size != len(want)-len(content) {
			t.Errorf("around part %d: %q as %s, %d bytes, want %q as %s", open, got, contentType, size, want, wantType)
		}
	}
	if _, err := encode.NewFrame([]encode.Part{{Name: "a\nb"}}, 0); err == nil {
		t.Error("a name with a line break passes")
	}
}

func TestGzipPieces(t *testing.T) {
	text := strings.Repeat("a piece of text, and another\n", 20_000)
	broken := errors.New("broken")
	source := func(end error) func() ([]byte, error) {
		rest, buf := text, []byte(nil)
		return func() ([]byte, error) {
			if rest == "" {
				return nil, end
			}
			n := min(len(rest), 1000)
			buf = append(buf[:0], rest[:n]...) // good until the next call
			rest = rest[n:]
			return buf, nil
		}
	}
	read := func(next func() ([]byte, error)) (out []byte, err error) {
		for {
			piece, err := next()
			if err != nil {
				return out, err
			}
			out = append(out, piece...)
		}
	}
	first, err := read(encode.GzipPieces(source(io.EOF)))
	again, err2 := read(encode.GzipPieces(source(io.EOF)))
	if !errors.Is(err, io.EOF) || !errors.Is(err2, io.EOF) || !bytes.Equal(first, again) {
		t.Fatalf("%d bytes, %v, then %d, %v", len(first), err, len(again), err2)
	}
	r, err := gzip.NewReader(bytes.NewReader(first))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != text {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	next := encode.GzipPieces(source(broken))
	for range 2 {
		if _, err := read(next); !errors.Is(err, broken) {
			t.Errorf("ended with %v", err)
		}
	}
}
