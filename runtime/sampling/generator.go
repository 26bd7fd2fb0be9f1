package sampling

import "math"

// Generator is torch's CPU random generator bit for bit (numerics.md 1): MT19937 seeded with the low 32 bits of the
// seed, and one cached normal number. It is not safe for concurrent use.
type Generator struct {
	state  [mtSize]uint32
	next   int
	cached float64 // the second normal of a pair, kept for the next small Normal call
	has    bool
}

const (
	mtSize  = 624
	mtShift = 397
)

// NewGenerator returns a generator in the state of torch.manual_seed(seed).
func NewGenerator(seed uint64) *Generator {
	g := &Generator{}
	g.Seed(seed)
	return g
}

// Seed puts the generator into the state of torch.manual_seed(seed).
func (g *Generator) Seed(seed uint64) {
	s := uint32(seed)
	for i := range g.state {
		g.state[i] = s
		s = 1812433253*(s^s>>30) + uint32(i) + 1
	}
	g.next, g.has = mtSize, false
}

// Uint32 draws 32 random bits.
func (g *Generator) Uint32() uint32 {
	if g.next == mtSize {
		g.refill()
	}
	y := g.state[g.next]
	g.next++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// refill makes the next 624 words (Matsumoto and Nishimura 1998).
func (g *Generator) refill() {
	m := &g.state
	for i := range m {
		y := m[i]&0x80000000 | m[(i+1)%mtSize]&0x7fffffff
		v := m[(i+mtShift)%mtSize] ^ y>>1
		if y&1 != 0 {
			v ^= 0x9908b0df
		}
		m[i] = v
	}
	g.next = 0
}

// Uint64 draws 64 random bits, the first draw being the upper half.
func (g *Generator) Uint64() uint64 {
	hi := uint64(g.Uint32())
	return hi<<32 | uint64(g.Uint32())
}

func (g *Generator) float32() float32 { return float32(g.Uint32()&(1<<24-1)) * 0x1p-24 }
func (g *Generator) float64() float64 { return float64(g.Uint64()&(1<<53-1)) * 0x1p-53 }

// Uniform fills dst as torch.rand(dtype=float32) does: [0, 1).
func (g *Generator) Uniform(dst []float32) {
	for i := range dst {
		dst[i] = g.float32()
	}
}

// Uniform64 fills dst as torch.rand(dtype=float64) does: [0, 1).
func (g *Generator) Uniform64(dst []float64) {
	for i := range dst {
		dst[i] = g.float64()
	}
}

// Normal fills dst as torch.randn(dtype=float32) does on a machine with AVX2 (numerics.md 1.3 and 1.4).
func (g *Generator) Normal(dst []float32) {
	if len(dst) < 16 {
		for i := range dst {
			dst[i] = float32(g.normal())
		}
		return
	}
	g.Uniform(dst)
	for i := 0; i+16 <= len(dst); i += 16 {
		boxMuller32((*[16]float32)(dst[i:]))
	}
	if len(dst)%16 != 0 { // the last 16 are drawn anew, over the last whole group's end
		tail := dst[len(dst)-16:]
		g.Uniform(tail)
		boxMuller32((*[16]float32)(tail))
	}
}

// Normal64 fills dst as torch.randn(dtype=float64) does.
func (g *Generator) Normal64(dst []float64) {
	if len(dst) < 16 {
		for i := range dst {
			dst[i] = g.normal()
		}
		return
	}
	g.Uniform64(dst)
	for i := 0; i+16 <= len(dst); i += 16 {
		boxMuller64(dst[i : i+16])
	}
	if len(dst)%16 != 0 {
		tail := dst[len(dst)-16:]
		g.Uniform64(tail)
		boxMuller64(tail)
	}
}

// NormalAs is Normal for a 16-bit dtype: round is Half or BFloat16. The results are that dtype's values, held in float32.
func (g *Generator) NormalAs(dst []float32, round func(float64) float32) {
	if len(dst) < 16 {
		for i := range dst {
			dst[i] = round(g.normal())
		}
		return
	}
	g.Normal(dst[:len(dst)&^15])
	if len(dst)%16 != 0 { // unlike float32, no numbers are drawn for an unfinished group before the last 16 are drawn anew
		g.Normal(dst[len(dst)-16:])
	}
	for i, v := range dst {
		dst[i] = round(float64(v))
	}
}

// normal draws one number; numbers come in pairs of which the second is kept, also across calls.
func (g *Generator) normal() float64 {
	if g.has {
		g.has = false
		return g.cached
	}
	u1, u2 := g.float64(), g.float64()
	r := math.Sqrt(-2 * math.Log1p(-u2))
	sin, cos := math.Sincos(2 * math.Pi * u1)
	g.cached, g.has = r*sin, true
	return r * cos
}

// Intn draws as torch.randint(low, high) does: low <= n < high. It panics when high <= low.
func (g *Generator) Intn(low, high int64) int64 {
	if high <= low {
		panic("sampling: Intn over an empty range")
	}
	span := uint64(high) - uint64(low)
	if span < 1<<28 {
		return low + int64(uint64(g.Uint32())%span)
	}
	return int64(uint64(low) + g.Uint64()%span)
}

// Perm returns torch.randperm(n).
func (g *Generator) Perm(n int) []int {
	p := make([]int, n)
	for i := range p {
		p[i] = i
	}
	for i := 0; i < n-1; i++ {
		j := i + int(g.Uint32()%uint32(n-i))
		p[i], p[j] = p[j], p[i]
	}
	return p
}
