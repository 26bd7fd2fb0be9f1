package glsl

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
)

// compiler reads tokens and makes the program at once: what is used was declared before.
type compiler struct {
	tokens  []token
	at      int
	p       *Program
	scopes  []map[string]*variable
	funcs   map[string][]*function
	current *function
	depth   int // of nested expressions and statements
}

// maxDepth bounds nesting.
const maxDepth = 200

var colourName = regexp.MustCompile(`^fragColor([0-7])$`)

// Compile reads a fragment shader.
func Compile(source string) (p *Program, err error) {
	pre, err := preprocess(source)
	if err != nil {
		return nil, err
	}
	c := &compiler{
		tokens: pre.tokens, scopes: []map[string]*variable{{}}, funcs: map[string][]*function{},
		p: &Program{Passes: pre.passes, uniforms: map[string]*variable{}, coord: -1, colours: [8]int{-1, -1, -1, -1, -1, -1, -1, -1}},
	}
	defer func() {
		if e, ok := recover().(*Error); ok { // thrown by fail, in any depth
			p, err = nil, e
		} else if e != nil {
			panic(e)
		}
	}()
	c.p.frag = c.declare("gl_FragCoord", kind{float, 4, 1, 0}, true).at
	for c.at < len(c.tokens) {
		c.external()
	}
	for _, f := range c.funcs["main"] {
		c.p.main = f
	}
	if c.p.main == nil || c.p.main.body == nil {
		c.fail("no void main()")
	}
	for _, list := range c.funcs {
		for _, f := range list {
			c.check(f, nil, map[*function]bool{})
		}
	}
	return c.p, nil
}

// check refuses recursion, and functions that are called but not defined.
func (c *compiler) check(f *function, path []*function, done map[*function]bool) {
	if slices.Contains(path, f) {
		c.fail("function %s calls itself", f.name)
	}
	if f.body == nil && len(path) > 0 {
		c.fail("function %s is not defined", f.name)
	}
	if done[f] {
		return
	}
	for g := range f.calls {
		c.check(g, append(path, f), done)
	}
	done[f] = true
}

func (c *compiler) fail(format string, args ...any) {
	line := 0
	if n := min(c.at, len(c.tokens)) - 1; n >= 0 {
		line = c.tokens[n].line
	}
	panic(&Error{line, fmt.Sprintf(format, args...)})
}

func (c *compiler) peek() string {
	if c.at < len(c.tokens) {
		return c.tokens[c.at].text
	}
	return ""
}

func (c *compiler) next() string {
	if c.at >= len(c.tokens) {
		c.fail("unexpected end")
	}
	c.at++
	return c.tokens[c.at-1].text
}

func (c *compiler) accept(s string) bool {
	if c.peek() == s {
		c.at++
		return true
	}
	return false
}

func (c *compiler) expect(s string) {
	if have := c.next(); have != s {
		c.fail("need %q, have %q", s, have)
	}
}

// deeper guards the stack; call the result when done.
func (c *compiler) deeper() func() {
	if c.depth++; c.depth > maxDepth {
		c.fail("nested too deeply")
	}
	return func() { c.depth-- }
}

// room takes n places of the frame.
func (c *compiler) room(n int) int {
	c.p.size += n
	if c.p.size > 1<<20 {
		c.fail("the shader needs too much memory")
	}
	return c.p.size - n
}

func (c *compiler) declare(name string, k kind, constant bool) *variable {
	scope := c.scopes[len(c.scopes)-1]
	if scope[name] != nil {
		c.fail("%s is declared twice", name)
	}
	v := &variable{typ: k, at: c.room(k.size()), constant: constant}
	scope[name] = v
	return v
}

func (c *compiler) lookup(name string) *variable {
	for i := len(c.scopes) - 1; i >= 0; i-- {
		if v := c.scopes[i][name]; v != nil {
			return v
		}
	}
	return nil
}

// qualifiers before a declaration.
type qualifiers struct {
	constant, uniform, in, out bool
	location                   int
}

func (c *compiler) qualifiers() (q qualifiers) {
	q.location = -1
	for {
		switch c.peek() {
		case "const":
			q.constant = true
		case "uniform":
			q.uniform = true
		case "in":
			q.in = true
		case "out":
			q.out = true
		case "inout":
			q.in, q.out = true, true
		case "highp", "mediump", "lowp", "flat", "smooth", "centroid", "invariant":
		case "layout":
			c.next()
			c.expect("(")
			for !c.accept(")") {
				if c.next() == "location" && c.accept("=") {
					n, err := strconv.Atoi(c.next())
					if err != nil {
						c.fail("layout: need a number")
					}
					q.location = n
				}
			}
			continue
		default:
			return q
		}
		c.next()
	}
}

// typeName reads a type, with an array's size behind it; size 0 means that the initialiser tells.
func (c *compiler) typeName() kind {
	name := c.next()
	k, known := names[name]
	if !known {
		c.fail("unknown or unsupported type %s", name)
	}
	return c.arraySuffix(k)
}

