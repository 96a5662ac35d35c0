package tracking_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// constants lists the values of the package's string constants of a type, from its
// source: a list kept here could be forgotten.
func constants(t *testing.T, typ string) (out []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "tracking.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); ok && id.Name == typ {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, value)
		}
		return true
	})
	return out
}

// TestStatesAreDrawn holds docs/states.md to the constants: each state stands in a
// diagram and in the tables, and the diagrams draw no other.
func TestStatesAreDrawn(t *testing.T) {
	raw, err := os.ReadFile("../../docs/states.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.SplitN(string(raw), "## A dispatch", 2)
	if len(parts) != 2 {
		t.Fatal("there is no section about a dispatch")
	}
	if got := constants(t, "State"); len(got) != len(allStates) {
		t.Errorf("the source has %d states, the tests know %d", len(got), len(allStates))
	}
	for i, typ := range []string{"State", "Status"} {
		diagram, tables := "", ""
		for j, block := range strings.Split(parts[i], "```") {
			if j%2 == 1 {
				diagram += block
			} else {
				tables += block
			}
		}
		drawn := map[string]bool{}
		for _, edge := range regexp.MustCompile(`(?m)^\s*(\S+) --> ([^\s:]+)`).FindAllStringSubmatch(diagram, -1) {
			drawn[edge[1]], drawn[edge[2]] = true, true
		}
		delete(drawn, "[*]")
		known := constants(t, typ)
		if len(known) < 5 {
			t.Fatalf("only %d constants of type %s found", len(known), typ)
		}
		for _, value := range known {
			if !drawn[value] {
				t.Errorf("%s %q is in no diagram", typ, value)
			}
			if !strings.Contains(tables, "`"+value+"`") {
				t.Errorf("%s %q is in no table", typ, value)
			}
			delete(drawn, value)
		}
		for other := range drawn {
			t.Errorf("a diagram draws %q, which is no %s", other, typ)
		}
	}
}
