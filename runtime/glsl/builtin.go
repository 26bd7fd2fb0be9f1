package glsl

import (
	"math"
)

// call reads a call of a function of the shader, or of a built-in one.
func (c *compiler) call(name string) *node {
	c.expect("(")
	args := c.arguments()
	for _, f := range c.funcs[name] {
		if fits(f, args, false) {
			return c.callFunction(f, args)
		}
	}
	for _, f := range c.funcs[name] {
		if fits(f, args, true) {
			return c.callFunction(f, args)
		}
	}
	if n := c.builtin(name, args); n != nil {
		return n
	}
	types := ""
	for i, a := range args {
		if i > 0 {
			types += ", "
		}
		types += a.typ.String()
	}
	c.fail("there is no function %s(%s)", name, types)
	return nil
}

// fits reports whether the arguments are of the parameters' types, or, if loose, can be converted.
func fits(f *function, args []*node, loose bool) bool {
	if len(f.params) != len(args) {
		return false
	}
	for i, a := range args {
		k := f.params[i].typ
		if a.typ != k && !(loose && !f.out[i] && a.typ.numeric() && k.numeric() && a.typ.rows == k.rows && a.typ.cols == k.cols) {
			return false
		}
	}
	return true
}

func (c *compiler) callFunction(f *function, args []*node) *node {
	if c.current != nil {
		c.current.calls[f] = true
	}
	for i := range args {
		if f.out[i] {
			if args[i].place == nil || args[i].place.readonly {
				c.fail("argument %d of %s must be a variable", i+1, f.name)
			}
		} else {
			args[i] = c.convert(args[i], f.params[i].typ)
		}
	}
	// Arguments wait in places of their own: computing one may call the function too.
	waiting := make([]int, len(args))
	for i := range args {
		waiting[i] = c.room(args[i].typ.size())
	}
	size := f.result.size()
	at := c.room(size)
	return &node{typ: f.result, at: at, run: func(m *machine) {
		for i, a := range args {
			if f.in[i] {
				a.eval(m)
				copy(m.f[waiting[i]:waiting[i]+a.typ.size()], m.f[a.at:])
			}
		}
		for i, a := range args {
			if f.in[i] {
				copy(m.f[f.params[i].at:f.params[i].at+a.typ.size()], m.f[waiting[i]:])
			}
		}
		f.body(m)
		copy(m.f[at:at+size], m.f[f.at:f.at+size])
		for i, a := range args {
			if f.out[i] {
				a.place.store(m, f.params[i].at)
			}
		}
	}}
}

// Functions that work on components, by number of arguments; results are rounded to float32.
var (
	unary = map[string]func(float64) float64{
		"radians": func(x float64) float64 { return x * math.Pi / 180 }, "degrees": func(x float64) float64 { return x * 180 / math.Pi },
		"sin": math.Sin, "cos": math.Cos, "tan": math.Tan, "asin": math.Asin, "acos": math.Acos, "atan": math.Atan,
		"sinh": math.Sinh, "cosh": math.Cosh, "tanh": math.Tanh, "asinh": math.Asinh, "acosh": math.Acosh, "atanh": math.Atanh,
		"exp": math.Exp, "log": math.Log, "exp2": math.Exp2, "log2": math.Log2, "sqrt": math.Sqrt,
		"inversesqrt": func(x float64) float64 { return 1 / math.Sqrt(x) },
		"floor":       math.Floor, "ceil": math.Ceil, "trunc": math.Trunc, "round": math.RoundToEven, "roundEven": math.RoundToEven,
		"fract": func(x float64) float64 { return x - math.Floor(x) },
		"abs":   math.Abs, "sign": func(x float64) float64 {
			switch {
			case x > 0:
				return 1
			case x < 0:
				return -1
			}
			return 0
		},
	}
	binaryFunctions = map[string]func(a, b float64) float64{
		"atan": math.Atan2, "pow": math.Pow, "min": func(a, b float64) float64 { return min(a, b) }, "max": func(a, b float64) float64 { return max(a, b) },
		"mod":  func(a, b float64) float64 { return a - b*math.Floor(a/b) },
		"step": func(edge, x float64) float64 { return truth(x >= edge) },
	}
	ternaryFunctions = map[string]func(a, b, c float64) float64{
		"clamp": func(x, low, high float64) float64 { return min(max(x, low), high) },
		"mix":   func(a, b, t float64) float64 { return a*(1-t) + b*t },
		"smoothstep": func(low, high, x float64) float64 {
			t := min(max((x-low)/(high-low), 0), 1)
			return t * t * (3 - 2*t)
		},
	}
	compare = map[string]func(a, b float64) bool{
		"lessThan": func(a, b float64) bool { return a < b }, "lessThanEqual": func(a, b float64) bool { return a <= b },
		"greaterThan": func(a, b float64) bool { return a > b }, "greaterThanEqual": func(a, b float64) bool { return a >= b },
		"equal": func(a, b float64) bool { return a == b }, "notEqual": func(a, b float64) bool { return a != b },
	}
)

