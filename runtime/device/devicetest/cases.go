package devicetest

import (
	"fmt"
	"math"
	"slices"

	"graphrun/kernels/cpu"
	"graphrun/runtime/device"
)

type (
	pass   = device.Pass
	tensor = device.Tensor
)

// widths have tails of every length up to a register's, and of several registers.
var widths = []int{1, 2, 3, 7, 8, 9, 13, 16, 17, 31, 33, 63, 64, 65, 127}

// cases are those of all operations, for a device that is exact or not.
func cases(exact bool) (list []Case) {
	for _, s := range [][3]int{{1, 1, 1}, {1, 5, 3}, {2, 13, 7}, {3, 4, 65}, {4, 127, 9}, {5, 64, 64}, {7, 3, 127}, {63, 17, 31}, {61, 1, 33}, {131, 33, 17}} {
		for _, m := range kinds(s[2], s[1]) {
			list = append(list, Products(exact, m, s[0])...)
		}
	}
	list = append(list, Products(exact, Dense(130, 96), 200)...)
	for _, c := range [][]Case{convolutions(exact), attentions(exact), norms(), elementwise(), streams(), moves(), epilogues(), volumes(), casts()} {
		list = append(list, c...)
	}
	return list
}

// Products are linear layers with a matrix, on that many rows, in every arithmetic.
func Products(exact bool, m Matrix, count int) (list []Case) {
	for _, prec := range []device.Precision{cpu.Exact, cpu.BF16, cpu.Int8} {
		int8 := prec == cpu.Int8 && m.Codes != nil && !exact
		tol := 2e-6
		if prec == cpu.BF16 && !exact {
			tol = 1e-2
		}
		bias := random(m.N, 12)
		c := Case{
			Op: "linear", Name: fmt.Sprintf("%d rows by [%d, %d], %s, %v", count, m.N, m.K, m.Name, prec), Tol: tol,
			Shapes: [][]int{{1, count, m.K}}, FLOPs: 2 * int64(count) * int64(m.N) * int64(m.K),
			Run:  func(p *pass, x []tensor) tensor { return p.Linear(x[0], m.W, prec, device.Epilogue{Bias: bias}) },
			Want: func(x []Array) ([]int, []float64) { return []int{1, count, m.N}, product(x[0].V, m, bias, int8) },
		}
		to := c
		to.Op, to.InPlace, to.Shapes = "linear to", true, [][]int{{count, m.N}, {count, m.K}}
		to.Run = func(p *pass, x []tensor) tensor { p.LinearTo(x[0], x[1], m.W, prec, device.Epilogue{}); return x[0] }
		to.Want = func(x []Array) ([]int, []float64) { return []int{count, m.N}, product(x[1].V, m, nil, int8) }
		list = append(list, c, to)
	}
	return list
}

