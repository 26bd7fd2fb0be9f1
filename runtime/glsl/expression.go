package glsl

import (
	"math"
	"slices"
	"strings"
)

// expression reads one; above level 0 without commas.
func (c *compiler) expression(level int) *node {
	defer c.deeper()()
	n := c.assignment()
	for level == 0 && c.accept(",") {
		first, second := n, c.assignment()
		n = &node{typ: second.typ, at: second.at, run: func(m *machine) {
			first.eval(m)
			second.eval(m)
		}}
	}
	return n
}

func (c *compiler) assignment() *node {
	left := c.ternary()
	op := c.peek()
	if op != "=" && (len(op) < 2 || !strings.HasSuffix(op, "=") || strings.Contains("== != <= >=", op)) {
		return left
	}
	c.next()
	right := c.expression(1)
	if op != "=" {
		right = c.binary(strings.TrimSuffix(op, "="), left, right)
	}
	return c.assign(left, right)
}

// assign stores right in left's place; its value is right's.
func (c *compiler) assign(left, right *node) *node {
	p := left.place
	if p == nil || p.readonly {
		c.fail("this cannot be assigned to")
	}
	right = c.convert(right, left.typ)
	return &node{typ: left.typ, at: right.at, run: func(m *machine) {
		right.eval(m)
		p.store(m, right.at)
	}}
}

// store copies a value to a place, which it may overlap.
func (p *place) store(m *machine, from int) {
	base := p.base
	if p.dyn != nil {
		base += p.dyn(m)
	}
	n := len(p.comps)
	if n == 1 {
		m.f[base+p.comps[0]] = m.f[from]
		return
	}
	var small [16]float64
	values := small[:]
	if n > len(small) {
		values = make([]float64, n)
	}
	copy(values[:n], m.f[from:from+n])
	for i, at := range p.comps {
		m.f[base+at] = values[i]
	}
}

// load is a node that reads a place: itself where the place is one piece, else a copy.
func (c *compiler) load(k kind, p *place, before func(*machine)) *node {
	n := len(p.comps)
	if p.dyn == nil && p.comps[n-1]-p.comps[0] == n-1 && slices.IsSorted(p.comps) {
		return &node{typ: k, at: p.base + p.comps[0], run: before, place: p}
	}
	at := c.room(n)
	return &node{typ: k, at: at, place: p, run: func(m *machine) {
		if before != nil {
			before(m)
		}
		base := p.base
		if p.dyn != nil {
			base += p.dyn(m)
		}
		for i, k := range p.comps {
			m.f[at+i] = m.f[base+k]
		}
	}}
}

func (c *compiler) ternary() *node {
	cond := c.binaryLevel(0)
	if !c.accept("?") {
		return cond
	}
	yes := c.expression(1)
	c.expect(":")
	no := c.assignment()
	if cond.typ != names["bool"] {
		c.fail("the condition before ? must be a bool")
	}
	if yes.typ != no.typ {
		if yes.typ.base == float {
			no = c.convert(no, yes.typ)
		} else {
			yes = c.convert(yes, no.typ)
		}
	}
	size := yes.typ.size()
	at := c.room(size)
	return &node{typ: yes.typ, at: at, run: func(m *machine) {
		cond.eval(m)
		n := no
		if m.f[cond.at] != 0 {
			n = yes
		}
		n.eval(m)
		copy(m.f[at:at+size], m.f[n.at:n.at+size])
	}}
}

// levels of binary operators, the loosest first.
var levels = [][]string{{"||"}, {"^^"}, {"&&"}, {"|"}, {"^"}, {"&"}, {"==", "!="}, {"<", ">", "<=", ">="}, {"<<", ">>"}, {"+", "-"}, {"*", "/", "%"}}

func (c *compiler) binaryLevel(level int) *node {
	if level == len(levels) {
		return c.unary()
	}
	left := c.binaryLevel(level + 1)
	for slices.Contains(levels[level], c.peek()) {
		op := c.next()
		left = c.binary(op, left, c.binaryLevel(level+1))
	}
	return left
}

func (c *compiler) unary() *node {
	defer c.deeper()()
	switch op := c.peek(); op {
	case "+":
		c.next()
		return c.unary()
	case "-":
		c.next()
		n := c.unary()
		if !n.typ.numeric() {
			c.fail("- of %v", n.typ)
		}
		k := n.typ
		return c.each(k, func(m *machine, i int) float64 { return narrow(k.base, -m.f[n.at+i]) }, n)
	case "!":
		c.next()
		n := c.unary()
		if n.typ != names["bool"] {
			c.fail("! of %v", n.typ)
		}
		return c.each(n.typ, func(m *machine, _ int) float64 { return 1 - m.f[n.at] }, n)
	case "~":
		c.next()
		n := c.unary()
		if n.typ.base != integer && n.typ.base != unsigned {
			c.fail("~ of %v", n.typ)
		}
		k := n.typ
		return c.each(k, func(m *machine, i int) float64 { return wrap(k.base, ^int64(m.f[n.at+i])) }, n)
	case "++", "--":
		c.next()
		n := c.unary()
		return c.assign(n, c.binary(op[:1], n, c.one(n.typ)))
	}
	return c.postfix(c.primary())
}

