package picture

import "math"

// predict writes the prediction of macroblock mx, my, size pixels wide, into got. Above the picture is 127, left of it 129.
func (p vp8Plane) predict(mode, mx, my, size int) {
	at := my*size*p.stride + mx*size
	var above, left [16]byte
	for i := range size {
		above[i], left[i] = 127, 129
		if my > 0 {
			above[i] = p.got[at-p.stride+i]
		}
		if mx > 0 {
			left[i] = p.got[at+i*p.stride-1]
		}
	}
	mean := byte(128)
	if mode == predictMean && (mx > 0 || my > 0) {
		sum, n := 0, 0
		for i := range size {
			if my > 0 {
				sum, n = sum+int(above[i]), n+1
			}
			if mx > 0 {
				sum, n = sum+int(left[i]), n+1
			}
		}
		mean = byte((sum + n/2) / n)
	}
	for y := range size {
		row := p.got[at+y*p.stride:][:size]
		switch mode {
		case predictAbove:
			copy(row, above[:])
		case predictLeft, predictMean:
			v := mean
			if mode == predictLeft {
				v = left[y]
			}
			for x := range row {
				row[x] = v
			}
		case predictSlope:
			d := int(left[y]) - int(p.got[at-p.stride-1])
			for x := range row {
				row[x] = clip(int(above[x]) + d)
			}
		}
	}
}

// macroblock is a copy of what decoders have of it.
func (p vp8Plane) macroblock(mx, my int) (out [256]byte) {
	for y := range 16 {
		copy(out[16*y:16*y+16], p.got[(16*my+y)*p.stride+16*mx:])
	}
	return out
}

func (p vp8Plane) restore(pix [256]byte, mx, my int) {
	for y := range 16 {
		copy(p.got[(16*my+y)*p.stride+16*mx:], pix[16*y:16*y+16])
	}
}

// cosines is the 4 point DCT, rows by frequency, scaled so that twice in two dimensions VP8's inverse undoes it.
var cosines = func() (m [4][4]float32) {
	for k := range m {
		for i := range m[k] {
			m[k][i] = float32(math.Cos(math.Pi / 8 * float64(k) * float64(2*i+1)))
			if k == 0 {
				m[k][i] = float32(math.Sqrt(0.5))
			}
		}
	}
	return m
}()

// transform gives the coefficients of what the prediction of the 4 by 4 pixels at leaves.
func (p vp8Plane) transform(at int) (out [16]float32) {
	var half [16]float32
	for y := range 4 {
		var d [4]float32
		for x := range 4 {
			i := at + y*p.stride + x
			d[x] = float32(int(p.want[i]) - int(p.got[i]))
		}
		for k := range 4 {
			c := &cosines[k]
			half[4*y+k] = c[0]*d[0] + c[1]*d[1] + c[2]*d[2] + c[3]*d[3]
		}
	}
	for x := range 4 {
		for k := range 4 {
			c := &cosines[k]
			out[4*k+x] = c[0]*half[x] + c[1]*half[4+x] + c[2]*half[8+x] + c[3]*half[12+x]
		}
	}
	return out
}

// add puts the inverse transform of coefficients onto the 4 by 4 pixels at, in the decoders' whole numbers (RFC 6386, 14.3).
func (p vp8Plane) add(at int, c [16]int) {
	const cos, sin = 85627, 35468 // 65536 times √2·cos(π/8), √2·sin(π/8)
	var m [16]int
	for i := range 4 {
		a, b := c[i]+c[8+i], c[i]-c[8+i]
		d := (c[4+i]*sin)>>16 - (c[12+i]*cos)>>16
		e := (c[4+i]*cos)>>16 + (c[12+i]*sin)>>16
		m[i], m[4+i], m[8+i], m[12+i] = a+e, b+d, b-d, a-e
	}
	for y := range 4 {
		r := m[4*y : 4*y+4]
		a, b := r[0]+4+r[2], r[0]+4-r[2]
		d := (r[1]*sin)>>16 - (r[3]*cos)>>16
		e := (r[1]*cos)>>16 + (r[3]*sin)>>16
		for x, v := range [4]int{a + e, b + d, b - d, a - e} {
			i := at + y*p.stride + x
			p.got[i] = clip(int(p.got[i]) + v>>3)
		}
	}
}

// walsh replaces the 16 means by their Walsh-Hadamard transform.
func walsh(m *[16]float32) {
	for range 2 { // rows, then columns
		var out [16]float32
		for i := range 4 {
			a, b, c, d := m[4*i], m[4*i+1], m[4*i+2], m[4*i+3]
			out[i], out[4+i], out[8+i], out[12+i] = a+b+c+d, a+b-c-d, a-b-c+d, a-b+c-d
		}
		*m = out
	}
	for i := range m {
		m[i] /= 2
	}
}

// inverseWalsh is the decoders' (RFC 6386, 14.3).
func inverseWalsh(c [16]int) (out [16]int) {
	var m [16]int
	for i := range 4 {
		a, b := c[i]+c[12+i], c[4+i]+c[8+i]
		d, e := c[4+i]-c[8+i], c[i]-c[12+i]
		m[i], m[4+i], m[8+i], m[12+i] = a+b, e+d, a-b, e-d
	}
	for i := range 4 {
		r := m[4*i : 4*i+4]
		a, b := r[0]+r[3]+3, r[1]+r[2]
		d, e := r[1]-r[2], r[0]-r[3]+3
		out[4*i], out[4*i+1], out[4*i+2], out[4*i+3] = (a+b)>>3, (e+d)>>3, (a-b)>>3, (e-d)>>3
	}
	return out
}

// quantize divides the coefficients from first on by their steps. Halves go down: a level less is cheap, and it smooths.
func quantize(levels *[16]int16, c *[16]float32, steps [2]int, first int) {
	for i := first; i < 16; i++ {
		v, step, round := c[vp8Zigzag[i]], float32(steps[1]), float32(0.42)
		if i == 0 {
			step, round = float32(steps[0]), 0.5
		}
		n := int16(min(max(v, -v)/step+round, vp8MaxLevel))
		if v < 0 {
			n = -n
		}
		levels[i] = n
	}
}

func dequantize(levels *[16]int16, steps [2]int) (c [16]int) {
	for i, n := range levels {
		c[vp8Zigzag[i]] = int(n) * steps[min(i, 1)]
	}
	return c
}