func convolutions(exact bool) (list []Case) {
	square := func(k, stride int) device.Conv {
		return device.Conv{KH: k, KW: k, StrideH: stride, StrideW: stride, Top: k / 2, Left: k / 2, Bottom: k / 2, Right: k / 2}
	}
	for _, s := range []struct {
		x    [4]int
		o    int
		conv device.Conv
	}{
		{[4]int{1, 1, 1, 1}, 1, square(3, 1)},
		{[4]int{1, 1, 1, 3}, 5, square(1, 1)},
		{[4]int{2, 5, 7, 3}, 9, square(3, 1)},
		{[4]int{3, 9, 6, 17}, 33, square(3, 2)},
		{[4]int{1, 8, 8, 4}, 65, device.Conv{KH: 3, KW: 3, StrideH: 2, StrideW: 2, Bottom: 1, Right: 1}}, // as the VAE pads
		{[4]int{2, 3, 3, 5}, 7, square(1, 2)},
		{[4]int{1, 2, 2, 64}, 8, square(3, 1)},
		{[4]int{1, 7, 9, 6}, 11, device.Conv{KH: 2, KW: 4, StrideH: 3, StrideW: 1, Left: 3, Bottom: 1}},
		{[4]int{1, 2, 1, 2}, 3, device.Conv{KH: 5, KW: 1, StrideH: 1, StrideW: 2, Top: 7, Bottom: 4, Left: 2, Right: 3}},
		{[4]int{1, 16, 17, 8}, 64, square(3, 1)},
	} {
		for _, m := range kinds(s.o, s.x[3]*s.conv.KH*s.conv.KW) {
			for _, prec := range []device.Precision{cpu.Exact, cpu.BF16, cpu.Int8} {
				int8 := prec == cpu.Int8 && m.Codes != nil && !exact
				tol := 2e-6
				if prec == cpu.BF16 && !exact {
					tol = 1e-2
				}
				oh, ow := s.conv.Out(s.x[1], s.x[2])
				list = append(list, Case{
					Op: "conv2d", Name: fmt.Sprintf("%v, %+v, %d outputs, %s, %v", s.x, s.conv, s.o, m.Name, prec), Tol: tol,
					Shapes: [][]int{s.x[:]}, FLOPs: 2 * int64(s.x[0]*oh*ow) * int64(m.N) * int64(m.K),
					Run: func(p *pass, x []tensor) tensor { return p.Conv2D(x[0], m.W, s.conv, prec, device.Epilogue{}) },
					Want: func(x []Array) ([]int, []float64) {
						shape, rows := windows(x[0], s.conv)
						return append(shape, m.N), product(rows, m, nil, int8)
					},
				})
			}
		}
	}
	return list
}

func attentions(exact bool) (list []Case) {
	for i, s := range [][5]int{ // batch, queries, keys, heads, width
		{1, 1, 1, 1, 1},
		{2, 3, 5, 2, 3},
		{3, 7, 77, 2, 8},
		{2, 13, 1, 6, 7},
		{1, 17, 17, 3, 40},
		{1, 65, 129, 1, 64},
		{2, 64, 127, 2, 33},
		{1, 131, 3, 2, 128},
		{1, 5, 257, 1, 160},
		{1, 2, 9, 1, 512},
		{1, 41, 83, 2, 256},
		{1, 100, 100, 4, 96},
		{1, 50, 300, 2, 80},
	} {
		heads := s[3]
		specs := []device.AttentionSpec{{}, {Causal: true}, {Scale: 0.3}, {Mask: &tensor{}}, {Mask: &tensor{}, Causal: true, Scale: 0.5}}
		if heads%2 == 0 {
			specs = append(specs, device.AttentionSpec{KVHeads: heads / 2}, device.AttentionSpec{KVHeads: 1, Causal: true, Mask: &tensor{}})
		}
		for j, spec := range specs {
			asked := []device.Precision{cpu.BF16, cpu.Int8}
			if exact { // whatever is asked for
				asked = []device.Precision{[]device.Precision{cpu.Exact, cpu.BF16, cpu.Int8}[(i+j)%3]}
			}
			for _, prec := range asked {
				spec.Heads, spec.Prec = heads, prec
				list = append(list, attentionCase(exact, s, spec, i > 6))
			}
		}
	}
	return list
}

