package sdnq

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"graphrun/runtime/weights"
)

// format is one of SDNQ's number formats (sdnq-format.md 4.1).
type format struct {
	name     string // canonical; aliases resolved
	bits     int
	exp, man int  // fields of a packed float, 0 for others
	integer  bool // codes are integers
	unsigned bool // asymmetric: w = zero + v*scale
	packed   bool // in the words of 5.1: bit-packed integers and every ...fn / ...fnu float
	min, max float64
	store    weights.DType // what the codes lie in
}

// natives are the float formats that the processor's or the file format's own types hold.
var natives = map[string]struct {
	store weights.DType
	max   float64
}{
	"float32": {weights.F32, math.MaxFloat32}, "bfloat16": {weights.BF16, 3.38953e38}, "float16": {weights.F16, 65504},
	"float8_e4m3fn": {weights.F8E4M3, 448}, "float8_e5m2": {weights.F8E5M2, 57344},
	"float8_e4m3fnuz": {weights.F8E4M3FNUZ, 240}, "float8_e5m2fnuz": {weights.F8E5M2FNUZ, 57344},
	"float8_e8m0fnu": {weights.F8E8M0, 1.70141e38},
}

// aliases are the short names; those of packed floats are written as exponent and mantissa bits.
var aliases = map[string]string{
	"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "fp8": "float8_e4m3fn", "bool": "uint1", "int1": "uint1",
	"fp15": "e5m9fn", "fp14": "e5m8fn", "fp13": "e5m7fn", "fp12": "e5m6fn", "fp11": "e5m5fn", "fp10": "e5m4fn", "fp9": "e4m4fn",
	"fp7": "e3m3fn", "fp6": "e3m2fn", "fp5": "e2m2fn", "fp4": "e2m1fn", "fp3": "e1m1fn", "fp2": "e1m0fn", "fp1": "e1m0fnu",
	"ufp16": "e5m11fnu", "ufp15": "e5m10fnu", "ufp14": "e5m9fnu", "ufp13": "e5m8fnu", "ufp12": "e5m7fnu", "ufp11": "e5m6fnu",
	"ufp10": "e5m5fnu", "ufp9": "e4m5fnu", "ufp8": "e4m4fnu", "ufp7": "e3m4fnu", "ufp6": "e3m3fnu", "ufp5": "e2m3fnu",
	"ufp4": "e2m2fnu", "ufp3": "e1m2fnu", "ufp2": "e1m1fnu", "ufp1": "e1m0fnu",
}

// Names are all the names of dtypes that Quantize writes, by ascending width, short names last.
func Names() []string {
	names := append(slices.Clone(dynamicOrder), "bfloat16")
	for _, name := range slices.Sorted(maps.Keys(aliases)) {
		if f, err := parseFormat(name); err == nil && f.writable() == nil {
			names = append(names, name)
		}
	}
	return names
}

var (
	intName   = regexp.MustCompile(`^(u?)int(\d{1,2})$`)
	floatName = regexp.MustCompile(`^(?:float(\d{1,2})_)?e([1-5])m(\d{1,2})fn(u?)(_sdnq)?$`)
)

// parseFormat finds a format by its name in a config.
func parseFormat(name string) (format, error) {
	full := strings.ToLower(name)
	if a, ok := aliases[full]; ok {
		full = a
	}
	if n, ok := natives[full]; ok {
		return format{name: full, bits: n.store.Bits(), min: -n.max, max: n.max, store: n.store}, nil
	}
	if m := intName.FindStringSubmatch(full); m != nil {
		bits, _ := strconv.Atoi(m[2])
		if f, ok := integer(bits, m[1] == "u"); ok {
			return f, nil
		}
	}
	if m := floatName.FindStringSubmatch(full); m != nil {
		if f, ok := packedFloat(m); ok {
			return f, nil
		}
	}
	return format{}, fmt.Errorf("unknown dtype %q", name)
}

func integer(bits int, unsigned bool) (format, bool) {
	if bits < 1 || bits > 16 && bits != 32 || bits == 1 && !unsigned {
		return format{}, false
	}
	f := format{bits: bits, integer: true, unsigned: unsigned, packed: bits != 8 && bits != 16 && bits != 32}
	if unsigned {
		f.name, f.max = fmt.Sprintf("uint%d", bits), math.Ldexp(1, bits)-1
	} else {
		f.name, f.min, f.max = fmt.Sprintf("int%d", bits), -math.Ldexp(1, bits-1), math.Ldexp(1, bits-1)-1
	}
	switch {
	case f.packed:
		f.store = packedStore(bits)
	case unsigned:
		f.store = map[int]weights.DType{8: weights.U8, 16: weights.U16, 32: weights.U32}[bits]
	default:
		f.store = map[int]weights.DType{8: weights.I8, 16: weights.I16, 32: weights.I32}[bits]
	}
	return f, true
}

