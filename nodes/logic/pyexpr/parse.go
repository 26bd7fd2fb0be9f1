package pyexpr

import (
	"slices"
	"strings"
)

var keywords = []string{
	"False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else", "except", "finally",
	"for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
}

func (p *parser) peek() token {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return token{}
}

// is reports whether the next tokens are these operators or keywords.
func (p *parser) is(texts ...string) bool {
	for i, t := range texts {
		if p.at+i >= len(p.tokens) || p.tokens[p.at+i].text != t || p.tokens[p.at+i].kind != 'o' && p.tokens[p.at+i].kind != 'n' {
			return false
		}
	}
	return true
}

func (p *parser) take(texts ...string) bool {
	if !p.is(texts...) {
		return false
	}
	p.at += len(texts)
	return true
}

func (p *parser) expect(text string) error {
	if p.take(text) {
		return nil
	}
	return p.unexpected("'" + text + "'")
}

func (p *parser) unexpected(need string) error {
	t := p.peek()
	have := "the end"
	switch t.kind {
	case 'n', 'o':
		have = "'" + t.text + "'"
	case 'v', 'f':
		have = "a value"
	}
	return errorf("SyntaxError", "invalid syntax: need %s, have %s", need, have)
}

func (p *parser) node(n node) (*node, error) {
	if p.nodes++; p.nodes > mostNodes {
		return nil, errorf("MemoryError", "an expression of more than %d parts", mostNodes)
	}
	return &n, nil
}

// statement is an expression, or an assignment, of which the right side counts.
func (p *parser) statement() (*node, error) {
	for {
		n, err := p.expression()
		if err != nil {
			return nil, err
		}
		if p.is(",") { // a tuple
			return p.node(node{kind: unavailable, text: "Tuple"})
		}
		t := p.peek()
		assigns := t.kind == 'o' && strings.HasSuffix(t.text, "=") && !slices.Contains([]string{"==", "!=", "<=", ">=", ":="}, t.text)
		if assigns && (n.kind == name || n.kind == attribute || n.kind == index) {
			p.at++
			continue
		}
		if t.kind != 0 && t.kind != ';' {
			return nil, p.unexpected("an operator")
		}
		return n, nil
	}
}

// expression is what may stand in parentheses or as an argument.
func (p *parser) expression() (*node, error) {
	if p.depth++; p.depth > mostDepth {
		return nil, errorf("RecursionError", "an expression nested more than %d deep", mostDepth)
	}
	defer func() { p.depth-- }()
	if p.take("lambda") {
		for !p.is(":") {
			if p.at >= len(p.tokens) {
				return nil, p.unexpected("':'")
			}
			p.at++
		}
		p.at++
		if _, err := p.expression(); err != nil {
			return nil, err
		}
		return p.node(node{kind: unavailable, text: "Lambda"})
	}
	n, err := p.binary(0)
	if err != nil || !p.take("if") {
		return n, err
	}
	cond, err := p.binary(0)
	if err == nil {
		err = p.expect("else")
	}
	if err != nil {
		return nil, err
	}
	other, err := p.expression()
	if err != nil {
		return nil, err
	}
	return p.node(node{kind: choice, a: n, b: cond, c: other})
}

// levels are the binary operators from those that bind loosest; nil is the level of not, then that of comparisons.
var levels = [][]string{{"or"}, {"and"}, nil, nil, {"|"}, {"^"}, {"&"}, {"<<", ">>"}, {"+", "-"}, {"*", "/", "//", "%", "@"}}

const notLevel, compareLevel = 2, 3

func (p *parser) binary(level int) (*node, error) {
	switch {
	case level == len(levels):
		return p.unary()
	case level == notLevel:
		return p.not()
	case level == compareLevel:
		return p.compare()
	}
	left, err := p.binary(level + 1)
	for err == nil {
		t := p.peek()
		if t.kind != 'o' && t.kind != 'n' || !slices.Contains(levels[level], t.text) {
			break
		}
		p.at++
		var right *node
		if right, err = p.binary(level + 1); err != nil {
			break
		}
		k := binary
		if level < notLevel {
			k = logic
		}
		left, err = p.node(node{kind: k, text: t.text, a: left, b: right})
	}
	return left, err
}