// attentionCase is one call; with a mask if the specification has one, whatever it is. Of large shapes all values are finite.
func attentionCase(exact bool, s [5]int, spec device.AttentionSpec, large bool) Case {
	kvHeads, scale := spec.KVHeads, float64(spec.Scale)
	if kvHeads == 0 {
		kvHeads = spec.Heads
	}
	if scale == 0 {
		scale = 1 / math.Sqrt(float64(s[4]))
	}
	// Scores have that deviation; rounding an operand to eight bits moves one by some 2^-8 of it, and codes, whose step is a
	// 127th of the largest value, by four times that.
	tol, deviation := 2e-6, scale*math.Sqrt(float64(s[4]))
	if !exact && spec.Prec != cpu.Exact {
		tol = (2 + 4*deviation) / 256
		if spec.Prec == cpu.Int8 {
			tol *= 4
		}
	}
	q, kv := []int{s[0], s[1], s[3] * s[4]}, []int{s[0], s[2], kvHeads * s[4]}
	coded := !exact && spec.Prec == cpu.Int8 // what is not finite spoils a row of codes, or the keys' mean
	masked := spec.Mask != nil
	spec.Mask = nil
	c := Case{
		Op: "attention", Name: fmt.Sprintf("%v, mask %v, %+v", s, masked, spec), Tol: tol, FLOPs: 4 * int64(s[0]*s[1]) * int64(s[2]*s[3]*s[4]),
		// Values that a query does not see may spoil it nevertheless: they count 0 times.
		Finite: []bool{large || coded, large || coded, large || spec.Causal, large},
		Shapes: [][]int{q, kv, kv},
		Run:    func(p *pass, x []tensor) tensor { return p.Attention(x[0], x[1], x[2], spec) },
		Want:   func(x []Array) ([]int, []float64) { return q, attention(x[0], x[1], x[2], nil, spec) },
	}
	if masked {
		c.Shapes = append(c.Shapes, []int{s[1], s[2]})
		c.Run = func(p *pass, x []tensor) tensor {
			spec := spec
			spec.Mask = &x[3]
			return p.Attention(x[0], x[1], x[2], spec)
		}
		c.Want = func(x []Array) ([]int, []float64) { return q, attention(x[0], x[1], x[2], &x[3], spec) }
	}
	return c
}

func norms() (list []Case) {
	for i, c := range append(slices.Clone(widths), 1006) {
		const eps = 1e-5
		batch, rows := 1+i%3, 1+5*i
		shape := []int{batch, rows, c}
		w, b := random(c, 20), random(c, 21)
		tol := func(values int) float64 {
			if values == 1 { // divided by √eps, which makes rounding errors large
				return 2e-4
			}
			return 1e-5
		}
		for groups := range slices.Values([]int{1, 3, c}) {
			if c%groups == 0 {
				list = append(list, Case{
					Op: "group norm", Name: fmt.Sprint(shape, " in ", groups), Tol: tol(rows * c / groups), Shapes: [][]int{shape},
					Run: func(p *pass, x []tensor) tensor { return p.GroupNorm(x[0], groups, eps, w, b, i%2 > 0, device.Float32) },
					Want: func(x []Array) ([]int, []float64) {
						return shape, groupNorm(x[0], groups, eps, w, b, i%2 > 0)
					},
				})
			}
		}
		lw, lb := w, b
		if i%4 == 1 {
			lw = nil
		}
		if i%4 > 1 {
			lb = nil
		}
		list = append(list, Case{
			Op: "layer norm", Name: fmt.Sprint(shape), Tol: tol(c), Shapes: [][]int{shape},
			Run:  func(p *pass, x []tensor) tensor { return p.LayerNorm(x[0], eps, lw, lb, device.Float32) },
			Want: func(x []Array) ([]int, []float64) { return shape, layerNorm(x[0], eps, lw, lb) },
		}, Case{
			Op: "rms norm", Name: fmt.Sprint(shape, " and two heads"), Tol: 1e-5, Shapes: [][]int{{batch, rows, 2 * c}}, InPlace: true,
			Run:  func(p *pass, x []tensor) tensor { p.RMSNormTo(x[0], eps, w); return x[0] },
			Want: func(x []Array) ([]int, []float64) { return x[0].Shape, rmsNorm(x[0].V, eps, w) },
		}, Case{
			Op: "modulate", Name: fmt.Sprint(shape), Tol: tol(c), Shapes: [][]int{shape, {1, c}, {c}},
			Run: func(p *pass, x []tensor) tensor { return p.Modulate(x[0], eps, x[1], x[2], device.Float32) },
			Want: func(x []Array) ([]int, []float64) {
				out := layerNorm(x[0], eps, nil, nil)
				for i := range out {
					out[i] = out[i]*(1+float64(x[1].V[i%c])) + float64(x[2].V[i%c])
				}
				return shape, out
			},
		})
	}
	return list
}

