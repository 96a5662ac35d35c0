package app

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"

	"headgate/config/yamlsrc"
	"headgate/policies/body"
)

func TestNames(t *testing.T) {
	r := Builtin()
	if got, want := r.PolicyNames(), []string{"body", "rate_limit", "scopes"}; !slices.Equal(got, want) {
		t.Errorf("policies %v, want %v", got, want)
	}
	if got, want := r.AuthenticatorNames(), []string{"api_key", "jwt"}; !slices.Equal(got, want) {
		t.Errorf("authenticators %v, want %v", got, want)
	}
}

func TestDuplicateIsLoud(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a second registration went unnoticed")
		}
	}()
	body.Register(Builtin())
}

// TestConfigsAreDescribed: the JSON Schema and the reference are made from these
// types, so that a field without a description would be a hole in both.
func TestConfigsAreDescribed(t *testing.T) {
	r := Builtin()
	for _, name := range append(r.PolicyNames(), r.AuthenticatorNames()...) {
		config := r.ConfigType(name)
		describe(t, name, reflect.TypeOf(config).Elem())
		reflector := jsonschema.Reflector{FieldNameTag: "yaml", DoNotReference: true, Mapper: func(typ reflect.Type) *jsonschema.Schema {
			if typ == reflect.TypeFor[yamlsrc.Node]() { // refers to itself: any value
				return &jsonschema.Schema{}
			}
			return nil
		}}
		if _, err := json.Marshal(reflector.Reflect(config)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func describe(t *testing.T, path string, typ reflect.Type) {
	t.Helper()
	for typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct {
		return
	}
	for i := range typ.NumField() {
		field := typ.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if name == "" {
			continue
		}
		if field.Tag.Get("jsonschema_description") == "" {
			t.Errorf("%s.%s has no description", path, name)
		}
		describe(t, path+"."+name, field.Type)
	}
}