func (p *parser) not() (*node, error) {
	count := 0
	for p.take("not") {
		count++
	}
	n, err := p.binary(compareLevel)
	for ; count > 0 && err == nil; count-- {
		n, err = p.node(node{kind: unary, text: "not", a: n})
	}
	return n, err
}

var comparisons = [][]string{{"not", "in"}, {"is", "not"}, {"=="}, {"!="}, {"<="}, {">="}, {"<"}, {">"}, {"in"}, {"is"}}

func (p *parser) compare() (*node, error) {
	left, err := p.binary(compareLevel + 1)
	if err != nil {
		return nil, err
	}
	var chain *node
next:
	for _, op := range comparisons {
		if !p.take(op...) {
			continue
		}
		right, err := p.binary(compareLevel + 1)
		if err == nil && chain == nil {
			chain, err = p.node(node{kind: compare, a: left})
		}
		if err != nil {
			return nil, err
		}
		chain.ops, chain.list = append(chain.ops, strings.Join(op, " ")), append(chain.list, right)
		goto next
	}
	if chain != nil {
		return chain, nil
	}
	return left, nil
}

// unary reads signs, and a power, which binds tighter than a sign before it and looser than one after.
func (p *parser) unary() (*node, error) {
	if p.depth++; p.depth > mostDepth {
		return nil, errorf("RecursionError", "an expression nested more than %d deep", mostDepth)
	}
	defer func() { p.depth-- }()
	if t := p.peek(); t.kind == 'o' && (t.text == "-" || t.text == "+" || t.text == "~") {
		p.at++
		n, err := p.unary()
		if err != nil {
			return nil, err
		}
		return p.node(node{kind: unary, text: t.text, a: n})
	}
	base, err := p.primary()
	if err != nil || !p.take("**") {
		return base, err
	}
	exp, err := p.unary()
	if err != nil {
		return nil, err
	}
	return p.node(node{kind: binary, text: "**", a: base, b: exp})
}

func (p *parser) primary() (*node, error) {
	n, err := p.atom()
	for err == nil {
		switch {
		case p.take("."):
			t := p.peek()
			if t.kind != 'n' {
				return nil, p.unexpected("a name")
			}
			p.at++
			n, err = p.node(node{kind: attribute, text: t.text, a: n})
		case p.take("["):
			n, err = p.index(n)
		case p.take("("):
			n, err = p.arguments(n)
		default:
			return n, nil
		}
	}
	return nil, err
}

// index reads what follows a bracket: an index, or a slice a:b:c.
func (p *parser) index(of *node) (*node, error) {
	parts := []*node{nil}
	for !p.is("]") {
		switch {
		case p.take(":"):
			if parts = append(parts, nil); len(parts) > 3 {
				return nil, p.unexpected("']'")
			}
			continue
		case p.is(",") || parts[len(parts)-1] != nil:
			if !p.is(",") {
				return nil, p.unexpected("']'")
			}
			return p.skip("]", "Tuple")
		}
		n, err := p.expression()
		if err != nil {
			return nil, err
		}
		parts[len(parts)-1] = n
	}
	p.at++
	at := parts[0]
	if len(parts) > 1 {
		var err error
		if at, err = p.node(node{kind: slice, list: append(parts, nil)[:3]}); err != nil {
			return nil, err
		}
	}
	if at == nil {
		return nil, p.unexpected("an index")
	}
	return p.node(node{kind: index, a: of, b: at})
}

func (p *parser) arguments(function *node) (*node, error) {
	n := node{kind: call, a: function}
	for !p.take(")") {
		keyword := ""
		if p.is("*") || p.is("**") {
			return p.skip(")", "Starred")
		}
		if t := p.peek(); t.kind == 'n' && p.at+1 < len(p.tokens) && p.tokens[p.at+1].kind == 'o' && p.tokens[p.at+1].text == "=" {
			keyword = t.text
			p.at += 2
		}
		arg, err := p.expression()
		if err != nil {
			return nil, err
		}
		if p.is("for") {
			return p.skip(")", "GeneratorExp")
		}
		if p.is(":=") {
			return p.skip(")", "NamedExpr")
		}
		if keyword == "" && len(n.keywords) > 0 && n.keywords[len(n.keywords)-1] != "" {
			return nil, errorf("SyntaxError", "positional argument follows keyword argument")
		}
		n.list, n.keywords = append(n.list, arg), append(n.keywords, keyword)
		if !p.is(")") {
			if err := p.expect(","); err != nil {
				return nil, err
			}
		}
	}
	return p.node(n)
}