// packedFloat reads a match of floatName: width, E, M, "u", "_sdnq". float8_e4m3fn alone is the native format.
func packedFloat(m []string) (format, bool) {
	e, _ := strconv.Atoi(m[2])
	man, _ := strconv.Atoi(m[3])
	f := format{exp: e, man: man, unsigned: m[4] == "u", packed: true}
	f.bits = e + man
	if !f.unsigned {
		f.bits++
	}
	if f.bits > 16 || m[1] != "" && m[1] != strconv.Itoa(f.bits) {
		return format{}, false
	}
	f.name = fmt.Sprintf("float%d_e%dm%dfn%s", f.bits, e, man, m[4])
	if f.name == "float8_e4m3fn" {
		f.name += "_sdnq"
	}
	f.max = math.Ldexp(2-math.Ldexp(1, -man), 1<<e-2) * f.minNormal()
	if !f.unsigned {
		f.min = -f.max
	}
	switch f.bits {
	case 8:
		f.store = weights.U8
	case 16:
		f.store = weights.U16
	default:
		f.store = packedStore(f.bits)
	}
	return f, true
}

func packedStore(bits int) weights.DType {
	switch {
	case bits == 1:
		return weights.I64
	case bits < 8:
		return weights.U8
	}
	return weights.I16
}

// minNormal is a packed float's smallest normal number.
func (f format) minNormal() float64 { return math.Ldexp(1, 2-1<<(f.exp-1)) }

// bitPacked says whether codes lie across words (4.2).
func (f format) bitPacked() bool { return f.packed && f.bits != 8 && f.bits != 16 }

// size is the number of bytes that n codes take; n must be a multiple of the block's length.
func (f format) size(n int) int {
	if !f.bitPacked() {
		return n * f.store.Size()
	}
	b := &blocks[f.bits]
	return n / b.codes * b.words * f.store.Size()
}

// rule is how packed floats decode, which depends on the version that wrote them (12.2).
type rule uint8

const (
	subnormals   rule = iota // from 0.2.2 on
	noSubnormals             // before: exponent 0 is one more binade, and code 0 is 0
	oneForZero               // 0.1.6 to 0.2.1: as before, but code 0 is 1 in formats of one exponent bit
)

// tables has what table returned, made at first use.
var tables sync.Map

type tableKey struct {
	name string
	rule rule
}

// table returns the value of each code of a packed format (4.2, 4.3) or of one whose codes are a byte.
func (f format) table(r rule) []float32 {
	key := tableKey{f.name, r}
	if t, ok := tables.Load(key); ok {
		return t.([]float32)
	}
	t := make([]float32, 1<<f.bits)
	for code := range t {
		switch {
		case !f.packed:
			weights.Convert(t[code:code+1], []byte{byte(code)}, f.store)
		case f.integer:
			t[code] = float32(float64(code) + f.min)
		default:
			t[code] = f.float(code, r)
		}
	}
	tables.Store(key, t)
	return t
}

// float decodes one code of a packed float.
func (f format) float(code int, r rule) float32 {
	m, e := code&(1<<f.man-1), code>>f.man&(1<<f.exp-1)
	frac := math.Ldexp(float64(m), -f.man)
	var v float64
	switch {
	case e == 0 && m == 0 && r == oneForZero && f.exp == 1:
		v = 1
	case e == 0 && m == 0:
		v = 0
	case e == 0 && r == subnormals:
		v = frac * f.minNormal()
	default:
		v = math.Ldexp(1+frac, e-1) * f.minNormal()
	}
	if !f.unsigned && code>>(f.bits-1) == 1 {
		v = -v
	}
	return float32(v) + 0 // -0 reads as 0
}

// decode reads len(dst) values from code number first on; table is f.table's for packed formats.
func (f format) decode(dst []float32, src []byte, first int, table []float32) {
	switch {
	case f.bitPacked() && f.integer:
		unpack(dst, src, f.bits, first, nil, int32(f.min))
	case f.bitPacked():
		unpack(dst, src, f.bits, first, table, 0)
	case !f.packed:
		weights.Convert(dst, src[first*f.store.Size():], f.store)
	case f.bits == 8:
		for i, c := range src[first : first+len(dst)] {
			dst[i] = table[c]
		}
	default:
		for i := range dst {
			at := 2 * (first + i)
			dst[i] = table[int(src[at])|int(src[at+1])<<8]
		}
	}
}