// builtin is a call of a function of the language, nil if there is none of that name and arguments.
func (c *compiler) builtin(name string, args []*node) *node {
	for _, a := range args {
		if a.typ.array != 0 || a.typ.base == void {
			return nil
		}
	}
	switch name {
	case "texture", "textureLod", "texelFetch", "textureSize":
		return c.lookupTexture(name, args)
	}
	for _, a := range args {
		if a.typ.base == sampler {
			return nil
		}
	}
	if n := c.components(name, args); n != nil {
		return n
	}
	if n := c.logic(name, args); n != nil {
		return n
	}
	return c.geometry(name, args)
}

// components applies a function to component after component; a scalar stands for a vector's all.
func (c *compiler) components(name string, args []*node) *node {
	one, two, three := unary[name], binaryFunctions[name], ternaryFunctions[name]
	choose := name == "mix" && len(args) == 3 && args[2].typ.base == boolean
	if n := len(args); n < 1 || n > 3 || n == 1 && one == nil || n == 2 && two == nil || n == 3 && three == nil {
		return nil
	}
	k := args[0].typ
	for _, a := range args {
		if a.typ.size() > k.size() {
			rows := a.typ
			rows.base = k.base
			k = rows
		}
		if a.typ.base == float {
			k.base = float
		}
	}
	keepsInts := map[string]bool{"abs": true, "sign": true, "min": true, "max": true, "clamp": true, "mix": true}
	if k.matrix() || k.base == boolean && name != "mix" {
		return nil
	}
	if choose {
		k.base = args[0].typ.base
	}
	if !keepsInts[name] {
		k.base = float
	}
	strides := make([]int, len(args))
	for i, a := range args {
		strides[i] = stride(a, k)
		if !a.typ.scalar() && a.typ.rows != k.rows {
			return nil
		}
	}
	b := k.base
	p, ps := args[0].at, strides[0]
	if len(args) == 1 {
		return c.each(k, func(m *machine, i int) float64 { return narrow(b, one(m.f[p+i])) }, args...)
	}
	q, qs := args[1].at, strides[1]
	if len(args) == 2 {
		return c.each(k, func(m *machine, i int) float64 { return narrow(b, two(m.f[p+i*ps], m.f[q+i*qs])) }, args...)
	}
	r, rs := args[2].at, strides[2]
	if choose {
		return c.each(k, func(m *machine, i int) float64 {
			if m.f[r+i*rs] != 0 {
				return m.f[q+i*qs]
			}
			return m.f[p+i*ps]
		}, args...)
	}
	return c.each(k, func(m *machine, i int) float64 { return narrow(b, three(m.f[p+i*ps], m.f[q+i*qs], m.f[r+i*rs])) }, args...)
}

func (c *compiler) logic(name string, args []*node) *node {
	if f := compare[name]; f != nil && len(args) == 2 && args[0].typ == args[1].typ {
		a, b := args[0].at, args[1].at
		return c.each(kind{boolean, args[0].typ.rows, 1, 0}, func(m *machine, i int) float64 { return truth(f(m.f[a+i], m.f[b+i])) }, args...)
	}
	if len(args) != 1 {
		return nil
	}
	a, n := args[0].at, args[0].typ.size()
	k := args[0].typ
	same := func(b base, f func(v float64) float64) *node {
		return c.each(kind{b, k.rows, 1, 0}, func(m *machine, i int) float64 { return f(m.f[a+i]) }, args...)
	}
	switch name {
	case "any", "all":
		return c.each(names["bool"], func(m *machine, _ int) float64 {
			for i := range n {
				if m.f[a+i] != 0 == (name == "any") {
					return truth(name == "any")
				}
			}
			return truth(name == "all")
		}, args...)
	case "not":
		return same(boolean, func(v float64) float64 { return 1 - v })
	case "isnan":
		return same(boolean, func(v float64) float64 { return truth(v != v) })
	case "isinf":
		return same(boolean, func(v float64) float64 { return truth(math.IsInf(v, 0)) })
	case "floatBitsToInt":
		return same(integer, func(v float64) float64 { return float64(int32(math.Float32bits(float32(v)))) })
	case "floatBitsToUint":
		return same(unsigned, func(v float64) float64 { return float64(math.Float32bits(float32(v))) })
	case "intBitsToFloat", "uintBitsToFloat":
		return same(float, func(v float64) float64 { return float64(math.Float32frombits(uint32(int64(v)))) })
	}
	return nil
}