// skip passes over the rest of a bracket whose inside cannot be evaluated.
func (p *parser) skip(end, what string) (*node, error) {
	for open := 1; p.at < len(p.tokens); p.at++ {
		t := p.tokens[p.at]
		if t.kind != 'o' {
			continue
		}
		switch t.text {
		case "(", "[", "{":
			open++
		case ")", "]", "}":
			if open--; open > 0 {
				continue
			}
			if t.text != end {
				return nil, p.unexpected("'" + end + "'")
			}
			p.at++
			return p.node(node{kind: unavailable, text: what})
		}
	}
	return nil, p.unexpected("'" + end + "'")
}

func (p *parser) atom() (*node, error) {
	t := p.peek()
	p.at++
	switch {
	case t.kind == 'v':
		if s, ok := t.v.(string); ok && p.peek().kind == 'f' {
			return p.formatted(s)
		}
		return p.node(node{kind: constant, value: t.v})
	case t.kind == 'f':
		p.at--
		return p.formatted("")
	case t.kind == 'n':
		switch t.text {
		case "True", "False":
			return p.node(node{kind: constant, value: t.text == "True"})
		case "None":
			return p.node(node{kind: constant})
		}
		if !slices.Contains(keywords, t.text) {
			return p.node(node{kind: name, text: t.text})
		}
	case t.text == "...":
		return p.node(node{kind: constant, value: complexNumber{}})
	case t.text == "[":
		return p.skip("]", "List")
	case t.text == "{":
		return p.skip("}", "Dict")
	case t.text == "(":
		if p.is(")") {
			return p.skip(")", "Tuple")
		}
		if p.is("*") || p.is("yield") {
			return p.skip(")", "Starred")
		}
		n, err := p.expression()
		if err != nil {
			return nil, err
		}
		switch {
		case p.take(")"):
			return n, nil
		case p.is(","):
			return p.skip(")", "Tuple")
		case p.is("for"):
			return p.skip(")", "GeneratorExp")
		case p.is(":="):
			return p.skip(")", "NamedExpr")
		}
		return nil, p.unexpected("')'")
	}
	p.at--
	return nil, p.unexpected("a value")
}

// formatted reads f-strings, and plain texts beside them.
func (p *parser) formatted(before string) (*node, error) {
	n := node{kind: formatted}
	text := func(s string) {
		if s != "" {
			n.list = append(n.list, &node{kind: constant, value: s})
		}
	}
	text(before)
	for {
		t := p.peek()
		if s, ok := t.v.(string); ok && t.kind == 'v' {
			text(s)
		} else if t.kind != 'f' {
			return p.node(n)
		} else if err := p.fields(t.text, text, &n); err != nil {
			return nil, err
		}
		p.at++
	}
}

// fields reads the inside of an f-string.
func (p *parser) fields(s string, text func(string), n *node) error {
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			text(unescape(s))
			return nil
		}
		text(unescape(s[:i]))
		if i+1 < len(s) && s[i+1] == s[i] {
			text(s[i : i+1])
			s = s[i+2:]
			continue
		}
		end := strings.IndexByte(s, '}')
		if s[i] == '}' || end < i {
			return errorf("SyntaxError", "f-string: single '}' or no closing '}'")
		}
		field := s[i+1 : end]
		s = s[end+1:]
		body, spec := field, ""
		if k := strings.IndexByte(field, ':'); k >= 0 && !strings.ContainsAny(field[:k], "[(") {
			body, spec = field[:k], field[k+1:]
		}
		inner := &parser{depth: p.depth + 1, nodes: p.nodes}
		if err := inner.lex(strings.TrimSpace(body)); err != nil {
			return err
		}
		tree, err := inner.statement()
		if err != nil {
			return err
		}
		p.nodes = inner.nodes
		n.list = append(n.list, &node{kind: formatted, text: spec, a: tree})
	}
	return nil
}
