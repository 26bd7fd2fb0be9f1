package glsl

import (
	"slices"
	"strconv"
	"strings"
)

// primary reads a constant, a variable, a constructor, a call, or an expression in parentheses.
func (c *compiler) primary() *node {
	switch t := c.next(); {
	case t == "(":
		n := c.expression(0)
		c.expect(")")
		return n
	case t == "true" || t == "false":
		return c.constant(names["bool"], truth(t == "true"))
	case t[0] >= '0' && t[0] <= '9' || t[0] == '.':
		return c.number(t)
	case names[t].base != void:
		c.at--
		return c.constructor(c.typeName())
	case c.peek() == "(":
		return c.call(t)
	default:
		v := c.lookup(t)
		if v == nil {
			c.fail("%s is not declared", t)
		}
		n := c.load(v.typ, &place{base: v.at, comps: contiguous(v.typ.size()), readonly: v.constant}, nil)
		n.value = v.value
		return n
	}
}

func (c *compiler) number(t string) *node {
	if hex := strings.HasPrefix(t, "0x") || strings.HasPrefix(t, "0X"); hex || !strings.ContainsAny(t, ".eEfF") {
		k := names["int"]
		if strings.HasSuffix(strings.ToLower(t), "u") {
			k, t = names["uint"], t[:len(t)-1]
		}
		v, err := strconv.ParseUint(t, 0, 32)
		if err != nil {
			c.fail("number %s: need one of 32 bits", t)
		}
		return c.constant(k, wrap(k.base, int64(v)))
	}
	v, err := strconv.ParseFloat(strings.TrimRight(t, "fF"), 64)
	if err != nil {
		c.fail("%s is no number", t)
	}
	return c.constant(names["float"], float64(float32(v)))
}

// postfix reads indices, components and ++.
func (c *compiler) postfix(n *node) *node {
	for {
		switch c.peek() {
		case "[":
			c.next()
			i := c.expression(0)
			c.expect("]")
			n = c.index(n, i)
		case ".":
			c.next()
			n = c.member(n, c.next())
		case "++", "--":
			op := c.next()
			size, old := n.typ.size(), c.room(n.typ.size())
			value, change := n, c.assign(n, c.binary(op[:1], n, c.one(n.typ)))
			n = &node{typ: n.typ, at: old, run: func(m *machine) {
				value.eval(m)
				copy(m.f[old:old+size], m.f[value.at:value.at+size])
				change.eval(m)
			}}
		default:
			return n
		}
	}
}

// index takes an element; an index outside counts as the nearest inside.
func (c *compiler) index(n, i *node) *node {
	k, count := n.typ.element(), n.typ.length()
	if n.typ.scalar() || i.typ != names["int"] && i.typ != names["uint"] {
		c.fail("index %v of %v", i.typ, n.typ)
	}
	size := k.size()
	p := &place{base: n.at, comps: contiguous(size), readonly: true}
	inner := n.place
	if inner != nil {
		p = &place{base: inner.base, dyn: inner.dyn, comps: inner.comps, readonly: inner.readonly}
	}
	if i.value != nil {
		at := min(max(int(*i.value), 0), count-1) * size
		if inner != nil {
			p.comps = inner.comps[at : at+size]
		} else {
			p.base += at
		}
		return c.load(k, p, n.run)
	}
	outer := p.dyn
	if inner != nil && !slices.Equal(inner.comps, contiguous(len(inner.comps))) { // v.zyx[i]: of a copy, to be read only
		p = &place{base: n.at, readonly: true}
		outer = nil
	}
	p.comps = contiguous(size)
	p.dyn = func(m *machine) int {
		i.eval(m)
		at := min(max(int(m.f[i.at]), 0), count-1) * size
		if outer != nil {
			at += outer(m)
		}
		return at
	}
	out := c.load(k, p, n.run)
	if inner == nil { // what it was taken from must be computed first: only the copy can be read
		out.place = nil
	}
	return out
}

