// Package secret owns values that must not be seen: a reference to where a secret is
// kept, and the secret itself as a type that no formatter and no encoder prints.
package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"headgate/config/yamlsrc"
)

const mask = "***"

// Value is a secret in clear. Every way of printing it gives three stars. The text is
// behind a pointer because fmt looks into the fields of a value that is printed with a
// wrong verb, whatever methods it has.
type Value struct{ text *string }

// New makes a Value.
func New(text string) Value { return Value{&text} }

// Reveal gives the secret in clear: for the request that carries it, nothing else.
func (v Value) Reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// Equal compares in constant time.
func (v Value) Equal(other string) bool {
	return subtle.ConstantTimeCompare([]byte(v.Reveal()), []byte(other)) == 1
}

// String implements fmt.Stringer.
func (Value) String() string { return mask }

// GoString implements fmt.GoStringer.
func (Value) GoString() string { return mask }

// Format implements fmt.Formatter, so that no verb reaches the text.
func (Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(mask)) }

// MarshalJSON implements json.Marshaler.
func (Value) MarshalJSON() ([]byte, error) { return []byte(`"` + mask + `"`), nil }

// MarshalText implements encoding.TextMarshaler.
func (Value) MarshalText() ([]byte, error) { return []byte(mask), nil }

// LogValue implements slog.LogValuer.
func (Value) LogValue() slog.Value { return slog.StringValue(mask) }

// Ref says where a secret is kept: an environment variable or a file. It is what
// plans and configuration hold; it is read when the secret is used, so that a rotated
// file takes effect without a reload.
type Ref struct {
	Env  string `yaml:"env" json:"env,omitempty" jsonschema_description:"Name of the environment variable that holds the secret; one trailing newline is dropped."`
	File string `yaml:"file" json:"file,omitempty" jsonschema_description:"Path of the file that holds the secret; one trailing newline is dropped."`
}

// IsZero reports whether nothing is referred to.
func (r Ref) IsZero() bool { return r == Ref{} }

// String names the place, never the secret.
func (r Ref) String() string {
	switch {
	case r.Env != "":
		return "{env: " + r.Env + "}"
	case r.File != "":
		return "{file: " + r.File + "}"
	}
	return "{}"
}

// Read gets the secret. It is an error when it is absent or empty.
func (r Ref) Read() (Value, error) {
	switch {
	case r.Env != "":
		if text := line(os.Getenv(r.Env)); text != "" {
			return New(text), nil
		}
		return Value{}, fmt.Errorf("environment variable %s is not set or empty", r.Env)
	case r.File != "":
		raw, err := yamlsrc.ReadRegular(r.File)
		if err != nil {
			return Value{}, fmt.Errorf("read secret: %w", err)
		}
		if text := line(string(raw)); text != "" {
			return New(text), nil
		}
		return Value{}, fmt.Errorf("secret file %s is empty", r.File)
	}
	return Value{}, errors.New("no secret is configured")
}

// line is text without the newline that editors and echo end it with: it is in files, and in
// variables that were made of such.
func line(text string) string {
	return strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
}

const refHint = "write {env: NAME} or {file: /path}"

// DecodeYAML implements yamlsrc.Decoder. A secret written in clear is a problem, and
// the report does not show its line; nor does it where the author has put the secret
// under a wrong key or in the place of the variable's name.
func (r *Ref) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	switch n.Kind {
	case yamlsrc.Null:
		report.Addf(n.Pos, n.Path, refHint, "a secret needs either env or file")
		return
	case yamlsrc.Scalar, yamlsrc.Seq:
		report.AddSecretf(n, refHint, "a secret must not stand in the file in clear")
		return
	case yamlsrc.Map:
	}
	before := report.Len()
	for _, e := range n.Entries {
		if e.Key == "env" && e.Value.Kind != yamlsrc.Null && !yamlsrc.IsEnvName(e.Value.Text) {
			report.AddSecretf(e.Value, refHint, "env takes the name of an environment variable, not the secret")
		} else if e.Key != "env" && e.Key != "file" {
			report.Conceal(e.Value)
		}
	}
	if report.Len() > before {
		return
	}
	type plain Ref
	n.Decode((*plain)(r), report)
	if report.Len() == before && (r.Env == "") == (r.File == "") {
		report.Addf(n.Pos, n.Path, refHint, "a secret needs either env or file")
	}
}

// Access says which secrets and variables the author of a route file may name: the
// operator's other secrets are out of reach. The zero value allows nothing.
type Access struct {
	Env   []string `yaml:"env" json:"env,omitempty" jsonschema_description:"Names of environment variables that route files may use; * and ? are wildcards: CRM_*."`
	Files []string `yaml:"files" json:"files,omitempty" jsonschema_description:"Folders or files that route files may read secrets from."`
}

// AllowsEnv reports whether the variable may be read.
func (a Access) AllowsEnv(name string) bool {
	for _, pattern := range a.Env {
		if ok, err := filepath.Match(pattern, name); ok && err == nil {
			return true
		}
	}
	return false
}

// AllowsFile reports whether the file may be read: it is, or lies below, one of Files.
func (a Access) AllowsFile(path string) bool {
	path = filepath.Clean(path)
	for _, allowed := range a.Files {
		rel, err := filepath.Rel(filepath.Clean(allowed), path)
		if err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return true
		}
	}
	return false
}

// Check reports a reference that the author may not use.
func (a Access) Check(r Ref, n *yamlsrc.Node, report *yamlsrc.Report) {
	switch {
	case r.Env != "" && !a.AllowsEnv(r.Env):
		report.Addf(n.Pos, n.Path, "add it to routes_may_read.env in headgate.yaml", "routes may not read the environment variable %s", r.Env)
	case r.File != "" && !a.AllowsFile(r.File):
		report.Addf(n.Pos, n.Path, "add its folder to routes_may_read.files in headgate.yaml", "routes may not read the file %s", r.File)
	}
}
