package sampling

import "math"

// boxMuller32 turns 16 uniform numbers into 16 normal ones the way torch's AVX2 code does: its logarithm, sine and
// cosine are the Cephes single-precision polynomials with fused multiply-adds, so that every bit is the same everywhere.
// They go over 8 numbers at a time, operation by operation, because one number's operations wait for each other.
func boxMuller32(v *[16]float32) {
	var radius, sin, cos lanes
	for j := range radius {
		radius[j] = 1 - v[j]
		sin[j] = float32(2*math.Pi) * v[j+8]
	}
	radius.log()
	sin.sincos(&cos)
	for j, l := range radius {
		r := float32(math.Sqrt(float64(-2 * l)))
		v[j], v[j+8] = r*cos[j], r*sin[j]
	}
}

func boxMuller64(v []float64) {
	for j := range 8 {
		radius := math.Sqrt(-2 * math.Log(1-v[j]))
		sin, cos := math.Sincos(2 * math.Pi * v[j+8])
		v[j], v[j+8] = radius*cos, radius*sin
	}
}

// lanes are numbers that go through the same operations.
type lanes [8]float32

// horner sets y to y·x + c, rounded once.
func (y *lanes) horner(x *lanes, c float32) {
	for j, v := range y {
		s := float64(v)*float64(x[j]) + float64(c)
		if y[j] = float32(s); halfway32(s) {
			y[j] = nudge(v, x[j], c)
		}
	}
}

// mulAdd sets y to y·x + z, rounded once.
func (y *lanes) mulAdd(x, z *lanes) {
	for j, v := range y {
		s := float64(v)*float64(x[j]) + float64(z[j])
		if y[j] = float32(s); halfway32(s) {
			y[j] = nudge(v, x[j], z[j])
		}
	}
}

// add sets y to y + x·c, rounded once.
func (y *lanes) add(x *lanes, c float32) {
	for j, v := range y {
		s := float64(x[j])*float64(c) + float64(v)
		if y[j] = float32(s); halfway32(s) {
			y[j] = nudge(x[j], c, v)
		}
	}
}

// mul sets y to y·x.
func (y *lanes) mul(x *lanes) {
	for j := range y {
		y[j] *= x[j]
	}
}

// log replaces x > 0, normal, by its Cephes logarithm.
func (x *lanes) log() {
	var e, y, z, scaled lanes
	for j, v := range x {
		bits := math.Float32bits(v)
		e[j] = float32(int32(bits>>23) - 126)
		m := math.Float32frombits(bits&0x007fffff | 126<<23) // 0.5 <= m < 1
		x[j] = m - 1
		if m < 0.70710678 {
			e[j]--
			x[j] += m
		}
		z[j] = x[j] * x[j]
		y[j] = 7.0376836292e-2
		scaled[j] = e[j] * -2.12194440e-4
	}
	for _, c := range [...]float32{
		-1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
		-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
	} {
		y.horner(x, c)
	}
	y.mul(x)
	y.mulAdd(&z, &scaled)
	y.add(&z, -0.5)
	for j := range x {
		x[j] += y[j]
	}
	x.add(&e, 0.693359375)
}

// sincos replaces x >= 0 by its Cephes sine and writes its cosine.
func (x *lanes) sincos(cos *lanes) {
	var octant [8]uint32
	var y, z, half, sin lanes
	for j, v := range x {
		octant[j] = (uint32(v*1.27323954473516) + 1) &^ 1
		y[j] = float32(octant[j])
	}
	x.add(&y, -0.78515625)
	x.add(&y, -2.4187564849853515625e-4)
	x.add(&y, -3.77489497744594108e-8)
	for j, v := range x {
		z[j] = v * v
		half[j] = z[j] * -0.5
		cos[j], sin[j] = 2.443315711809948e-5, -1.9515295891e-4
	}
	cos.horner(&z, -1.388731625493765e-3)
	cos.horner(&z, 4.166664568298827e-2)
	cos.mul(&z)
	cos.mulAdd(&z, &half)
	sin.horner(&z, 8.3321608736e-3)
	sin.horner(&z, -1.6666654611e-1)
	sin.mul(&z)
	sin.mulAdd(x, x)
	for j, o := range octant {
		s, c := sin[j], cos[j]+1
		if o&2 != 0 {
			s, c = c, s
		}
		if o&4 != 0 {
			s = -s
		}
		if (o-2)&4 == 0 {
			c = -c
		}
		x[j], cos[j] = s, c
	}
}

// fma returns x·y + z with one rounding. The product of two float32 is exact in float64, so only the sum rounds there;
// where it falls halfway between two float32 numbers the part that the sum lost decides.
func fma(x, y, z float32) float32 {
	s := float64(x)*float64(y) + float64(z)
	if halfway32(s) {
		return nudge(x, y, z)
	}
	return float32(s)
}

// halfway32 reports whether v lies in the middle between two normal float32 numbers.
func halfway32(v float64) bool { return math.Float64bits(v)<<35 == 1<<63 }

// nudge is fma where its sum falls on the middle.
func nudge(x, y, z float32) float32 {
	p, w := float64(x)*float64(y), float64(z)
	s := p + w
	t := s - p
	lost := (p - (s - t)) + (w - t)
	switch {
	case lost == 0:
		return float32(s)
	case (lost > 0) == (s > 0):
		return float32(math.Float64frombits(math.Float64bits(s) + 1))
	}
	return float32(math.Float64frombits(math.Float64bits(s) - 1))
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
