// Package encodetest owns the conformance suite that every body encoder runs. It knows
// no encoder by name.
package encodetest

import (
	"bytes"
	"encoding/json"
	"reflect"
	"sync"
	"testing"

	"headgate/dispatch/encode"
)

// Run checks e against the contract of encode.Encoder. good are values that e accepts,
// bad are values that it must refuse.
func Run(t *testing.T, e encode.Encoder, good, bad []any) {
	t.Helper()
	if len(good) == 0 || len(bad) == 0 {
		t.Fatal("the suite needs values to accept and values to refuse")
	}
	if e.Name() == "" || e.ContentType() == "" {
		t.Errorf("an encoder has a name and a content type, got %q and %q", e.Name(), e.ContentType())
	}
	for i, v := range good {
		before := clone(v)
		first, err := e.Encode(v)
		if err != nil {
			t.Errorf("value %d: %v", i, err)
			continue
		}
		t.Run("deterministic", func(t *testing.T) { deterministic(t, e, v, first) })
		t.Run("concurrent", func(t *testing.T) { concurrent(t, e, v, first) })
		if !reflect.DeepEqual(before, v) {
			t.Errorf("value %d was changed: %v, now %v", i, before, v)
		}
		owned(t, e, v, before)
	}
	for i, v := range bad {
		if out, err := e.Encode(v); err == nil {
			t.Errorf("value %d should be refused, got %q", i, out)
		} else if out != nil {
			t.Errorf("value %d: bytes beside an error: %q", i, out)
		}
	}
}

// deterministic repeats, since Go's maps change their order.
func deterministic(t *testing.T, e encode.Encoder, v any, want []byte) {
	for range 50 {
		got, err := e.Encode(v)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %q, %v after %q", got, err, want)
		}
	}
}

func concurrent(t *testing.T, e encode.Encoder, v any, want []byte) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if got, err := e.Encode(v); err != nil || !bytes.Equal(got, want) {
					t.Errorf("got %q, %v; want %q", got, err, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

// owned checks that the bytes belong to the caller: writing into them leaves the value alone.
func owned(t *testing.T, e encode.Encoder, v, before any) {
	out, err := e.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	for i := range out {
		out[i] = 'x'
	}
	if !reflect.DeepEqual(before, v) {
		t.Error("the encoded bytes share memory with the value")
	}
}

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = clone(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = clone(x)
		}
		return out
	case json.RawMessage:
		return append(json.RawMessage(nil), v...)
	case []byte:
		return append([]byte(nil), v...)
	}
	return v
}