// geometry has the functions of whole vectors and matrices.
func (c *compiler) geometry(name string, args []*node) *node {
	one := names["float"]
	at := make([]int, len(args))
	for i, a := range args {
		if a.typ.base != float {
			return nil
		}
		at[i] = a.at
	}
	if len(args) == 0 {
		return nil
	}
	k := args[0].typ
	n := k.size()
	dot := func(m *machine, a, b int) (sum float64) {
		for i := range n {
			sum += m.f[a+i] * m.f[b+i]
		}
		return sum
	}
	round := func(v float64) float64 { return float64(float32(v)) }
	two := len(args) == 2 && args[1].typ == k
	switch {
	case name == "length" && len(args) == 1:
		return c.each(one, func(m *machine, _ int) float64 { return round(math.Sqrt(dot(m, at[0], at[0]))) }, args...)
	case name == "dot" && two:
		return c.each(one, func(m *machine, _ int) float64 { return round(dot(m, at[0], at[1])) }, args...)
	case name == "distance" && two:
		return c.each(one, func(m *machine, _ int) float64 {
			var sum float64
			for i := range n {
				d := m.f[at[0]+i] - m.f[at[1]+i]
				sum += d * d
			}
			return round(math.Sqrt(sum))
		}, args...)
	case name == "normalize" && len(args) == 1:
		return c.each(k, func(m *machine, i int) float64 { return round(m.f[at[0]+i] / math.Sqrt(dot(m, at[0], at[0]))) }, args...)
	case name == "cross" && two && n == 3:
		return c.each(k, func(m *machine, i int) float64 {
			j, l := (i+1)%3, (i+2)%3
			return round(m.f[at[0]+j]*m.f[at[1]+l] - m.f[at[0]+l]*m.f[at[1]+j])
		}, args...)
	case name == "reflect" && two:
		return c.each(k, func(m *machine, i int) float64 { return round(m.f[at[0]+i] - 2*dot(m, at[1], at[0])*m.f[at[1]+i]) }, args...)
	case name == "refract" && len(args) == 3 && args[1].typ == k:
		return c.each(k, func(m *machine, i int) float64 {
			eta, d := m.f[at[2]], dot(m, at[1], at[0])
			root := 1 - eta*eta*(1-d*d)
			if root < 0 {
				return 0
			}
			return round(eta*m.f[at[0]+i] - (eta*d+math.Sqrt(root))*m.f[at[1]+i])
		}, args...)
	case name == "faceforward" && len(args) == 3 && args[1].typ == k && args[2].typ == k:
		return c.each(k, func(m *machine, i int) float64 {
			if dot(m, at[2], at[1]) < 0 {
				return m.f[at[0]+i]
			}
			return -m.f[at[0]+i]
		}, args...)
	case name == "matrixCompMult" && two && k.matrix():
		return c.each(k, func(m *machine, i int) float64 { return round(m.f[at[0]+i] * m.f[at[1]+i]) }, args...)
	case name == "transpose" && k.matrix():
		return c.each(k, func(m *machine, i int) float64 { return m.f[at[0]+i%k.rows*k.rows+i/k.rows] }, args...)
	case name == "outerProduct" && two && k.vector():
		return c.each(kind{float, k.rows, k.rows, 0}, func(m *machine, i int) float64 { return round(m.f[at[0]+i%k.rows] * m.f[at[1]+i/k.rows]) }, args...)
	case name == "determinant" && k.matrix():
		return c.each(one, func(m *machine, _ int) float64 { return round(determinant(m.f[at[0]:at[0]+n], k.rows)) }, args...)
	case name == "inverse" && k.matrix():
		return c.each(k, func(m *machine, i int) float64 {
			a := m.f[at[0] : at[0]+n]
			row, column := i%k.rows, i/k.rows
			sign := 1.
			if (row+column)%2 == 1 {
				sign = -1
			}
			return round(sign * determinant(without(a, k.rows, row, column), k.rows-1) / determinant(a, k.rows))
		}, args...)
	}
	return nil
}

// determinant of a square matrix, by its first column.
func determinant(a []float64, n int) (sum float64) {
	if n == 1 {
		return a[0]
	}
	sign := 1.
	for row := range n {
		sum += sign * a[row] * determinant(without(a, n, 0, row), n-1)
		sign = -sign
	}
	return sum
}

// without leaves out a column and a row.
func without(a []float64, n, column, row int) (out []float64) {
	for i, v := range a[:n*n] {
		if i/n != column && i%n != row {
			out = append(out, v)
		}
	}
	return out
}

// lookupTexture reads a texture; there are no levels of detail but the first.
func (c *compiler) lookupTexture(name string, args []*node) *node {
	if len(args) < 2 || len(args) > 3 || args[0].typ.base != sampler {
		return nil
	}
	s, p := args[0], args[1]
	colour := names["vec4"]
	at := c.room(4)
	n := &node{typ: colour, at: at}
	switch {
	case name == "textureSize" && p.typ == names["int"]:
		return c.each(names["ivec2"], func(m *machine, i int) float64 {
			t := m.textures[int(m.f[s.at])]
			return float64([]int{t.Width, t.Height}[i])
		}, args...)
	case name == "texelFetch" && p.typ == names["ivec2"] && len(args) == 3:
		n.run = func(m *machine) {
			for _, a := range args {
				a.eval(m)
			}
			for i, v := range m.textures[int(m.f[s.at])].texel(int(m.f[p.at]), int(m.f[p.at+1])) {
				m.f[at+i] = float64(v)
			}
		}
		return n
	case (name == "texture" || name == "textureLod") && p.typ == names["vec2"]:
		n.run = func(m *machine) {
			s.eval(m)
			p.eval(m)
			m.textures[int(m.f[s.at])].sample(m.f[p.at], m.f[p.at+1], m.f[at:at+4])
		}
		return n
	}
	return nil
}