// sum is a binary operation's definition.
func sum(x []Array) ([]int, []float64) {
	out := wide(x[0].V)
	for i, v := range x[1].V {
		out[i] += float64(v)
	}
	return x[0].Shape, out
}

func elementwise() (list []Case) {
	for i, n := range append(slices.Clone(widths), 1031, 16385, 40000) {
		shape := []int{1 + i%3, n}
		for f, ref := range []func(float64) float64{device.Identity: func(x float64) float64 { return x }, device.SiLU: silu, device.GELU: gelu, device.GELUTanh: geluTanh, device.QuickGELU: quickGELU} {
			c := Case{
				Op: "activation", Name: fmt.Sprint(f, " of ", shape), Tol: 2e-6, Shapes: [][]int{shape},
				Run:  func(p *pass, x []tensor) tensor { return p.Activate(x[0], device.Activation(f)) },
				Want: func(x []Array) ([]int, []float64) { return shape, each(x[0].V, ref) },
			}
			to := c
			to.InPlace, to.Name = true, to.Name+" in place"
			to.Run = func(p *pass, x []tensor) tensor { p.ActivateTo(x[0], device.Activation(f)); return x[0] }
			list = append(list, c, to)
			for _, gateFirst := range []bool{false, true} {
				list = append(list, Case{
					Op: "gated activation", Name: fmt.Sprint(f, " of ", shape, ", gate first ", gateFirst), Tol: 2e-6, Shapes: [][]int{{shape[0], 2 * n}},
					Run: func(p *pass, x []tensor) tensor {
						return p.Gated(x[0], device.Activation(f), gateFirst, device.Float32)
					},
					Want: func(x []Array) ([]int, []float64) {
						return shape, rows(x[0].V, 2*n, func(_ int, row []float64) []float64 {
							value, gate := row[:n], row[n:]
							if gateFirst {
								value, gate = gate, value
							}
							for i := range value {
								value[i] *= ref(gate[i])
							}
							return value
						})
					},
				})
			}
		}
		list = append(list, Case{
			Op: "affine", Name: fmt.Sprint(shape), Tol: 2e-7, Shapes: [][]int{shape},
			Run: func(p *pass, x []tensor) tensor { return p.Affine(x[0], -1.7, 0.3) },
			Want: func(x []Array) ([]int, []float64) {
				return shape, each(x[0].V, func(v float64) float64 { return float64(float32(-1.7))*v + float64(float32(0.3)) })
			},
		}, Case{
			Op: "softmax", Name: fmt.Sprint(shape), Tol: 1e-6, Shapes: [][]int{shape},
			Run:  func(p *pass, x []tensor) tensor { return p.Softmax(x[0]) },
			Want: func(x []Array) ([]int, []float64) { return shape, rows(x[0].V, n, softmax) },
		}, Case{
			Op: "add", Name: fmt.Sprint(shape), Tol: 1e-7, Shapes: [][]int{shape, shape}, Want: sum,
			Run: func(p *pass, x []tensor) tensor { return p.Add(x[0], x[1]) },
		}, Case{
			Op: "add", Name: fmt.Sprint(shape, " in place"), Tol: 1e-7, Shapes: [][]int{shape, shape}, InPlace: true, Want: sum,
			Run: func(p *pass, x []tensor) tensor { p.AddTo(x[0], x[1]); return x[0] },
		}, Case{
			Op: "add", Name: fmt.Sprint(shape, " to itself"), Tol: 1e-7, Shapes: [][]int{shape}, InPlace: true,
			Run:  func(p *pass, x []tensor) tensor { p.AddTo(x[0], x[0]); return x[0] },
			Want: func(x []Array) ([]int, []float64) { return sum([]Array{x[0], x[0]}) },
		})
	}
	return list
}

