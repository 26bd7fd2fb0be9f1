package glsl

import (
	"fmt"
	"strconv"
)

// base is what a type's components are.
type base uint8

const (
	void base = iota
	boolean
	integer
	unsigned
	float
	sampler
)

// kind is a type: a scalar (1 by 1), a vector (rows by 1), a square matrix, or an array of these.
type kind struct {
	base       base
	rows, cols int
	array      int // 0: none
}

func (k kind) size() int     { return k.rows * k.cols * max(k.array, 1) }
func (k kind) scalar() bool  { return k.rows == 1 && k.array == 0 && k.base != void }
func (k kind) matrix() bool  { return k.cols > 1 && k.array == 0 }
func (k kind) vector() bool  { return k.rows > 1 && k.cols == 1 && k.array == 0 }
func (k kind) numeric() bool { return k.base >= integer && k.base <= float && k.array == 0 }

// element is what indexing gives.
func (k kind) element() kind {
	switch {
	case k.array > 0:
		k.array = 0
	case k.cols > 1:
		k.cols = 1
	default:
		k.rows = 1
	}
	return k
}

// length is how often indexing can.
func (k kind) length() int {
	switch {
	case k.array > 0:
		return k.array
	case k.cols > 1:
		return k.cols
	}
	return k.rows
}

var names = map[string]kind{
	"void": {void, 0, 1, 0}, "bool": {boolean, 1, 1, 0}, "int": {integer, 1, 1, 0}, "uint": {unsigned, 1, 1, 0}, "float": {float, 1, 1, 0},
	"sampler2D": {sampler, 1, 1, 0},
}

func init() {
	for n := 2; n <= 4; n++ {
		for prefix, b := range map[string]base{"vec": float, "ivec": integer, "uvec": unsigned, "bvec": boolean} {
			names[prefix+strconv.Itoa(n)] = kind{b, n, 1, 0}
		}
		names["mat"+strconv.Itoa(n)] = kind{float, n, n, 0}
		names[fmt.Sprintf("mat%dx%d", n, n)] = kind{float, n, n, 0}
	}
}

func (k kind) String() string {
	array := ""
	if k.array > 0 {
		array = fmt.Sprintf("[%d]", k.array)
	}
	k.array = 0
	for name, other := range names {
		if other == k && (k.cols == 1 || len(name) == 4) {
			return name + array
		}
	}
	return "?"
}

// variable is a place with a type.
type variable struct {
	typ      kind
	at       int
	constant bool // may not be assigned
	value    *float64
}

// function is a declared function; body is set once it is defined.
type function struct {
	name    string
	result  kind
	params  []variable
	out, in []bool // which parameters are copied back, and in
	at      int    // of the result
	body    func(*machine)
	calls   map[*function]bool
}

// place is where an assignment goes: components at base + dyn() + comps[i].
type place struct {
	base     int
	dyn      func(*machine) int
	comps    []int
	readonly bool
}

// node is a compiled expression: after run, which may be nil, its value is at at.
type node struct {
	typ   kind
	run   func(*machine)
	at    int
	place *place   // if it can be assigned
	value *float64 // of a constant scalar
}

func (n *node) eval(m *machine) {
	if n.run != nil {
		n.run(m)
	}
}

func contiguous(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}
