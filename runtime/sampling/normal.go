package sampling

import "math"

// boxMuller32 turns 16 uniform numbers into 16 normal ones the way torch's AVX2 code does: its logarithm, sine and
// cosine are the Cephes single-precision polynomials with fused multiply-adds, so that every bit is the same everywhere.
func boxMuller32(v *[16]float32) {
	for j := range 8 {
		radius := float32(math.Sqrt(float64(-2 * logf(1-v[j]))))
		sin, cos := sincosf(float32(2*math.Pi) * v[j+8])
		v[j], v[j+8] = radius*cos, radius*sin
	}
}

func boxMuller64(v []float64) {
	for j := range 8 {
		radius := math.Sqrt(-2 * math.Log(1-v[j]))
		sin, cos := math.Sincos(2 * math.Pi * v[j+8])
		v[j], v[j+8] = radius*cos, radius*sin
	}
}

// logf is the Cephes logarithm of x > 0, normal.
func logf(x float32) float32 {
	bits := math.Float32bits(x)
	e := float32(int(bits>>23) - 126)
	m := math.Float32frombits(bits&0x007fffff | 126<<23) // 0.5 <= m < 1
	x = m - 1
	if m < 0.70710678 {
		e--
		x += m
	}
	z := x * x
	y := float32(7.0376836292e-2)
	for _, c := range [...]float32{-1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
		-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1} {
		y = fma(y, x, c)
	}
	y = float32(y * x)
	y = fma(y, z, float32(e*-2.12194440e-4))
	y = fma(z, -0.5, y)
	return fma(e, 0.693359375, x+y)
}

// sincosf is the Cephes sine and cosine of x >= 0.
func sincosf(x float32) (sin, cos float32) {
	j := (uint32(x*1.27323954473516) + 1) &^ 1
	y := float32(j)
	x = fma(y, -0.78515625, x)
	x = fma(y, -2.4187564849853515625e-4, x)
	x = fma(y, -3.77489497744594108e-8, x)
	z := float32(x * x)
	c := fma(2.443315711809948e-5, z, -1.388731625493765e-3)
	c = float32(fma(c, z, 4.166664568298827e-2) * z)
	c = fma(c, z, -float32(z*0.5)) + 1
	s := fma(-1.9515295891e-4, z, 8.3321608736e-3)
	s = float32(fma(s, z, -1.6666654611e-1) * z)
	s = fma(s, x, x)
	if j&2 != 0 {
		s, c = c, s
	}
	if j&4 != 0 {
		s = -s
	}
	if (j-2)&4 == 0 {
		c = -c
	}
	return s, c
}

// fma returns x*y + z with one rounding. The product of two float32 is exact in float64, so only the sum rounds there;
// where it falls halfway between two float32 numbers the part that the sum lost decides.
func fma(x, y, z float32) float32 {
	p, w := float64(x)*float64(y), float64(z)
	s := p + w
	bits := math.Float64bits(s)
	if bits&0x1fffffff == 0x10000000 {
		t := s - p
		if lost := (p - (s - t)) + (w - t); lost != 0 {
			if (lost > 0) == (s > 0) {
				s = math.Float64frombits(bits + 1)
			} else {
				s = math.Float64frombits(bits - 1)
			}
		}
	}
	return float32(s)
}

// Half rounds to the nearest IEEE half precision number, ties to even.
func Half(v float64) float32 { return roundTo(v, 11, -14, 15) }

// BFloat16 rounds to the nearest bfloat16 number, ties to even.
func BFloat16(v float64) float32 { return roundTo(v, 8, -126, 127) }

// roundTo rounds to a format of bits significant bits and normal exponents low to high.
func roundTo(v float64, bits, low, high int) float32 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return float32(v)
	}
	_, e := math.Frexp(v) // |v| in [2^(e-1), 2^e)
	ulp := max(e-1, low) - bits + 1
	r := math.Ldexp(math.RoundToEven(math.Ldexp(v, -ulp)), ulp)
	if math.Abs(r) >= math.Ldexp(1, high+1) {
		return float32(math.Inf(int(math.Copysign(1, v))))
	}
	return float32(r)
}
