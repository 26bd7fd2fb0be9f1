// Package pyexpr evaluates the arithmetic of ComfyUI's math node (newer-nodes.md section 2): Python's expressions less
// what makes lists, functions or objects, with Python's unbounded integers, precedence and errors. There are no loops and
// no definitions; the size of numbers, of texts and of the whole work is bounded.
package pyexpr

import (
	"fmt"
	"math/big"
	"strings"

	"graphrun/graph/python"
)

// Limits of an expression. Those of power, shift and text are the reference's; the others keep one from taking minutes.
const (
	MostChars = 100_000   // of an expression, and of a text in it
	mostDepth = 200       // of parentheses and the like
	mostNodes = 20_000    // of operators, names and values
	mostPower = 4_000_000 // exponent of **
	mostShift = 10_000    // places of << and >>
	mostBits  = 1 << 24   // of an integer
	mostWork  = 1 << 25   // bits of all large results together
)

// Eval computes the expression. Names are the variables: integers, floats, booleans, nil, texts, lists of these.
// The result is one of nil, bool, *big.Int, float64, string or []any. Errors are *python.Error, of the class that the
// reference raises.
func Eval(expression string, names map[string]any) (any, error) {
	if len(expression) > MostChars {
		return nil, errorf("IterableTooLong", "an expression of %d bytes; at most %d", len(expression), MostChars)
	}
	p := &parser{}
	if err := p.lex(strings.TrimSpace(expression)); err != nil {
		return nil, err
	}
	tree, err := p.statement()
	if err != nil {
		return nil, err
	}
	e := &evaluator{names: names}
	return e.eval(tree)
}

func errorf(class, format string, args ...any) error {
	return &python.Error{Class: class, Text: fmt.Sprintf(format, args...)}
}

// kind is what a node of the tree is.
type kind uint8

const (
	constant    kind = iota // value
	name                    // text
	unary                   // op text, a
	binary                  // op text, a b
	compare                 // a, then pairs of op and operand in ops and list
	logic                   // op text, a b
	choice                  // a if b else c
	call                    // a is the function (name or attribute), list, keywords
	attribute               // a, text
	index                   // a, b
	slice                   // of index: list of three, nil where absent
	formatted               // text made of list: constants, and fields with a spec in b
	unavailable             // text says of what
)

type node struct {
	kind     kind
	text     string
	value    any
	a, b, c  *node
	list     []*node
	ops      []string
	keywords []string // of call: "" or the name, by argument
}

var (
	small  = [2]*big.Int{big.NewInt(0), big.NewInt(1)}
	maxInt = big.NewInt(1 << 62)
)
