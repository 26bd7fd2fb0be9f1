// TEMPORARY file by the lead so that others can build. Helper KERNELS: delete it (git rm) the moment your own files define these names.
package cpu

import (
	"context"
	"encoding/binary"
	"math"
)

type Pool struct{ n int }

func NewPool(n int) *Pool      { return &Pool{n} }
func (p *Pool) Threads() int   { return p.n }
func (p *Pool) Close()         {}

type Precision uint8

const (
	Exact Precision = iota
	BF16
	Int8
)

type Weights interface {
	Dims() (n, k int)
	Unpack(dst []float32, n0, n1, k0, k1 int)
}
type Int8Weights interface {
	Weights
	Int8() (codes []int8, kByN bool, scale, zero []float32)
}
type dense struct {
	v    []float32
	n, k int
}

func (d *dense) Dims() (int, int) { return d.n, d.k }
func (d *dense) Unpack(dst []float32, n0, n1, k0, k1 int) {
	for n := n0; n < n1; n++ {
		copy(dst[(n-n0)*(k1-k0):], d.v[n*d.k+k0:n*d.k+k1])
	}
}
func Dense(v []float32, n, k int) Weights { return &dense{v, n, k} }
func NewF32(b []byte, n, k int) Weights {
	v := make([]float32, n*k)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return Dense(v, n, k)
}
func NewBF16(b []byte, n, k int) Weights {
	v := make([]float32, n*k)
	for i := range v {
		v[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
	}
	return Dense(v, n, k)
}
func half(h uint16) float32 {
	s := uint32(h>>15) << 31
	e := uint32(h>>10) & 31
	m := uint32(h & 1023)
	if e == 0 {
		f := float32(m) * float32(math.Pow(2, -24))
		if s != 0 {
			f = -f
		}
		return f
	}
	return math.Float32frombits(s | (e+112)<<23 | m<<13)
}
func NewF16(b []byte, n, k int) Weights {
	v := make([]float32, n*k)
	for i := range v {
		v[i] = half(binary.LittleEndian.Uint16(b[2*i:]))
	}
	return Dense(v, n, k)
}
func all(w Weights) ([]float32, int, int) {
	n, k := w.Dims()
	v := make([]float32, n*k)
	w.Unpack(v, 0, n, 0, k)
	return v, n, k
}
func MatMul(ctx context.Context, p *Pool, dst, x []float32, m int, w Weights, bias []float32, prec Precision) {
	v, n, k := all(w)
	for i := range m {
		for j := range n {
			var s float32
			for l := range k {
				s += x[i*k+l] * v[j*k+l]
			}
			if bias != nil {
				s += bias[j]
			}
			dst[i*n+j] = s
		}
	}
}

type Conv struct{ KH, KW, StrideH, StrideW, Top, Left, Bottom, Right int }

func Conv2D(ctx context.Context, p *Pool, dst, x []float32, b, h, w, c int, wt Weights, cv Conv, bias []float32, prec Precision) {
	v, o, k := all(wt)
	oh := (h+cv.Top+cv.Bottom-cv.KH)/cv.StrideH + 1
	ow := (w+cv.Left+cv.Right-cv.KW)/cv.StrideW + 1
	for bi := range b {
		for y := range oh {
			for xx := range ow {
				for n := range o {
					var s float32
					for ky := range cv.KH {
						for kx := range cv.KW {
							iy, ix := y*cv.StrideH+ky-cv.Top, xx*cv.StrideW+kx-cv.Left
							if iy < 0 || ix < 0 || iy >= h || ix >= w {
								continue
							}
							for ci := range c {
								s += x[((bi*h+iy)*w+ix)*c+ci] * v[n*k+(ci*cv.KH+ky)*cv.KW+kx]
							}
						}
					}
					if bias != nil {
						s += bias[n]
					}
					dst[((bi*oh+y)*ow+xx)*o+n] = s
				}
			}
		}
	}
}

type Attn struct {
	Batch, Heads, KVHeads, LQ, LK, D int
	Causal                           bool
	Scale                            float32
	Mask                             []float32
}

func Attention(ctx context.Context, p *Pool, dst, q, k, v []float32, a Attn) {
	c := a.Heads * a.D
	sc := float64(a.Scale)
	if sc == 0 {
		sc = 1 / math.Sqrt(float64(a.D))
	}
	for b := range a.Batch {
		for h := range a.Heads {
			for i := range a.LQ {
				s := make([]float64, a.LK)
				mx := math.Inf(-1)
				for j := range a.LK {
					if a.Causal && j > i {
						s[j] = math.Inf(-1)
						continue
					}
					for d := range a.D {
						s[j] += float64(q[(b*a.LQ+i)*c+h*a.D+d]) * float64(k[(b*a.LK+j)*c+h*a.D+d])
					}
					s[j] *= sc
					mx = max(mx, s[j])
				}
				sum := 0.0
				for j := range s {
					s[j] = math.Exp(s[j] - mx)
					sum += s[j]
				}
				for d := range a.D {
					o := 0.0
					for j := range s {
						o += s[j] * float64(v[(b*a.LK+j)*c+h*a.D+d])
					}
					dst[(b*a.LQ+i)*c+h*a.D+d] = float32(o / sum)
				}
			}
		}
	}
}
func GroupNorm(ctx context.Context, p *Pool, dst, x []float32, b, hw, c, groups int, eps float32, w, bias []float32, silu bool) {
	g := c / groups
	for bi := range b {
		for gi := range groups {
			var s, s2 float64
			for i := range hw {
				for j := range g {
					v := float64(x[(bi*hw+i)*c+gi*g+j])
					s += v
					s2 += v * v
				}
			}
			n := float64(hw * g)
			m := s / n
			r := 1 / math.Sqrt(s2/n-m*m+float64(eps))
			for i := range hw {
				for j := range g {
					at := (bi*hw+i)*c + gi*g + j
					v := (float64(x[at])-m)*r*float64(w[gi*g+j]) + float64(bias[gi*g+j])
					if silu {
						v /= 1 + math.Exp(-v)
					}
					dst[at] = float32(v)
				}
			}
		}
	}
}
func LayerNorm(ctx context.Context, p *Pool, dst, x []float32, rows, c int, eps float32, w, bias []float32) {
	for r := range rows {
		var s, s2 float64
		for i := range c {
			v := float64(x[r*c+i])
			s += v
			s2 += v * v
		}
		m := s / float64(c)
		q := 1 / math.Sqrt(s2/float64(c)-m*m+float64(eps))
		for i := range c {
			v := (float64(x[r*c+i]) - m) * q
			if w != nil {
				v *= float64(w[i])
			}
			if bias != nil {
				v += float64(bias[i])
			}
			dst[r*c+i] = float32(v)
		}
	}
}
func each(dst, x []float32, f func(float64) float64) {
	for i, v := range x {
		dst[i] = float32(f(float64(v)))
	}
}
func SiLU(ctx context.Context, p *Pool, dst, x []float32) {
	each(dst, x, func(v float64) float64 { return v / (1 + math.Exp(-v)) })
}
func gelu(v float64) float64 { return v * 0.5 * (1 + math.Erf(v/math.Sqrt2)) }
func GELU(ctx context.Context, p *Pool, dst, x []float32) { each(dst, x, gelu) }
func GELUTanh(ctx context.Context, p *Pool, dst, x []float32) {
	each(dst, x, func(v float64) float64 {
		return 0.5 * v * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(v+0.044715*v*v*v)))
	})
}
func QuickGELU(ctx context.Context, p *Pool, dst, x []float32) {
	each(dst, x, func(v float64) float64 { return v / (1 + math.Exp(-1.702*v)) })
}
func GEGLU(ctx context.Context, p *Pool, dst, x []float32, rows, c int) {
	for r := range rows {
		for i := range c {
			dst[r*c+i] = x[r*2*c+i] * float32(gelu(float64(x[r*2*c+c+i])))
		}
	}
}
func Add(ctx context.Context, p *Pool, dst, a, b []float32) {
	for i := range a {
		dst[i] = a[i] + b[i]
	}
}
func AddRow(ctx context.Context, p *Pool, dst, a, v []float32) {
	for i := range a {
		dst[i] = a[i] + v[i%len(v)]
	}
}
func UpsampleNearest(ctx context.Context, p *Pool, dst, x []float32, b, h, w, c, oh, ow int) {
	for bi := range b {
		for y := range oh {
			for xx := range ow {
				copy(dst[((bi*oh+y)*ow+xx)*c:((bi*oh+y)*ow+xx+1)*c], x[((bi*h+y*h/oh)*w+xx*w/ow)*c:])
			}
		}
	}
}
func ConcatChannels(ctx context.Context, p *Pool, dst, a []float32, ca int, b []float32, cb, rows int) {
	for r := range rows {
		copy(dst[r*(ca+cb):], a[r*ca:(r+1)*ca])
		copy(dst[r*(ca+cb)+ca:], b[r*cb:(r+1)*cb])
	}
}
func NCHWtoNHWC(ctx context.Context, p *Pool, dst, src []float32, b, c, h, w int) {
	for i := range src {
		bi, ci, at := i/(c*h*w), i/(h*w)%c, i%(h*w)
		dst[(bi*h*w+at)*c+ci] = src[i]
	}
}
func NHWCtoNCHW(ctx context.Context, p *Pool, dst, src []float32, b, c, h, w int) {
	for i := range dst {
		bi, ci, at := i/(c*h*w), i/(h*w)%c, i%(h*w)
		dst[i] = src[(bi*h*w+at)*c+ci]
	}
}
