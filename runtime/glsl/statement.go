package glsl

// signal says how a statement ended.
type signal uint8

const (
	goOn signal = iota
	breakLoop
	continueLoop
	leave // return or discard
)

type statement func(*machine) signal

// block reads statements up to the closing brace.
func (c *compiler) block() statement {
	defer c.deeper()()
	c.scopes = append(c.scopes, map[string]*variable{})
	defer func() { c.scopes = c.scopes[:len(c.scopes)-1] }()
	var list []statement
	for !c.accept("}") {
		list = append(list, c.statement())
	}
	return sequence(list)
}

func sequence(list []statement) statement {
	if len(list) == 1 {
		return list[0]
	}
	return func(m *machine) signal {
		for _, s := range list {
			if sig := s(m); sig != goOn {
				return sig
			}
		}
		return goOn
	}
}

func (c *compiler) statement() statement {
	defer c.deeper()()
	switch c.peek() {
	case "{":
		c.next()
		return c.block()
	case ";":
		c.next()
		return func(*machine) signal { return goOn }
	case "if":
		return c.ifStatement()
	case "for", "while", "do":
		return c.loop()
	case "switch":
		return c.switchStatement()
	case "break", "continue", "discard", "return":
		return c.jump()
	}
	s := c.simple()
	c.expect(";")
	return s
}

// simple is a declaration or an expression, without its semicolon.
func (c *compiler) simple() statement {
	_, isType := names[c.peek()]
	declares := isType && (c.at+1 >= len(c.tokens) || c.tokens[c.at+1].text != "(" && !c.arrayConstructor())
	switch c.peek() {
	case "const", "highp", "mediump", "lowp":
		declares = true
	}
	if !declares {
		n := c.expression(0)
		return func(m *machine) signal {
			n.eval(m)
			return goOn
		}
	}
	q := c.qualifiers()
	k := c.typeName()
	var list []statement
	for {
		name := c.next()
		init := c.variable(q, c.arraySuffix(k), name)
		list = append(list, func(m *machine) signal {
			init(m)
			return goOn
		})
		if !c.accept(",") {
			return sequence(list)
		}
	}
}

// arrayConstructor looks ahead for float[](...) or float[3](...).
func (c *compiler) arrayConstructor() bool {
	i := c.at + 1
	if i >= len(c.tokens) || c.tokens[i].text != "[" {
		return false
	}
	for ; i < len(c.tokens) && c.tokens[i].text != "]"; i++ {
	}
	return i+1 < len(c.tokens) && c.tokens[i+1].text == "("
}

// condition is an expression that is true or false.
func (c *compiler) condition() *node {
	n := c.expression(0)
	if n.typ != names["bool"] {
		c.fail("a condition must be a bool, not %v", n.typ)
	}
	return n
}

func (c *compiler) ifStatement() statement {
	c.next()
	c.expect("(")
	n := c.condition()
	c.expect(")")
	yes := c.scoped()
	no := func(*machine) signal { return goOn }
	if c.accept("else") {
		no = c.scoped()
	}
	return func(m *machine) signal {
		n.eval(m)
		if m.f[n.at] != 0 {
			return yes(m)
		}
		return no(m)
	}
}

// scoped is a statement with a scope of its own.
func (c *compiler) scoped() statement {
	c.scopes = append(c.scopes, map[string]*variable{})
	defer func() { c.scopes = c.scopes[:len(c.scopes)-1] }()
	return c.statement()
}

func (c *compiler) loop() statement {
	c.scopes = append(c.scopes, map[string]*variable{})
	defer func() { c.scopes = c.scopes[:len(c.scopes)-1] }()
	var before, after statement
	var cond *node
	var body statement
	line := c.tokens[c.at].line
	first := true // the condition is asked before the first round
	switch c.next() {
	case "for":
		c.expect("(")
		if !c.accept(";") {
			before = c.simple()
			c.expect(";")
		}
		if !c.accept(";") {
			cond = c.condition()
			c.expect(";")
		}
		if c.peek() != ")" {
			n := c.expression(0)
			after = func(m *machine) signal {
				n.eval(m)
				return goOn
			}
		}
		c.expect(")")
		body = c.scoped()
	case "while":
		c.expect("(")
		cond = c.condition()
		c.expect(")")
		body = c.scoped()
	default:
		first = false
		body = c.scoped()
		c.expect("while")
		c.expect("(")
		cond = c.condition()
		c.expect(")")
		c.expect(";")
	}
	return func(m *machine) signal {
		if before != nil {
			before(m)
		}
		for ask := first; ; ask = true {
			if cond != nil && ask {
				cond.eval(m)
				if m.f[cond.at] == 0 {
					return goOn
				}
			}
			if m.steps--; m.steps < 0 {
				if m.err == nil {
					m.err = &Error{line, "a loop does not end"}
				}
				return leave
			}
			switch body(m) {
			case breakLoop:
				return goOn
			case leave:
				return leave
			}
			if after != nil {
				after(m)
			}
		}
	}
}

func (c *compiler) switchStatement() statement {
	c.next()
	c.expect("(")
	n := c.expression(0)
	c.expect(")")
	c.expect("{")
	c.scopes = append(c.scopes, map[string]*variable{})
	defer func() { c.scopes = c.scopes[:len(c.scopes)-1] }()
	var list []statement
	entries, other := map[float64]int{}, -1
	for !c.accept("}") {
		switch {
		case c.accept("case"):
			v := c.expression(2)
			if v.value == nil {
				c.fail("case: need a constant")
			}
			entries[*v.value] = len(list)
			c.expect(":")
		case c.accept("default"):
			other = len(list)
			c.expect(":")
		default:
			list = append(list, c.statement())
		}
	}
	if other < 0 {
		other = len(list)
	}
	return func(m *machine) signal {
		n.eval(m)
		from, ok := entries[m.f[n.at]]
		if !ok {
			from = other
		}
		for _, s := range list[from:] {
			switch sig := s(m); sig {
			case goOn:
			case breakLoop:
				return goOn
			default:
				return sig
			}
		}
		return goOn
	}
}

func (c *compiler) jump() statement {
	word := c.next()
	sig := map[string]signal{"break": breakLoop, "continue": continueLoop, "discard": leave, "return": leave}[word]
	if word == "return" && c.peek() != ";" {
		f := c.current
		n := c.convert(c.expression(0), f.result)
		c.expect(";")
		size := f.result.size()
		return func(m *machine) signal {
			n.eval(m)
			copy(m.f[f.at:f.at+size], m.f[n.at:n.at+size])
			return leave
		}
	}
	c.expect(";")
	gone := word == "discard"
	return func(m *machine) signal {
		m.gone = m.gone || gone
		return sig
	}
}