// one is 1 of a type's base.
func (c *compiler) one(k kind) *node {
	return c.constant(kind{k.base, 1, 1, 0}, 1)
}

// constant is a number whose place is set before the first pixel.
func (c *compiler) constant(k kind, v float64) *node {
	at := c.room(1)
	c.p.setup = append(c.p.setup, func(m *machine) { m.f[at] = v })
	return &node{typ: k, at: at, value: &v}
}

// each is a node that computes component after component, after its operands.
func (c *compiler) each(k kind, f func(m *machine, i int) float64, operands ...*node) *node {
	at, size := c.room(k.size()), k.size()
	n := &node{typ: k, at: at}
	runs := needed(operands...)
	n.run = func(m *machine) {
		for _, run := range runs {
			run(m)
		}
		for i := range size {
			m.f[at+i] = f(m, i)
		}
	}
	if size == 1 && c.p.size < 1<<14 && !slices.ContainsFunc(operands, func(o *node) bool { return o.value == nil }) {
		m := &machine{f: make([]float64, c.p.size)} // of constants the value is known
		for _, o := range operands {
			m.f[o.at] = *o.value
		}
		v := f(m, 0)
		n.value = &v
	}
	return n
}

// needed is what must run before the operands have their values.
func needed(operands ...*node) (runs []func(*machine)) {
	for _, o := range operands {
		if o.run != nil {
			runs = append(runs, o.run)
		}
	}
	return runs
}

// narrow rounds to what the base can hold.
func narrow(b base, v float64) float64 {
	switch b {
	case float:
		return float64(float32(v))
	case integer, unsigned:
		return wrap(b, int64(v))
	}
	return v
}

// wrap keeps the low 32 bits.
func wrap(b base, v int64) float64 {
	if b == unsigned {
		return float64(uint32(v))
	}
	return float64(int32(v))
}

// convert makes n a value of the type: numbers of other bases, and one piece of a constant size, are accepted.
func (c *compiler) convert(n *node, k kind) *node {
	if n.typ == k {
		return n
	}
	if n.typ.numeric() && k.numeric() && n.typ.rows == k.rows && n.typ.cols == k.cols {
		return c.each(k, func(m *machine, i int) float64 { return cast(k.base, m.f[n.at+i]) }, n)
	}
	c.fail("need %v, have %v", k, n.typ)
	return nil
}

// cast is a constructor's conversion of one component.
func cast(b base, v float64) float64 {
	switch b {
	case boolean:
		if v != 0 {
			return 1
		}
		return 0
	case integer, unsigned:
		if v != v || math.Abs(v) > 1<<62 {
			return 0
		}
		return wrap(b, int64(v))
	}
	return float64(float32(v))
}

func (c *compiler) binary(op string, l, r *node) *node {
	switch op {
	case "||", "&&":
		if l.typ != names["bool"] || r.typ != names["bool"] {
			c.fail("%s of %v and %v", op, l.typ, r.typ)
		}
		at, stop := c.room(1), 0.
		if op == "||" {
			stop = 1
		}
		return &node{typ: l.typ, at: at, run: func(m *machine) {
			l.eval(m)
			v := m.f[l.at]
			if v != stop {
				r.eval(m)
				v = m.f[r.at]
			}
			m.f[at] = v
		}}
	case "==", "!=", "^^":
		if l.typ != r.typ {
			if l.typ.base == float {
				r = c.convert(r, l.typ)
			} else {
				l = c.convert(l, r.typ)
			}
		}
		size, equal := l.typ.size(), op == "=="
		return c.each(names["bool"], func(m *machine, _ int) float64 {
			return truth(slices.Equal(m.f[l.at:l.at+size], m.f[r.at:r.at+size]) == equal)
		}, l, r)
	}
	if !l.typ.numeric() || !r.typ.numeric() {
		c.fail("%s of %v and %v", op, l.typ, r.typ)
	}
	if l.typ.base != r.typ.base && op != "<<" && op != ">>" {
		if l.typ.base == float || r.typ.base == integer { // constants such as 2 count as what the other side is
			k := r.typ
			k.base = l.typ.base
			r = c.convert(r, k)
		} else {
			k := l.typ
			k.base = r.typ.base
			l = c.convert(l, k)
		}
	}
	if op == "*" && (l.typ.matrix() || r.typ.matrix()) && !l.typ.scalar() && !r.typ.scalar() {
		return c.product(l, r)
	}
	k := l.typ
	if k.scalar() {
		k = r.typ
	} else if !r.typ.scalar() && r.typ != k {
		c.fail("%s of %v and %v", op, l.typ, r.typ)
	}
	ls, rs := stride(l, k), stride(r, k)
	switch op {
	case "<", ">", "<=", ">=":
		if !k.scalar() {
			c.fail("%s of %v: use lessThan and its kin", op, k)
		}
		less := strings.HasPrefix(op, "<")
		return c.each(names["bool"], func(m *machine, _ int) float64 {
			a, b := m.f[l.at], m.f[r.at]
			if !less {
				a, b = b, a
			}
			return truth(a < b || a == b && len(op) == 2)
		}, l, r)
	}
	if k.base == float {
		return c.arithmetic(op, k, l, r, ls, rs)
	}
	f := integers[op]
	if f == nil {
		c.fail("%s of %v", op, k)
	}
	b := k.base
	return c.each(k, func(m *machine, i int) float64 { return wrap(b, f(int64(m.f[l.at+i*ls]), int64(m.f[r.at+i*rs]))) }, l, r)
}

