package devicetest

import (
	"fmt"

	"graphrun/kernels/cpu"
	"graphrun/runtime/device"
)

// ready casts x for the time of f.
func ready(p *pass, x tensor, f device.Format, run func(x tensor) tensor) tensor {
	c := p.Cast(x, f)
	out := run(c)
	if f != device.Float32 {
		p.Free(c)
	}
	return out
}

// floats casts a result back and frees it.
func floats(p *pass, x tensor) tensor {
	out := p.Cast(x, device.Float32)
	if x.Format != device.Float32 {
		p.Free(x)
	}
	return out
}

// finish is the definition of an epilogue of results [batch, ..., n]; what is nil is left out.
func finish(y []float64, batch, n int, each, gate, residual []float32, act func(float64) float64) []float64 {
	for i := range y {
		if each != nil {
			y[i] += float64(each[i/(len(y)/batch)*n+i%n])
		}
		if act != nil {
			y[i] = act(y[i])
		}
		if gate != nil {
			y[i] *= float64(gate[i%n])
		}
		if residual != nil {
			y[i] += float64(residual[i])
		}
	}
	return y
}

var functions = []struct {
	act device.Activation
	f   func(float64) float64
}{{device.Identity, nil}, {device.SiLU, silu}, {device.GELU, gelu}, {device.GELUTanh, geluTanh}, {device.QuickGELU, quickGELU}}

// epilogues are linear layers on activations in every format, with results in every format, that are finished in every way.
// The operands are activations, a bias for each batch element, a gate and a residual.
func epilogues() (list []Case) {
	for i, s := range [][4]int{{1, 1, 5, 3}, {2, 7, 13, 37}, {2, 40, 64, 64}, {3, 33, 31, 70}} { // batch, tokens, inputs, outputs
		for j, m := range []Matrix{Dense(s[3], s[2]), codes(s[3], s[2], i%2 > 0, true)} {
			for _, in := range []device.Format{device.Float32, device.BFloat16, device.Int8Rows, device.Int8Images} {
				for bits := range 16 {
					act, prec, as := functions[(bits+i)%len(functions)], []device.Precision{cpu.Exact, cpu.BF16, cpu.Int8, cpu.Int8Fast}[bits/2%4], device.Format(bits%3)
					bias, x := random(s[3], 12), []int{s[0], s[1], s[2]}
					shape := []int{s[0], s[1], s[3]}
					run := func(p *pass, x []tensor, e device.Epilogue) device.Epilogue {
						e.Bias, e.Act = bias, act.act
						if bits&1 > 0 {
							e.Each = x[1]
						}
						if bits&2 > 0 {
							e.Gate = x[2]
						}
						if bits&4 > 0 {
							e.Residual = x[3]
						}
						return e
					}
					c := Case{
						Op: "epilogue", Name: fmt.Sprintf("%v, %s, %v, %v to %v, %b", s, m.Name, prec, in, as, bits), Tol: 3e-2, Finite: []bool{true, true, true, true},
						Shapes: [][]int{x, {s[0], s[3]}, {s[3]}, shape}, FLOPs: 2 * int64(s[0]*s[1]*s[2]*s[3]),
						Run: func(p *pass, x []tensor) tensor {
							return ready(p, x[0], in, func(c tensor) tensor {
								return floats(p, p.Linear(c, m.W, prec, run(p, x, device.Epilogue{Format: as})))
							})
						},
						Want: func(x []Array) ([]int, []float64) {
							var each, gate, residual []float32
							if bits&1 > 0 {
								each = x[1].V
							}
							if bits&2 > 0 {
								gate = x[2].V
							}
							if bits&4 > 0 {
								residual = x[3].V
							}
							return shape, finish(product(x[0].V, m, bias, false), s[0], s[3], each, gate, residual, act.f)
						},
					}
					if in == device.Float32 && as == device.Float32 && prec == cpu.Exact && j == 0 {
						c.Tol = 3e-6
					}
					to := c // into the residual itself
					to.Op, to.InPlace, to.Shapes = "epilogue to", true, [][]int{shape, {s[0], s[3]}, {s[3]}, x}
					to.Run = func(p *pass, x []tensor) tensor {
						e := run(p, []tensor{x[3], x[1], x[2], x[0]}, device.Epilogue{})
						ready(p, x[3], in, func(c tensor) tensor { p.LinearTo(x[0], c, m.W, prec, e); return tensor{} })
						return x[0]
					}
					to.Want = func(x []Array) ([]int, []float64) { return c.Want([]Array{x[3], x[1], x[2], x[0]}) }
					list = append(list, c, to)
				}
			}
		}
	}
	return list
}

