package config

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
)

// Changed names the keys of the operator's file whose values differ, such as redis.tls.ca, in
// the order of the reference: those that a reload puts into force, and those that need a
// restart. What is no key, such as the place of a value in its file, is no change.
func Changed(running, read *Config) (live, restart []string) {
	walk(reflect.ValueOf(running).Elem(), reflect.ValueOf(read).Elem(), "", false, func(key string, isLive bool, was, is reflect.Value) {
		switch {
		case bytes.Equal(plainly(was), plainly(is)):
		case isLive:
			live = append(live, key)
		default:
			restart = append(restart, key)
		}
	})
	return live, restart
}

// Reloaded gives what is in force after a reload: the running configuration with those values
// of the one that was read that need no restart.
func Reloaded(running, read *Config) *Config {
	out := *running
	walk(reflect.ValueOf(&out).Elem(), reflect.ValueOf(read).Elem(), "", false, func(_ string, isLive bool, was, is reflect.Value) {
		if isLive {
			was.Set(is)
		}
	})
	out.RouteFiles, out.Tracking.AuthPos = read.RouteFiles, read.Tracking.AuthPos
	return &out
}

// walk calls see for every key of the file that has no keys of this package below it.
func walk(was, is reflect.Value, at string, live bool, see func(key string, live bool, was, is reflect.Value)) {
	for i := range was.NumField() {
		field := was.Type().Field(i)
		key, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if key == "" || key == "-" {
			continue
		}
		path, isLive := key, live || field.Tag.Get("reload") == "live"
		if at != "" {
			path = at + "." + key
		}
		if section(field.Type) {
			walk(was.Field(i), is.Field(i), path, isLive, see)
			continue
		}
		see(path, isLive, was.Field(i), is.Field(i))
	}
}

// section reports whether a type is a mapping of further keys. What writes itself is one value.
func section(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.PkgPath() == reflect.TypeFor[Config]().PkgPath() && !t.Implements(reflect.TypeFor[json.Marshaler]())
}

// plainly gives a value as data, without where it was written. Values of a configuration can
// always be encoded: the tests try each.
func plainly(v reflect.Value) []byte {
	if v.Kind() == reflect.Slice && v.Len() == 0 {
		return []byte("[]") // none, however it is written
	}
	text, err := json.Marshal(v.Interface())
	if err != nil {
		return []byte(err.Error())
	}
	return text
}