// integers are the operators of int and uint; a division by zero, which GLSL leaves open, is 0.
var integers = map[string]func(a, b int64) int64{
	"+": func(a, b int64) int64 { return a + b }, "-": func(a, b int64) int64 { return a - b }, "*": func(a, b int64) int64 { return a * b },
	"/": func(a, b int64) int64 {
		if b == 0 {
			return 0
		}
		return a / b
	},
	"%": func(a, b int64) int64 {
		if b == 0 {
			return 0
		}
		return a % b
	},
	"&": func(a, b int64) int64 { return a & b }, "|": func(a, b int64) int64 { return a | b }, "^": func(a, b int64) int64 { return a ^ b },
	"<<": func(a, b int64) int64 { return a << (b & 31) }, ">>": func(a, b int64) int64 { return a >> (b & 31) },
}

// stride is how far the components of an operand lie apart: a scalar stands for all.
func stride(n *node, k kind) int {
	if n.typ.scalar() && !k.scalar() {
		return 0
	}
	return 1
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// arithmetic of floats: a loop for each operator, for it is what shaders do most.
func (c *compiler) arithmetic(op string, k kind, l, r *node, ls, rs int) *node {
	functions := map[string]func(a, b float64) float64{
		"+": func(a, b float64) float64 { return a + b }, "-": func(a, b float64) float64 { return a - b },
		"*": func(a, b float64) float64 { return a * b }, "/": func(a, b float64) float64 { return a / b },
	}
	f := functions[op]
	if f == nil {
		c.fail("%s of %v", op, k)
	}
	la, ra := l.at, r.at
	n := c.each(k, func(m *machine, i int) float64 { return float64(float32(f(m.f[la+i*ls], m.f[ra+i*rs]))) }, l, r)
	at, size, runs := n.at, k.size(), needed(l, r)
	loop := map[string]func(f []float64){
		"+": func(f []float64) {
			for i := range size {
				f[at+i] = float64(float32(f[la+i*ls] + f[ra+i*rs]))
			}
		},
		"-": func(f []float64) {
			for i := range size {
				f[at+i] = float64(float32(f[la+i*ls] - f[ra+i*rs]))
			}
		},
		"*": func(f []float64) {
			for i := range size {
				f[at+i] = float64(float32(f[la+i*ls] * f[ra+i*rs]))
			}
		},
		"/": func(f []float64) {
			for i := range size {
				f[at+i] = float64(float32(f[la+i*ls] / f[ra+i*rs]))
			}
		},
	}[op]
	n.run = func(m *machine) {
		for _, run := range runs {
			run(m)
		}
		loop(m.f)
	}
	return n
}

// product of matrices, which lie column by column, and vectors.
func (c *compiler) product(l, r *node) *node {
	lr, lc, rr, rc := l.typ.rows, l.typ.cols, r.typ.rows, r.typ.cols
	if l.typ.vector() { // a row
		lr, lc = 1, l.typ.rows
	}
	if lc != rr {
		c.fail("* of %v and %v", l.typ, r.typ)
	}
	k := kind{float, lr, rc, 0}
	if lr == 1 {
		k = kind{float, rc, 1, 0}
	}
	return c.each(k, func(m *machine, i int) float64 {
		row, column := i%lr, i/lr
		var sum float64
		for j := range lc {
			sum += m.f[l.at+j*lr+row] * m.f[r.at+column*rr+j]
		}
		return float64(float32(sum))
	}, l, r)
}
