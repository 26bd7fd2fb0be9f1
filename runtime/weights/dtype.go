package weights

import "fmt"

// DType is the type of a tensor's elements, as the safetensors format names them.
type DType uint8

// The types of the safetensors format.
const (
	Invalid DType = iota
	F64
	F32
	F16
	BF16
	F8E4M3     // 1-4-3, bias 7, no infinities ("fn")
	F8E5M2     // 1-5-2, IEEE
	F8E4M3FNUZ // 1-4-3, bias 8, no infinities, no negative zero
	F8E5M2FNUZ // 1-5-2, bias 16, no infinities, no negative zero
	F8E8M0     // power of two, 2^(code-127)
	F6E2M3     // six bits, packed
	F6E3M2     // six bits, packed
	F4         // four bits (1-2-1), two in a byte
	I64
	I32
	I16
	I8
	U64
	U32
	U16
	U8
	BOOL
	C64 // two F32
)

// dtypes has every type's name in a header and its size in bits.
var dtypes = [...]struct {
	name string
	bits int
}{
	Invalid: {"invalid", 0},
	F64:     {"F64", 64}, F32: {"F32", 32}, F16: {"F16", 16}, BF16: {"BF16", 16},
	F8E4M3: {"F8_E4M3", 8}, F8E5M2: {"F8_E5M2", 8}, F8E4M3FNUZ: {"F8_E4M3FNUZ", 8}, F8E5M2FNUZ: {"F8_E5M2FNUZ", 8},
	F8E8M0: {"F8_E8M0", 8}, F6E2M3: {"F6_E2M3", 6}, F6E3M2: {"F6_E3M2", 6}, F4: {"F4", 4},
	I64: {"I64", 64}, I32: {"I32", 32}, I16: {"I16", 16}, I8: {"I8", 8},
	U64: {"U64", 64}, U32: {"U32", 32}, U16: {"U16", 16}, U8: {"U8", 8},
	BOOL: {"BOOL", 8}, C64: {"C64", 64},
}

// ParseDType finds a type by its name in the format ("F8_E4M3").
func ParseDType(name string) (DType, error) {
	for d, t := range dtypes {
		if t.name == name && DType(d) != Invalid {
			return DType(d), nil
		}
	}
	return Invalid, fmt.Errorf("unknown dtype %q", name)
}

// String is the type's name in a safetensors header.
func (d DType) String() string {
	if int(d) < len(dtypes) {
		return dtypes[d].name
	}
	return dtypes[Invalid].name
}

// Bits is the size of one element in bits: 4 and 6 for the packed types.
func (d DType) Bits() int {
	if int(d) < len(dtypes) {
		return dtypes[d].bits
	}
	return 0
}

// Size is the size of one element in bytes, 0 for types smaller than a byte.
func (d DType) Size() int { return d.Bits() / 8 }

// IsFloat says whether elements are real floating point numbers.
func (d DType) IsFloat() bool { return d >= F64 && d <= F4 }