func streams() (list []Case) {
	for i, c := range append(slices.Clone(widths), 1006) {
		batch, tokens := 1+i%3, 1+7*i
		x, row := []int{batch, tokens, c}, []int{batch, c}
		list = append(list, Case{
			Op: "add rows", Name: fmt.Sprint(x), Tol: 1e-7, Shapes: [][]int{x, row}, InPlace: true,
			Run: func(p *pass, x []tensor) tensor { p.AddRowsTo(x[0], x[1]); return x[0] },
			Want: func(x []Array) ([]int, []float64) {
				out := wide(x[0].V)
				for i := range out {
					out[i] += float64(x[1].V[i/(tokens*c)*c+i%c])
				}
				return x[0].Shape, out
			},
		}, Case{
			Op: "gated add", Name: fmt.Sprint(x), Tol: 2e-7, Shapes: [][]int{x, x, {c}}, InPlace: true,
			Run: func(p *pass, x []tensor) tensor { p.AddGatedTo(x[0], x[1], x[2]); return x[0] },
			Want: func(x []Array) ([]int, []float64) {
				out := wide(x[0].V)
				for i := range out {
					out[i] += float64(x[1].V[i]) * float64(x[2].V[i%c])
				}
				return x[0].Shape, out
			},
		}, Case{
			Op: "rotary", Name: fmt.Sprint(tokens, " tokens of ", batch, " heads of ", 2*c), Tol: 2e-7, InPlace: true,
			Shapes: [][]int{{tokens, batch * 2 * c}, {tokens, 4 * c}},
			Run:    func(p *pass, x []tensor) tensor { p.RotaryTo(x[0], x[1]); return x[0] },
			Want:   func(x []Array) ([]int, []float64) { return x[0].Shape, rotary(x[0], x[1]) },
		})
	}
	return list
}

// orders are of five axes.
var orders = [][]int{{0, 2, 1, 3, 4}, {0, 1, 2, 4, 3}, {4, 3, 2, 1, 0}, {3, 0, 1, 2, 4}, {0, 3, 1, 2, 4}, {2, 4, 0, 3, 1}, {0, 1, 2, 3, 4}}

// around is shape with n places in an axis.
func around(shape []int, axis, n int) []int {
	shape = slices.Clone(shape)
	shape[axis] = n
	return shape
}

