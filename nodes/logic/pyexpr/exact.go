package pyexpr

import (
	"math"
	"math/big"
	"sync"
)

// Go's logarithms, powers and sines may be off in the last bit, where the C library's, which Python uses, practically never
// are. Here they are computed with precision to spare and rounded once.
const precision = 192

// angle is the precision of pi: the largest float has 1024 bits before its point.
const angle = 1024 + precision

func fixed(prec uint, f float64) *big.Float { return new(big.Float).SetPrec(prec).SetFloat64(f) }

// expBig is e^x for |x| below 2^12: Taylor's series of x/2^k, squared k times.
func expBig(x *big.Float) *big.Float {
	const halvings = 24
	r := new(big.Float).SetPrec(precision+64).SetMantExp(x, -halvings)
	sum, term := fixed(precision+64, 1), fixed(precision+64, 1)
	for i := 1; i < 20; i++ { // |r| < 2^-12: the 20th term is below 2^-240
		term.Mul(term, r)
		term.Quo(term, fixed(64, float64(i)))
		sum.Add(sum, term)
	}
	for range halvings {
		sum.Mul(sum, sum)
	}
	return sum
}

// logBig is the natural logarithm of a finite x > 0: that of the float, mended by what e to it leaves.
func logBig(x float64) *big.Float {
	frac, exp := math.Frexp(x) // math.Log does not know the smallest floats
	y := fixed(precision, math.Log(frac)+float64(exp)*math.Ln2)
	// x·e^-y is 1 + d with |d| about 1e-16: its logarithm is d - d²/2 + d³/3.
	d := expBig(new(big.Float).Neg(y))
	d.Mul(d, fixed(precision, x))
	d.Sub(d, fixed(precision, 1))
	square := new(big.Float).Mul(d, d)
	cube := new(big.Float).Mul(square, d)
	y.Add(y, d)
	y.Sub(y, square.Quo(square, fixed(64, 2)))
	return y.Add(y, cube.Quo(cube, fixed(64, 3)))
}

func nearestFloat(x *big.Float) float64 {
	f, _ := x.Float64()
	return f
}

// logOf is log, log2 or log10 of a finite x > 0.
func logOf(name string, x float64) float64 {
	switch name {
	case "log2":
		if frac, exp := math.Frexp(x); frac == 0.5 {
			return float64(exp - 1)
		}
		return nearestFloat(new(big.Float).Quo(logBig(x), logBig(2)))
	case "log10":
		// As the C library's, which here is not exact: fdlibm's e_log10.c, in whose parts log10(2) is.
		const perLn10, high, low = 4.34294481903251816668e-01, 3.01029995663611771306e-01, 3.69423907715893078616e-13
		frac, exp := math.Frexp(x) // frac from 0.5 to 1
		if exp > 0 {
			frac, exp = frac*2, exp-1
		}
		z := float64(float64(exp)*low) + float64(perLn10*nearestFloat(logBig(frac)))
		return z + float64(float64(exp)*high)
	}
	return nearestFloat(logBig(x))
}

// powOf is a^b of finite a != 0 and b; a negative a needs a whole b.
func powOf(a, b float64) float64 {
	if p := math.Pow(a, b); p == 0 || math.IsInf(p, 0) || math.Abs(b) > 1<<40 {
		return p
	}
	y := logBig(math.Abs(a))
	p := nearestFloat(expBig(y.Mul(y, fixed(precision, b))))
	if a < 0 && math.Mod(b, 2) != 0 {
		return -p
	}
	return p
}

// halfPi is pi/2 by Machin's formula: pi/4 = 4·arctan(1/5) - arctan(1/239).
var halfPi = sync.OnceValue(func() *big.Float {
	arctan := func(n float64) *big.Float {
		term := new(big.Float).SetPrec(angle+64).Quo(fixed(angle+64, 1), fixed(64, n))
		sum := new(big.Float).SetPrec(angle + 64).Set(term)
		for k := 1.0; term.MantExp(nil) > -(angle + 64); k++ {
			term.Quo(term, fixed(64, -n*n))
			sum.Add(sum, new(big.Float).Quo(term, fixed(64, 2*k+1)))
		}
		return sum
	}
	quarter := new(big.Float).Mul(arctan(5), fixed(64, 4))
	quarter.Sub(quarter, arctan(239))
	return quarter.Mul(quarter, fixed(64, 2))
})

// sineOf is sin, cos or tan of a finite x.
func sineOf(name string, x float64) float64 {
	if x == 0 {
		return map[string]float64{"sin": x, "cos": 1, "tan": x}[name]
	}
	turns := new(big.Float).SetPrec(angle+64).Quo(fixed(angle, x), halfPi())
	turns.Add(turns, fixed(64, 0.5))
	whole, _ := turns.Int(nil)
	if turns.Sign() < 0 && !turns.IsInt() {
		whole.Sub(whole, small[1]) // round down
	}
	r := new(big.Float).SetPrec(angle + 64).SetInt(whole)
	r.Sub(fixed(angle+64, x), r.Mul(r, halfPi()))
	r.SetPrec(precision)
	square := new(big.Float).Mul(r, r)
	series := func(first *big.Float, k float64) *big.Float { // first - first·r²/(k+1)(k+2) + ...
		sum, term := new(big.Float).Set(first), new(big.Float).Set(first)
		for ; k < 60; k += 2 {
			term.Mul(term, square)
			term.Quo(term, fixed(64, -(k+1)*(k+2)))
			sum.Add(sum, term)
		}
		return sum
	}
	sin, cos := series(r, 1), series(fixed(precision, 1), 0)
	switch new(big.Int).And(whole, big.NewInt(3)).Int64() { // quarter turns
	case 1:
		sin, cos = cos, sin.Neg(sin)
	case 2:
		sin, cos = sin.Neg(sin), cos.Neg(cos)
	case 3:
		sin, cos = cos.Neg(cos), sin
	}
	switch name {
	case "sin":
		return nearestFloat(sin)
	case "cos":
		return nearestFloat(cos)
	}
	return nearestFloat(sin.Quo(sin, cos))
}
