package weights

import (
	"encoding/binary"
	"math"
	"testing"
)

// slow decodes a float of sign, e exponent and m mantissa bits by the definition: every bit by itself.
// inf: exponent all ones is infinity and NaN; fn: only all ones is NaN; fnuz: only negative zero is NaN.
func slow(code uint64, e, m, bias int, special string) float64 {
	sign := code>>(e+m)&1 == 1
	exponent, mantissa := 0, 0.0
	for i := range e {
		exponent += int(code>>(m+i)&1) << i
	}
	for i := range m {
		mantissa += float64(code>>i&1) * math.Pow(2, float64(i-m))
	}
	ones := exponent == 1<<e-1
	switch {
	case special == "inf" && ones && mantissa > 0,
		special == "fn" && ones && mantissa == 1-math.Pow(2, float64(-m)),
		special == "fnuz" && sign && exponent == 0 && mantissa == 0:
		return math.NaN()
	case special == "inf" && ones:
		mantissa = math.Inf(1)
	case exponent == 0:
		mantissa *= math.Pow(2, float64(1-bias))
	default:
		mantissa = (1 + mantissa) * math.Pow(2, float64(exponent-bias))
	}
	if sign {
		return -mantissa
	}
	return mantissa
}

// sameFloat compares bits, all NaN being one.
func sameFloat(a, b float32) bool {
	return a != a && b != b || math.Float32bits(a) == math.Float32bits(b)
}

func TestFloatsOfEveryCode(t *testing.T) {
	for _, c := range []struct {
		d          DType
		e, m, bias int
		special    string
	}{
		{F16, 5, 10, 15, "inf"},
		{BF16, 8, 7, 127, "inf"},
		{F8E4M3, 4, 3, 7, "fn"},
		{F8E5M2, 5, 2, 15, "inf"},
		{F8E4M3FNUZ, 4, 3, 8, "fnuz"},
		{F8E5M2FNUZ, 5, 2, 16, "fnuz"},
	} {
		var src []byte
		n := 1 << c.d.Bits()
		for code := range n {
			src = binary.LittleEndian.AppendUint32(src, uint32(code))[:len(src)+c.d.Size()]
		}
		got, err := Tensor{DType: c.d, Shape: []int{n}, Data: src}.Float32()
		if err != nil {
			t.Fatal(err)
		}
		for code, v := range got {
			if want := float32(slow(uint64(code), c.e, c.m, c.bias, c.special)); !sameFloat(v, want) {
				t.Fatalf("%s %#x: have %g, want %g", c.d, code, v, want)
			}
		}
	}
	for code, v := range float8Table(F8E8M0) {
		want := float32(math.Pow(2, float64(code-127)))
		if code == 255 {
			want = float32(math.NaN())
		}
		if !sameFloat(v, want) {
			t.Fatalf("F8_E8M0 %#x: have %g, want %g", code, v, want)
		}
	}
}

// TestRoundToHalf checks the encoders against a search for the nearest code, on every code, every midpoint between
// neighbours and a hair to either side of it.
func TestRoundToHalf(t *testing.T) {
	for _, c := range []struct {
		name   string
		encode func(float32) uint16
		decode func(uint16) float64
		last   uint16 // largest finite
	}{
		{"f16", Float32ToF16, func(h uint16) float64 { return slow(uint64(h), 5, 10, 15, "inf") }, 0x7bff},
		{"bf16", Float32ToBF16, func(h uint16) float64 { return slow(uint64(h), 8, 7, 127, "inf") }, 0x7f7f},
	} {
		check := func(f float32, want uint16) {
			t.Helper()
			if got := c.encode(f); got != want {
				t.Fatalf("%s of %g: have %#x, want %#x", c.name, f, got, want)
			}
			if got := c.encode(-f); got != want|0x8000 {
				t.Fatalf("%s of %g: have %#x, want %#x", c.name, -f, got, want|0x8000)
			}
		}
		for h := uint16(0); h < c.last; h++ {
			a, b := c.decode(h), c.decode(h+1)
			mid, even := float32((a+b)/2), h+h&1
			check(float32(a), h)
			if float64(mid) != (a+b)/2 { // below float32's own precision
				continue
			}
			check(mid, even)
			check(math.Nextafter32(mid, 0), h)
			check(math.Nextafter32(mid, float32(math.Inf(1))), h+1)
		}
		check(float32(math.Inf(1)), c.last+1)
		if h := c.encode(float32(math.NaN())); c.decode(h) == c.decode(h) {
			t.Errorf("%s of NaN is %#x, a number", c.name, h)
		}
	}
	if Float32ToF16(65519.996) != 0x7bff || Float32ToF16(65520) != 0x7c00 {
		t.Error("f16 must turn infinite at 65520")
	}
}

func TestIntegers(t *testing.T) {
	ff := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	for d, want := range map[DType]float32{
		I8: -1, I16: -1, I32: -1, I64: -1, U8: 255, U16: 65535, U32: 1 << 32, U64: 1 << 63 * 2, BOOL: 1,
	} {
		if got, err := (Tensor{DType: d, Data: ff[:d.Size()]}).Float32(); err != nil || got[0] != want {
			t.Errorf("%s of all ones: have %v, %v, want %g", d, got, err, want)
		}
	}
	f64 := binary.LittleEndian.AppendUint64(nil, math.Float64bits(1+math.Ldexp(1, -24)))
	if got, _ := (Tensor{DType: F64, Data: f64}).Float32(); got[0] != 1 {
		t.Errorf("F64 tie rounds to %g, want 1", got[0])
	}
	for _, d := range []DType{F4, F6E2M3, F6E3M2, C64} {
		if _, err := (Tensor{DType: d, Shape: []int{8}, Data: make([]byte, d.Bits())}).Float32(); err == nil {
			t.Errorf("%s reads as float32", d)
		}
	}
}

func TestFloat32IsAViewWhereItCan(t *testing.T) {
	data := make([]byte, 12)
	aligned, _ := Tensor{DType: F32, Shape: []int{2}, Data: data[:8]}.Float32()
	odd, _ := Tensor{DType: F32, Shape: []int{2}, Data: data[1:9]}.Float32()
	binary.LittleEndian.PutUint32(data, math.Float32bits(1))
	if littleEndian && aligned[0] != 1 {
		t.Error("aligned F32 is copied")
	}
	if odd[0] != 0 {
		t.Error("misaligned F32 is not copied")
	}
}