const openArray = -1

func (c *compiler) arraySuffix(k kind) kind {
	if !c.accept("[") {
		return k
	}
	if k.array != 0 {
		c.fail("arrays of arrays are not supported")
	}
	if c.accept("]") {
		k.array = openArray
		return k
	}
	n := c.expression(2)
	c.expect("]")
	if n.value == nil || *n.value < 1 || *n.value > 1<<16 {
		c.fail("an array's size must be a constant above 0")
	}
	k.array = int(*n.value)
	return k
}

// external reads a declaration outside of functions.
func (c *compiler) external() {
	if c.accept(";") {
		return
	}
	if c.accept("precision") {
		c.qualifiers()
		c.typeName()
		c.expect(";")
		return
	}
	q := c.qualifiers()
	k := c.typeName()
	name := c.next()
	if c.accept("(") {
		c.function(k, name)
		return
	}
	for {
		c.global(q, c.arraySuffix(k), name)
		if !c.accept(",") {
			break
		}
		name = c.next()
	}
	c.expect(";")
}

func (c *compiler) global(q qualifiers, k kind, name string) {
	switch {
	case q.uniform:
		c.p.uniforms[name] = c.declare(name, k, true)
	case q.in:
		v := c.declare(name, k, true)
		if name != "v_texCoord" || k != (kind{float, 2, 1, 0}) {
			c.fail("the only input is vec2 v_texCoord")
		}
		c.p.coord = v.at
	case q.out:
		v := c.declare(name, k, false)
		number := max(q.location, 0)
		if m := colourName.FindStringSubmatch(name); m != nil {
			number, _ = strconv.Atoi(m[1])
		}
		if k != (kind{float, 4, 1, 0}) || number > 7 || c.p.colours[number] >= 0 {
			c.fail("output %s: need a vec4 of its own, fragColor0 to fragColor7", name)
		}
		c.p.colours[number] = v.at
		c.p.Outputs = max(c.p.Outputs, number+1)
	default:
		init := c.variable(q, k, name)
		if q.constant {
			c.p.setup = append(c.p.setup, init)
		} else {
			c.p.globals = append(c.p.globals, init)
		}
	}
}

// variable declares one, after its initialiser if it has one, and returns what gives it its value.
func (c *compiler) variable(q qualifiers, k kind, name string) func(*machine) {
	if !c.accept("=") {
		if k.array == openArray || q.constant {
			c.fail("%s needs a value", name)
		}
		v := c.declare(name, k, false)
		return func(m *machine) { clear(m.f[v.at : v.at+v.typ.size()]) }
	}
	n := c.expression(2)
	if k.array == openArray {
		k.array = n.typ.array
	}
	n = c.convert(n, k)
	v := c.declare(name, k, q.constant)
	if q.constant {
		v.value = n.value
	}
	size := k.size()
	return func(m *machine) {
		n.eval(m)
		copy(m.f[v.at:v.at+size], m.f[n.at:n.at+size])
	}
}

// function reads parameters, and the body if there is one.
func (c *compiler) function(result kind, name string) {
	f := &function{name: name, result: result, calls: map[*function]bool{}}
	places := map[string]int{} // of the parameters that have a name
	if c.peek() == "void" && c.tokens[min(c.at+1, len(c.tokens)-1)].text == ")" {
		c.next()
	}
	for !c.accept(")") {
		if len(f.params) > 0 {
			c.expect(",")
		}
		q := c.qualifiers()
		k := c.typeName()
		v := variable{typ: k, constant: q.constant}
		param := ""
		if t := c.peek(); t != "," && t != ")" {
			param = c.next()
			v.typ = c.arraySuffix(k)
		}
		v.at = c.room(v.typ.size())
		f.params, f.out, f.in = append(f.params, v), append(f.out, q.out), append(f.in, q.in || !q.out)
		if param != "" {
			places[param] = len(f.params) - 1
		}
	}
	known := false
	for _, g := range c.funcs[name] {
		if sameParams(f, g) {
			if g.result != f.result || g.body != nil && c.peek() == "{" {
				c.fail("function %s is declared twice", name)
			}
			f, known = g, true // the body is compiled with the places of the first declaration
		}
	}
	if !known {
		f.at = c.room(result.size())
		c.funcs[name] = append(c.funcs[name], f)
	}
	if c.accept(";") {
		return
	}
	scope := map[string]*variable{}
	for param, i := range places {
		scope[param] = &f.params[i]
	}
	c.current = f
	c.scopes = append(c.scopes, scope)
	c.expect("{")
	body := c.block()
	c.scopes = c.scopes[:len(c.scopes)-1]
	c.current = nil
	f.body = func(m *machine) { body(m) }
}

func sameParams(a, b *function) bool {
	return slices.EqualFunc(a.params, b.params, func(x, y variable) bool { return x.typ == y.typ })
}
