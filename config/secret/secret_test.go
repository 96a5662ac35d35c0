package secret

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headgate/config/yamlsrc"
)

func TestValueNeverPrints(t *testing.T) {
	const clear = "hunter2"
	v := New(clear)
	type holder struct {
		V Value
		P *Value
		M map[string]Value
		A any
	}
	h := holder{v, &v, map[string]Value{"k": v}, v}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v", "%08b", "%p"} {
		for _, arg := range []any{v, &v, h, &h, []Value{v}} {
			fmt.Fprintf(&out, verb+"\n", arg)
		}
	}
	asJSON, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(asJSON)
	asXML, err := xml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(asXML)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v, "h", h)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v, "h", h)
	fmt.Fprint(&out, fmt.Errorf("wrap %v: %w", v, fmt.Errorf("%s", v)))
	for _, form := range []string{clear, fmt.Sprintf("%x", clear), fmt.Sprintf("%X", clear)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("%q is in the output:\n%s", form, out.String())
		}
	}
	if v.Reveal() != clear || !v.Equal(clear) || v.Equal("hunter") || v.Equal("") {
		t.Error("Reveal or Equal is wrong")
	}
}

func TestRefRead(t *testing.T) {
	t.Setenv("SECRET_TEST", "from env")
	t.Setenv("SECRET_EMPTY", "")
	t.Setenv("SECRET_LINE", "by echo\n")
	t.Setenv("SECRET_BLANK", "\n")
	dir := t.TempDir()
	for name, content := range map[string]string{"lf": "a b\n", "crlf": "x\r\n", "two": "y\n\n", "empty": "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		ref  Ref
		want string
		bad  bool
	}{
		"env":        {Ref{Env: "SECRET_TEST"}, "from env", false},
		"env line":   {Ref{Env: "SECRET_LINE"}, "by echo", false},
		"blank env":  {Ref{Env: "SECRET_BLANK"}, "", true},
		"empty env":  {Ref{Env: "SECRET_EMPTY"}, "", true},
		"absent env": {Ref{Env: "SECRET_ABSENT"}, "", true},
		"file":       {Ref{File: filepath.Join(dir, "lf")}, "a b", false},
		"crlf":       {Ref{File: filepath.Join(dir, "crlf")}, "x", false},
		"two ends":   {Ref{File: filepath.Join(dir, "two")}, "y\n", false},
		"empty file": {Ref{File: filepath.Join(dir, "empty")}, "", true},
		"no file":    {Ref{File: filepath.Join(dir, "none")}, "", true},
		"nothing":    {Ref{}, "", true},
	} {
		got, err := tc.ref.Read()
		if (err != nil) != tc.bad || got.Reveal() != tc.want {
			t.Errorf("%s: %q, %v", name, got.Reveal(), err)
		}
	}
}

func TestRefDecode(t *testing.T) {
	for text, want := range map[string]string{
		"t: {env: A_B}":          "",
		"t: {file: /run/x}":      "",
		"t: hunter2":             "in clear",
		"t: [hunter2]":           "in clear",
		"t: |\n  hunter2\n":      "in clear",
		"t: {value: hunter2}":    `unknown key "value"`,
		"t: {env: hunter2-x}":    "name of an environment variable",
		"t: {evn: A, x: 1}":      `did you mean "env"?`,
		"t: {env: A, file: b}":   "either env or file",
		"t: {}":                  "either env or file",
		"t:":                     "either env or file",
		"t: {env: }":             "env is empty",
		"t: {env: [hunter2, b]}": "name of an environment variable",
		"t: {env: ''}":           "name of an environment variable",
	} {
		var report yamlsrc.Report
		var r Ref
		n := yamlsrc.Parse("f", []byte(text), &report)
		r.DecodeYAML(n.Get("t"), &report)
		got := ""
		if err := report.Err(); err != nil {
			got = err.Error()
		}
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q", text, got, want)
		}
		if strings.Contains(got, "hunter2") {
			t.Errorf("%s: the report shows the secret:\n%s", text, got)
		}
	}
}

func TestAccess(t *testing.T) {
	a := Access{Env: []string{"CRM_*", "ESP"}, Files: []string{"/run/secrets", "/etc/one"}}
	for name, want := range map[string]bool{"CRM_": true, "CRM_TOKEN": true, "ESP": true, "ESPX": false, "PATH": false, "XCRM_": false, "": false} {
		if a.AllowsEnv(name) != want {
			t.Errorf("env %q: not %v", name, want)
		}
	}
	for path, want := range map[string]bool{
		"/run/secrets/a": true, "/run/secrets/a/../b": true, "/etc/one": true, "/run/secrets": true,
		"/run/secrets/../x": false, "/run/secretsx": false, "/etc/one.txt": false, "run/secrets/a": false, "": false, "/": false,
	} {
		if a.AllowsFile(path) != want {
			t.Errorf("file %q: not %v", path, want)
		}
	}
	if (Access{}).AllowsEnv("A") || (Access{}).AllowsFile("/a") {
		t.Error("the zero value allows something")
	}
	var report yamlsrc.Report
	n := &yamlsrc.Node{Pos: yamlsrc.Pos{File: "f", Line: 2, Column: 3}}
	a.Check(Ref{Env: "CRM_X"}, n, &report)
	a.Check(Ref{File: "/run/secrets/x"}, n, &report)
	if report.Len() > 0 {
		t.Errorf("allowed, but %v", report.Err())
	}
	a.Check(Ref{Env: "PATH"}, n, &report)
	a.Check(Ref{File: "/etc/passwd"}, n, &report)
	if report.Len() != 2 || !strings.Contains(report.Err().Error(), "routes_may_read.env") || !strings.Contains(report.Err().Error(), "routes_may_read.files") {
		t.Errorf("%v", report.Err())
	}
}
