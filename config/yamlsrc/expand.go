package yamlsrc

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Expand replaces ${NAME} in every string below n by what lookup gives for NAME.
// $${ stands for a literal ${; ${{ … }} is left for the expressions. It runs after
// parsing, so that a value can never change the shape of the file.
func (n *Node) Expand(lookup func(name string) (string, error), report *Report) {
	if n.Kind == Scalar && strings.Contains(n.Text, "${") {
		n.Text = expand(n, lookup, report)
	}
	for _, e := range n.Entries {
		e.Value.Expand(lookup, report)
	}
	for _, item := range n.Items {
		item.Expand(lookup, report)
	}
}

// Environment is the lookup for Expand that gives a variable of the process; one that is not set is an error.
func Environment(name string) (string, error) {
	if value, ok := os.LookupEnv(name); ok {
		return value, nil
	}
	return "", errors.New("the environment variable is not set")
}

func expand(n *Node, lookup func(string) (string, error), report *Report) string {
	var out strings.Builder
	for s := n.Text; s != ""; {
		i := strings.Index(s, "${")
		if i < 0 {
			out.WriteString(s)
			break
		}
		escaped := i > 0 && s[i-1] == '$'
		switch {
		case strings.HasPrefix(s[i:], "${{") && escaped: // a literal ${{: the expressions unescape it
			out.WriteString(s[:i+3])
			s = s[i+3:]
			continue
		case strings.HasPrefix(s[i:], "${{"):
			end := i + expressionLength(s[i:])
			inside(n, s[i:end], report)
			out.WriteString(s[:end])
			s = s[end:]
			continue
		case escaped:
			out.WriteString(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		out.WriteString(s[:i])
		name, rest, closed := strings.Cut(s[i+2:], "}")
		if !closed || !IsEnvName(name) {
			report.addOnlyf(n.Pos, n.Path, "write ${NAME}, or $${ for a literal ${", "%q is not the name of an environment variable", "${"+shorten(name))
			out.WriteString("${")
			s = s[i+2:]
			continue
		}
		value, err := lookup(name)
		if err != nil {
			report.addOnlyf(n.Pos, n.Path, envHint(name, err), "${%s}: %s", name, err)
		}
		out.WriteString(value)
		s = rest
	}
	return out.String()
}

// envHint lets an error of lookup say what to do, where it knows better than to set the
// variable, by a method Hint.
func envHint(name string, err error) string {
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		return hinted.Hint()
	}
	return fmt.Sprintf("set %s, or write the value here", name)
}

// inside reports ${NAME} within an expression: putting a variable's text into program
// text would let its value change what the expression does.
func inside(n *Node, expression string, report *Report) {
	for s := expression[3:]; ; {
		i := strings.Index(s, "${")
		if i < 0 {
			return
		}
		s = s[i+2:]
		if name, _, closed := strings.Cut(s, "}"); closed && IsEnvName(name) {
			report.addOnlyf(n.Pos, n.Path, "put it outside: ${"+name+"}/${{ … }}", "${%s} does not work inside an expression", name)
		}
	}
}

// expressionLength is the length of the expression that s begins with, ${{ and }}
// included. What is not closed reaches to the end.
func expressionLength(s string) int {
	length, _ := scan(s)
	return length
}

const quote, brace, paren = '"', '{', '('

// scan reads the expression that s begins with and gives its length, and what is open where
// it breaks off. It knows just enough of jq for that: braces, and strings with \( … ) in them.
func scan(s string) (length int, open []byte) {
	open = []byte{brace, brace}
	for i := 3; i < len(s); i++ {
		top := open[len(open)-1]
		switch b := s[i]; {
		case top == quote && b == '\\':
			if i++; i < len(s) && s[i] == '(' {
				open = append(open, paren)
			}
		case b == quote && top == quote,
			b == '}' && top == brace,
			b == ')' && top == paren:
			if open = open[:len(open)-1]; len(open) == 0 {
				return i + 1, nil
			}
		case top != quote && (b == quote || b == brace || b == paren):
			open = append(open, b)
		}
	}
	return len(s), open
}

// IsEnvName reports whether s can be the name of an environment variable.
func IsEnvName(s string) bool {
	for i, r := range s {
		letter := r == '_' || (r >= 'A' && r <= 'Z') || (r >= 'a' && r <= 'z')
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}
