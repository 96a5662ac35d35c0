package redisstore

import (
	"reflect"
	"testing"
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