// member takes components by name, or an array's length.
func (c *compiler) member(n *node, name string) *node {
	if name == "length" && c.accept("(") {
		c.expect(")")
		return c.constant(names["int"], float64(n.typ.length()))
	}
	if !n.typ.vector() && !(n.typ.scalar() && n.typ.base != sampler) {
		c.fail(".%s of %v", name, n.typ)
	}
	var comps []int
	for _, set := range []string{"xyzw", "rgba", "stpq"} {
		comps = nil
		for _, r := range name {
			if i := strings.IndexRune(set, r); i >= 0 && i < n.typ.rows {
				comps = append(comps, i)
			}
		}
		if len(comps) == len(name) {
			break
		}
	}
	if len(comps) != len(name) || len(comps) == 0 || len(comps) > 4 {
		c.fail(".%s of %v", name, n.typ)
	}
	k := kind{n.typ.base, len(comps), 1, 0}
	p := &place{base: n.at, comps: comps, readonly: true}
	if n.place != nil {
		mapped := make([]int, len(comps))
		for i, k := range comps {
			mapped[i] = n.place.comps[k]
		}
		twice := slices.Clone(mapped)
		slices.Sort(twice)
		p = &place{base: n.place.base, dyn: n.place.dyn, comps: mapped, readonly: n.place.readonly || len(slices.Compact(twice)) < len(mapped)}
		if n.place.dyn != nil { // its place is found anew, so nothing need be read before
			return c.load(k, p, nil)
		}
	}
	return c.load(k, p, n.run)
}

// constructor reads the arguments of a type's constructor.
func (c *compiler) constructor(k kind) *node {
	c.expect("(")
	args := c.arguments()
	if k.array != 0 {
		return c.arrayOf(k, args)
	}
	if len(args) == 0 || k.base == sampler {
		c.fail("%v without arguments", k)
	}
	if a := args[0]; len(args) == 1 && a.typ.array == 0 {
		switch {
		case a.typ.scalar() && k.matrix(): // the diagonal
			return c.each(k, func(m *machine, i int) float64 {
				if i%k.rows != i/k.rows {
					return 0
				}
				return cast(float, m.f[a.at])
			}, a)
		case a.typ.scalar():
			return c.each(k, func(m *machine, _ int) float64 { return cast(k.base, m.f[a.at]) }, a)
		case a.typ.matrix() && k.matrix(): // the upper left, the rest of the unit matrix
			return c.each(k, func(m *machine, i int) float64 {
				row, column := i%k.rows, i/k.rows
				if row < a.typ.rows && column < a.typ.cols {
					return m.f[a.at+column*a.typ.rows+row]
				}
				return truth(row == column)
			}, a)
		}
	}
	var from []int
	for _, a := range args {
		if a.typ.array != 0 || a.typ.base == sampler || a.typ.base == void || len(from) >= k.size() {
			c.fail("arguments of %v", k)
		}
		for i := range a.typ.size() {
			from = append(from, a.at+i)
		}
	}
	if len(from) < k.size() {
		c.fail("%v needs %d values, has %d", k, k.size(), len(from))
	}
	return c.each(k, func(m *machine, i int) float64 { return cast(k.base, m.f[from[i]]) }, args...)
}

func (c *compiler) arrayOf(k kind, args []*node) *node {
	if k.array == openArray {
		k.array = len(args)
	}
	element := k
	element.array = 0
	if len(args) != k.array {
		c.fail("%v with %d values", k, len(args))
	}
	var from []int
	for i := range args {
		args[i] = c.convert(args[i], element)
		for j := range element.size() {
			from = append(from, args[i].at+j)
		}
	}
	return c.each(k, func(m *machine, i int) float64 { return m.f[from[i]] }, args...)
}

// arguments reads what stands between parentheses, the first of which is read.
func (c *compiler) arguments() (args []*node) {
	for !c.accept(")") {
		if len(args) > 0 {
			c.expect(",")
		}
		args = append(args, c.expression(1))
	}
	return args
}
