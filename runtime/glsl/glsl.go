// Package glsl runs fragment shaders of GLSL ES 3.00 on the processor. A shader becomes a tree of functions over one flat
// frame of numbers: GLSL knows no recursion, so every variable and every intermediate result has a place of its own.
// Derivatives, structures and cube maps are left out; a shader that uses them is refused with the line.
// https://registry.khronos.org/OpenGL/specs/es/3.0/GLSL_ES_Specification_3.00.pdf
package glsl

import (
	"context"
	"fmt"
	"runtime"
	"sync"
)

// Error is a shader that cannot be compiled or run.
type Error struct {
	Line int // from 1; 0 where unknown
	What string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return "shader: " + e.What
	}
	return fmt.Sprintf("shader, line %d: %s", e.Line, e.What)
}

// Texture is a picture of RGBA floats, row by row from the top. It is read with linear filter, clamped at its edges, its
// lower left corner at (0, 0).
type Texture struct {
	Width, Height int
	Data          []float32
}

// Program is a compiled shader. It is safe for several goroutines.
type Program struct {
	Passes  int // of #pragma passes, at least 1
	Outputs int // the highest fragColor and one

	size     int // of the frame
	uniforms map[string]*variable
	setup    []func(*machine) // constants
	globals  []func(*machine) // what each pixel starts with
	main     *function
	coord    int    // of v_texCoord, -1 if unused
	frag     int    // of gl_FragCoord
	colours  [8]int // of the outputs, -1 if unused
}

// machine runs one pixel after the other.
type machine struct {
	f        []float64
	textures []*Texture
	steps    int  // of loops that the pixel may still make
	gone     bool // the pixel was discarded
	err      *Error
}

// maxSteps bounds the loops of one pixel.
const maxSteps = 1 << 20

// Run computes width by height pixels. Values of uniforms are float64, int, bool, []float64 or *Texture; those that are not given
// are 0, textures black. The result has RGBA floats for each output, row by row from the top.
func (p *Program) Run(ctx context.Context, width, height int, uniforms map[string]any) ([][]float32, error) {
	proto := &machine{f: make([]float64, p.size), textures: []*Texture{{1, 1, make([]float32, 4)}}}
	for name, v := range p.uniforms {
		proto.set(v, uniforms[name])
	}
	out := make([][]float32, p.Outputs)
	for i := range out {
		out[i] = make([]float32, 4*width*height)
	}
	var wait sync.WaitGroup
	workers := min(runtime.GOMAXPROCS(0), height)
	errs := make([]error, workers)
	for k := range workers {
		wait.Go(func() {
			m := &machine{f: append([]float64{}, proto.f...), textures: proto.textures, steps: maxSteps}
			for _, f := range p.setup {
				f(m)
			}
			for y := k; y < height && errs[k] == nil; y += workers {
				if errs[k] = ctx.Err(); errs[k] == nil {
					errs[k] = p.row(m, y, width, height, out)
				}
			}
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (p *Program) row(m *machine, y, width, height int, out [][]float32) error {
	for x := range width {
		if p.coord >= 0 {
			m.f[p.coord], m.f[p.coord+1] = (float64(x)+0.5)/float64(width), 1-(float64(y)+0.5)/float64(height)
		}
		copy(m.f[p.frag:], []float64{float64(x) + 0.5, float64(height-y) - 0.5, 0, 1})
		for _, at := range p.colours {
			if at >= 0 {
				clear(m.f[at : at+4])
			}
		}
		m.steps, m.gone = maxSteps, false
		for _, f := range p.globals {
			f(m)
		}
		p.main.body(m)
		if m.err != nil {
			return m.err
		}
		for i := range out {
			if at := p.colours[i]; at >= 0 && !m.gone {
				for c := range 4 {
					out[i][4*(y*width+x)+c] = float32(m.f[at+c])
				}
			}
		}
	}
	return nil
}

// set gives a uniform its value.
func (m *machine) set(v *variable, value any) {
	switch x := value.(type) {
	case float64:
		m.f[v.at] = float64(float32(x))
	case int:
		m.f[v.at] = float64(int32(x))
	case bool:
		if x {
			m.f[v.at] = 1
		}
	case []float64:
		copy(m.f[v.at:v.at+v.typ.size()], x)
	case *Texture:
		m.f[v.at] = float64(len(m.textures))
		m.textures = append(m.textures, x)
	}
}

// texel is the pixel of column x and row y from below, both brought inside.
func (t *Texture) texel(x, y int) []float32 {
	x, y = min(max(x, 0), t.Width-1), min(max(y, 0), t.Height-1)
	return t.Data[4*((t.Height-1-y)*t.Width+x):][:4]
}

// sample reads at u, v of 0..1 linearly.
func (t *Texture) sample(u, v float64, dst []float64) {
	x, y := u*float64(t.Width)-0.5, v*float64(t.Height)-0.5
	x, y = min(max(x, 0), float64(t.Width-1)), min(max(y, 0), float64(t.Height-1)) // NaN becomes an index below
	x0, y0 := int(x), int(y)
	if x0 < 0 || y0 < 0 {
		x0, y0, x, y = 0, 0, 0, 0
	}
	fx, fy := x-float64(x0), y-float64(y0)
	a, b, c, d := t.texel(x0, y0), t.texel(x0+1, y0), t.texel(x0, y0+1), t.texel(x0+1, y0+1)
	wa, wb, wc, wd := (1-fx)*(1-fy), fx*(1-fy), (1-fx)*fy, fx*fy
	for i := range dst[:4] {
		dst[i] = float64(a[i])*wa + float64(b[i])*wb + float64(c[i])*wc + float64(d[i])*wd
	}
}
