package expression

import (
	"fmt"
	"reflect"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/types"
)

// guard rewrites a formula so that nothing in it escapes the limits: names are looked up when they are reached, loops stop
// at each turn to see whether they may go on, and operators that make texts, overflow,
// walk lists or reach into values are functions that count and check.
// Where the types are wrong it leaves the operator alone, for the checker to say so.
type guard struct {
	variables types.Map
	wrong     *file.Error
}

// The names of functions that a formula cannot write.
const (
	fnLookup   = "#lookup"
	fnTick     = "#tick"
	fnAdd      = "#add"
	fnAddInt   = "#addInt"
	fnConcat   = "#concat"
	fnSubtract = "#subtract"
	fnSubInt   = "#subtractInt"
	fnMultiply = "#multiply"
	fnMulInt   = "#multiplyInt"
	fnModulo   = "#modulo"
	fnEqual    = "#equal"
	fnUnequal  = "#unequal"
	fnIn       = "#in"
	fnMember   = "#member"
	fnSlice    = "#slice"
	fnRange    = "#range"
)

// Visit implements ast.Visitor; children come before their parents.
func (g *guard) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		if n.Value == "$env" {
			g.unknown(n, n.Value)
		}
		if _, ok := g.variables[n.Value]; ok {
			ast.Patch(node, call(n, fnLookup, &ast.StringNode{Value: n.Value}))
		}
	case *ast.BuiltinNode:
		if !reserved[n.Name] { // the parser knows loops that we do not
			g.unknown(n, n.Name)
		}
	case *ast.PredicateNode:
		body := &ast.SequenceNode{Nodes: []ast.Node{call(n, fnTick), n.Node}}
		body.SetLocation(n.Location())
		n.Node = body
	case *ast.MemberNode:
		if k := kindOf(n.Node); !n.Optional && (k == anything || k == text || k == other) {
			ast.Patch(node, call(n, fnMember, n.Node, n.Property))
		}
	case *ast.SliceNode:
		if k := kindOf(n.Node); k == anything || k == text || k == other {
			ast.Patch(node, call(n, fnSlice, n.Node, orNil(n.From), orNil(n.To)))
		}
	case *ast.BinaryNode:
		if name := counted(n); name != "" {
			ast.Patch(node, call(n, name, n.Left, n.Right))
		}
	}
}

// counted is the function to take instead of an operator, "" for the operator itself.
func counted(n *ast.BinaryNode) string {
	l, r := kindOf(n.Left), kindOf(n.Right)
	unknown := l == anything || r == anything
	whole := l == integer && r == integer
	numbers := (l == integer || l == anything) && (r == integer || r == anything)
	switch n.Operator {
	case "+":
		switch {
		case whole:
			return fnAddInt
		case l == text && r == text:
			return fnConcat
		case unknown && l != fraction && r != fraction && l != other && r != other:
			return fnAdd
		}
	case "-":
		if whole {
			return fnSubInt
		} else if numbers {
			return fnSubtract
		}
	case "*":
		if whole {
			return fnMulInt
		} else if numbers {
			return fnMultiply
		}
	case "%":
		if isNumber(l) && isNumber(r) {
			return fnModulo
		}
	case "==", "!=":
		if unknown || l == other || r == other {
			if n.Operator == "!=" {
				return fnUnequal
			}
			return fnEqual
		}
	case "in":
		return fnIn
	case "..":
		if numbers {
			return fnRange
		}
	}
	return ""
}

func isNumber(k kind) bool { return k == integer || k == fraction || k == anything }

type kind int

const (
	anything kind = iota // known at run time alone
	integer
	fraction
	text
	boolean
	other
)

func kindOf(n ast.Node) kind {
	switch n.Type().Kind() {
	case reflect.Interface:
		if _, isNil := n.(*ast.NilNode); isNil {
			return other
		}
		return anything
	case reflect.Int:
		return integer
	case reflect.Float64:
		return fraction
	case reflect.String:
		return text
	case reflect.Bool:
		return boolean
	}
	return other
}

func orNil(n ast.Node) ast.Node {
	if n == nil {
		return &ast.NilNode{}
	}
	return n
}

// call makes a call of a function in place of a node.
func call(at ast.Node, name string, args ...ast.Node) ast.Node {
	callee := &ast.IdentifierNode{Value: name}
	callee.SetLocation(at.Location())
	c := &ast.CallNode{Callee: callee, Arguments: args}
	c.SetLocation(at.Location())
	return c
}

func (g *guard) unknown(at ast.Node, name string) {
	g.wrong = &file.Error{Location: at.Location(), Message: "unknown name " + name}
}

func (g *guard) err(code string) error {
	if g.wrong == nil {
		return nil
	}
	return g.wrong.Bind(file.NewSource(code))
}

var _ ast.Visitor = (*guard)(nil)

// mismatch is a value of a type that an operator does not take.
func mismatch(operator string, a, b any) error {
	return fmt.Errorf("operator %s does not take %s and %s", operator, typeName(a), typeName(b))
}