// moves are operations that only move data.
func moves() (list []Case) {
	for i, c := range append(slices.Clone(widths), 500) {
		b, h, w := 1+i%3, 1+i%7, 1+i%5
		shape := []int{b, h, w, c}
		for j, to := range [][2]int{{2 * h, 2 * w}, {h, w}, {2*h + 1, 3*w - 1}, {1, 1}, {h + 70, 1}, {(h + 1) / 2, w + 5}} {
			for f := range device.Lanczos + 1 {
				tol := 2e-6
				if f <= device.NearestExact {
					tol = 0
				}
				if j > 3 && i%6 != int(f) {
					continue
				}
				list = append(list, Case{
					Op: "resize", Name: fmt.Sprint(shape, " to ", to, " by ", f), Tol: tol, Shapes: [][]int{shape},
					Run: func(p *pass, x []tensor) tensor { return p.Resize(x[0], to[0], to[1], f) },
					Want: func(x []Array) ([]int, []float64) {
						return []int{b, to[0], to[1], c}, resize(x[0], to[0], to[1], f)
					},
				})
			}
		}
		other := widths[(i*4)%len(widths)]
		table := Dense(1+3*i, c)
		ids := []int{0, table.N - 1, table.N / 2, 0}
		shift, steps := float64(min(i%3, (c-1)/2))/2, []float32{999, 0, 0.25}
		chw := random(size(shape), 30)
		list = append(list, Case{
			Op: "concat", Name: fmt.Sprint(shape, " and ", other), Shapes: [][]int{shape, {b, h, w, other}},
			Run:  func(p *pass, x []tensor) tensor { return p.Concat(x[0], x[1], -1) },
			Want: func(x []Array) ([]int, []float64) { return join(x[0], x[1], 3) },
		}, Case{
			Op: "concat", Name: fmt.Sprint(shape, " along axis ", i%3), Shapes: [][]int{shape, around(shape, i%3, 1+i)},
			Run:  func(p *pass, x []tensor) tensor { return p.Concat(x[0], x[1], i%3) },
			Want: func(x []Array) ([]int, []float64) { return join(x[0], x[1], i%3) },
		}, Case{
			Op: "slice", Name: fmt.Sprint(shape, " along axis ", i%4), Shapes: [][]int{around(shape, i%4, 2*i+3)},
			Run: func(p *pass, x []tensor) tensor { return p.Slice(x[0], i%4-4, i, 2*i+2) },
			Want: func(x []Array) ([]int, []float64) {
				to := around(shape, i%4, i+2)
				return to, gather(x[0], to, func(at []int) { at[i%4] += i })
			},
		}, Case{
			Op: "transpose", Name: fmt.Sprint(shape, " in order ", orders[i%len(orders)]), Shapes: [][]int{{b, h, w + 8, c, 1 + i%4}},
			Run: func(p *pass, x []tensor) tensor { return p.Transpose(x[0], orders[i%len(orders)]...) },
			Want: func(x []Array) ([]int, []float64) {
				order, to := orders[i%len(orders)], make([]int, 5)
				for j, axis := range order {
					to[j] = x[0].Shape[axis]
				}
				return to, gather(x[0], to, func(at []int) {
					place := slices.Clone(at)
					for j, axis := range order {
						at[axis] = place[j]
					}
				})
			},
		}, Case{
			Op: "embed", Name: fmt.Sprint(table.N, " of ", c),
			Run: func(p *pass, _ []tensor) tensor { return p.Embed(ids, table.W) },
			Want: func([]Array) ([]int, []float64) {
				var out []float64
				for _, id := range ids {
					out = append(out, table.V[id*c:(id+1)*c]...)
				}
				return []int{len(ids), c}, out
			},
		}, Case{
			Op: "timestep embedding", Name: fmt.Sprint("of ", b, " in ", c+1), Tol: 1e-4, // angles of up to 1000 are rounded
			Run: func(p *pass, _ []tensor) tensor { return p.TimestepEmbedding(steps[:b], c+1, i%2 > 0, shift) },
			Want: func([]Array) ([]int, []float64) {
				return []int{b, c + 1}, timesteps(steps[:b], c+1, i%2 > 0, shift)
			},
		}, Case{
			Op: "upload", Name: fmt.Sprint(shape), Run: func(p *pass, _ []tensor) tensor { return p.Upload(chw, true, b, c, h, w) },
			Want: func([]Array) ([]int, []float64) { return shape, wide(swap(chw, b, c, h*w)) },
		}, Case{
			Op: "download", Name: fmt.Sprint(shape), Shapes: [][]int{shape},
			Run:  func(p *pass, x []tensor) tensor { return p.Upload(p.Download(x[0], true), false, b, c, h, w) },
			Want: func(x []Array) ([]int, []float64) { return []int{b, c, h, w}, wide(swap(x[0].V, b, h*w, c)) },
		})
	}
	return list
}

// swap turns [b, n, m] into [b, m, n].
func swap(v []float32, b, n, m int) []float32 {
	out := make([]float32, 0, len(v))
	for at := range b * m * n {
		i, j := at/n%m, at%n
		out = append(out, v[at/n/m*n*m+j*m+i])
	}
	return out
}