// volumes are convolutions over time, of doubled pictures and with an epilogue.
func volumes() (list []Case) {
	same := device.Conv{KH: 3, KW: 3, StrideH: 1, StrideW: 1, Top: 1, Left: 1, Bottom: 1, Right: 1}
	double, causal, strided := same, same, same
	double.Double = true
	causal.KT, causal.Front = 3, 2
	strided.KT, strided.StrideT, strided.Front, strided.StrideH, strided.Double = 2, 2, 1, 2, true
	for i, s := range []struct {
		x    []int
		o    int
		conv device.Conv
	}{
		{[]int{2, 5, 7, 3}, 9, double},
		{[]int{1, 8, 9, 17}, 33, double},
		{[]int{1, 9, 9, 16}, 16, double},
		{[]int{1, 1, 1, 1, 1}, 1, causal},
		{[]int{2, 4, 5, 3, 7}, 10, causal},
		{[]int{1, 5, 6, 4, 20}, 17, strided},
		{[]int{1, 3, 2, 2, 5}, 3, device.Conv{KT: 3, KH: 1, KW: 1, StrideH: 1, StrideW: 1}},
	} {
		c, batch := s.x[len(s.x)-1], s.x[0]
		for j, m := range []Matrix{Dense(s.o, c*s.conv.Taps()), codes(s.o, c*s.conv.Taps(), true, false)} {
			for _, in := range []device.Format{device.Float32, device.BFloat16, device.Int8Images} {
				for _, prec := range []device.Precision{cpu.Exact, cpu.BF16, cpu.Int8, cpu.Int8Fast} {
					shape, _ := windows(Array{s.x, make([]float32, size(s.x))}, s.conv)
					shape = append(shape, s.o)
					op := map[int]string{4: "conv2d", 5: "conv3d"}[len(s.x)]
					one := Case{
						Op: op + " finished", Name: fmt.Sprintf("%v, %+v, %s, %v, %v", s.x, s.conv, m.Name, prec, in), Tol: 3e-2, Finite: []bool{true, true, true},
						Shapes: [][]int{s.x, {batch, s.o}, shape}, FLOPs: 2 * int64(size(shape)*m.K),
						Run: func(p *pass, x []tensor) tensor {
							return ready(p, x[0], in, func(c tensor) tensor {
								e := device.Epilogue{Each: x[1], Residual: x[2], Act: functions[i%5].act}
								if op == "conv3d" {
									return p.Conv3D(c, m.W, s.conv, prec, e)
								}
								return p.Conv2D(c, m.W, s.conv, prec, e)
							})
						},
						Want: func(x []Array) ([]int, []float64) {
							_, rows := windows(x[0], s.conv)
							return shape, finish(product(rows, m, nil, false), batch, s.o, x[1].V, nil, x[2].V, functions[i%5].f)
						},
					}
					if in == device.Float32 && prec == cpu.Exact && j == 0 {
						one.Tol = 3e-6
					}
					list = append(list, one)
				}
			}
		}
	}
	return list
}

// casts go to each format and back, and norms write each.
func casts() (list []Case) {
	for i, c := range widths {
		shape := []int{1 + i%3, 2 + i, c}
		row, b := random(c, 20), random(c, 21)
		for _, f := range []device.Format{device.Float32, device.BFloat16, device.Int8Rows, device.Int8Images} {
			from := func(op string, run func(p *pass, x tensor) tensor, want func(x Array) []float64) Case {
				return Case{
					Op: op, Name: fmt.Sprint(shape, " as ", f), Tol: 1e-2, Finite: []bool{true}, Shapes: [][]int{shape},
					Run:  func(p *pass, x []tensor) tensor { return floats(p, run(p, x[0])) },
					Want: func(x []Array) ([]int, []float64) { return shape, want(x[0]) },
				}
			}
			if f != device.Float32 { // which would be the operand itself
				list = append(list, from("cast", func(p *pass, x tensor) tensor { return p.Cast(x, f) }, func(x Array) []float64 { return wide(x.V) }))
			}
			list = append(list, from("group norm cast", func(p *pass, x tensor) tensor { return p.GroupNorm(x, 1, 0.1, row, b, true, f) },
				func(x Array) []float64 { return groupNorm(x, 1, 0.1, row, b, true) }))
			if f != device.Int8Images {
				list = append(list, from("layer norm cast", func(p *pass, x tensor) tensor { return p.LayerNorm(x, 0.1, row, b, f) },
					func(x Array) []float64 { return layerNorm(x, 0.1, row, b) }))
			}
		}
	}
	return list
}
