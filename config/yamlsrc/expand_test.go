package yamlsrc

import (
	"errors"
	"strings"
	"testing"
)

type forbidden struct{ error }

func (forbidden) Hint() string { return "ask the operator" }

func lookup(name string) (string, error) {
	switch name {
	case "A":
		return "alpha", nil
	case "PORT":
		return "8080", nil
	case "DEEP":
		return "${A} ${{ .x }}", nil
	case "SECRET":
		return "", forbidden{errors.New("not allowed")}
	}
	return "", errors.New("is not set")
}

func TestExpand(t *testing.T) {
	for text, want := range map[string]string{
		"${A}":                        "alpha",
		"x${A}y${A}":                  "xalphayalpha",
		"$${A}":                       "${A}",
		"a $${A} ${A}":                "a ${A} alpha",
		"${{ .a }}":                   "${{ .a }}",
		"$${{ .a }}":                  "$${{ .a }}",
		"${A}/${{ .a }}/${A}":         "alpha/${{ .a }}/alpha",
		"${{ \"}}\" + .a }}${A}":      `${{ "}}" + .a }}alpha`,
		`${{ "\({x: "}"}) \"" }}${A}`: `${{ "\({x: "}"}) \"" }}alpha`,
		"${{ {a: {b: 1}} }}${A}":      "${{ {a: {b: 1}} }}alpha",
		"${DEEP}":                     "${A} ${{ .x }}",
		"$A $ {A} $":                  "$A $ {A} $",
	} {
		var report Report
		n := &Node{Kind: Scalar, Text: text, Quoted: true}
		n.Expand(lookup, &report)
		if n.Text != want || report.Len() > 0 {
			t.Errorf("%s: %s, want %s (%v)", text, n.Text, want, report.Err())
		}
	}
}

func TestExpandProblems(t *testing.T) {
	for text, want := range map[string]string{
		"${NONE}":               "${NONE}: is not set / set NONE, or write the value here",
		"${SECRET}":             "${SECRET}: not allowed / ask the operator",
		"${":                    `"${" is not the name of an environment variable / write ${NAME}, or $${ for a literal ${`,
		"${a b}":                `"${a b" is not the name of an environment variable / write ${NAME}, or $${ for a literal ${`,
		"${1A}":                 `"${1A" is not the name of an environment variable / write ${NAME}, or $${ for a literal ${`,
		`${{ "${A}/x" + .id }}`: "${A} does not work inside an expression / put it outside: ${A}/${{ … }}",
	} {
		var report Report
		n := &Node{Kind: Seq, Items: []*Node{{Kind: Scalar, Text: text, Pos: Pos{"f", 3, 4}}}}
		n.Expand(lookup, &report)
		got := report.Problems()
		if len(got) != 1 || got[0].Message+" / "+got[0].Hint != want || got[0].Line != 3 {
			t.Errorf("%s: %v, want %s", text, report.Err(), want)
		}
	}
}

// A variable may change a scalar's type (a port) but never the shape of the file.
func TestExpandAfterParsing(t *testing.T) {
	var report Report
	n := Parse("f", []byte("port: ${PORT}\ntext: '${PORT}'\n"), &report)
	n.Expand(func(string) (string, error) { return "1\nadmin: true", nil }, &report)
	if n.Get("admin") != nil || !strings.Contains(n.Get("port").Text, "admin") {
		t.Errorf("%v", n.Value())
	}
	n = Parse("f", []byte("level: ${PORT}\n"), &report)
	n.Expand(lookup, &report)
	var into outer
	if n.Decode(&into, &report); into.Level != 8080 || report.Len() > 0 {
		t.Errorf("%d, %v", into.Level, report.Err())
	}
}
