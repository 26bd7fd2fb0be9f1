package sampling

import (
	"math"
	"strconv"
)

// brownian is the Brownian motion of the SDE samplers (numerics.md 1.8): a dyadic tree over sigma whose every node has
// a seed of its own, so that increments do not depend on the order in which they are asked for.
type brownian struct {
	entropy uint64
	from    float64 // borders of the tree, rounded to 6 decimals
	to      float64
	root    []float32   // W(to) - W(from)
	levels  [][]float32 // per depth: the two halves of the node above
	drawn   []float32
	gen     Generator
}

// newBrownian spans the tree over [low, high] for tensors of n elements.
func newBrownian(seed uint64, low, high float64, n int) *brownian {
	b := &brownian{entropy: seed, from: round6(low), to: round6(high), root: make([]float32, n), drawn: make([]float32, n)}
	b.gen.Seed(uint64(seedSequence(seed, nil)))
	b.gen.Normal(b.root)
	scale(b.root, float32(math.Sqrt(high-low)))
	for length := 4 * (b.to - b.from); length > 1e-6; length /= 2 { // halves round, so one level may be deeper than the length says
		b.levels = append(b.levels, make([]float32, 2*n))
	}
	return b
}

// Noise writes the noise of the step from sigma to next: unit variance, the sign of going down.
func (b *brownian) Noise(dst []float32, sigma, next float32) {
	a, c := round6(b.clamp(float64(sigma))), round6(b.clamp(float64(next)))
	sign := 1.0
	if a > c {
		a, c, sign = c, a, -1
	}
	clear(dst)
	b.add(dst, node{to: b.to, from: b.from, w: b.root}, a, c)
	scale(dst, float32(sign/math.Sqrt(math.Abs(float64(next)-float64(sigma)))))
}

func (b *brownian) clamp(sigma float64) float64 { return min(max(sigma, b.from), b.to) }

// node is one interval of the tree and its increment.
type node struct {
	key, depth uint64
	from, to   float64
	w          []float32
}

// add adds the increment of n's part in [a, c] to dst.
func (b *brownian) add(dst []float32, n node, a, c float64) {
	if c <= n.from || a >= n.to || n.from >= n.to {
		return
	}
	if a <= n.from && n.to <= c {
		for i, w := range n.w {
			dst[i] += w
		}
		return
	}
	left, right := b.split(n)
	b.add(dst, left, a, c)
	b.add(dst, right, a, c)
}

// split makes the two halves of a node by a Brownian bridge.
func (b *brownian) split(n node) (left, right node) {
	size := len(n.w)
	for len(b.levels) <= int(n.depth) {
		b.levels = append(b.levels, make([]float32, 2*size))
	}
	mid := round6(0.5 * (n.from + n.to))
	left = node{key: 2 * n.key, depth: n.depth + 1, from: n.from, to: mid, w: b.levels[n.depth][:size]}
	right = node{key: 2*n.key + 1, depth: n.depth + 1, from: mid, to: n.to, w: b.levels[n.depth][size:]}
	b.gen.Seed(uint64(seedSequence(b.entropy, []uint64{n.key, n.depth})))
	b.gen.Normal(b.drawn)
	length := n.to - n.from
	share := float32(mid - n.from)
	total := float32(length)
	spread := float32(math.Sqrt((mid - n.from) * (n.to - mid) / length))
	for i, w := range n.w {
		left.w[i] = share*w/total + spread*b.drawn[i]
		right.w[i] = w - left.w[i]
	}
	return left, right
}

// round6 rounds to 6 decimals exactly as Python's round does.
func round6(v float64) float64 {
	r, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'f', 6, 64), 64)
	return r
}

// seedSequence is the first word that numpy's SeedSequence(entropy, spawn_key, pool_size=24) generates.
func seedSequence(entropy uint64, spawn []uint64) uint32 {
	const pool = 24
	words := seedWords(nil, entropy)
	if spawn != nil {
		for len(words) < pool {
			words = append(words, 0)
		}
		for _, k := range spawn {
			words = seedWords(words, k)
		}
	}
	h := uint32(0x43b0d7e5)
	hash := func(v uint32) uint32 {
		v ^= h
		h *= 0x931e8875
		v *= h
		return v ^ v>>16
	}
	mix := func(x, y uint32) uint32 {
		v := 0xca01f9dd*x - 0x4973f715*y
		return v ^ v>>16
	}
	var p [pool]uint32
	for i := range p {
		var w uint32
		if i < len(words) {
			w = words[i]
		}
		p[i] = hash(w)
	}
	for src := range p {
		for dst := range p {
			if src != dst {
				p[dst] = mix(p[dst], hash(p[src]))
			}
		}
	}
	for i := pool; i < len(words); i++ {
		for dst := range p {
			p[dst] = mix(p[dst], hash(words[i]))
		}
	}
	out := uint32(0x8b51f9dd)
	v := p[0] ^ out
	out *= 0x58f38ded
	v *= out
	return v ^ v>>16
}

// seedWords appends the little-endian words of v, at least one.
func seedWords(words []uint32, v uint64) []uint32 {
	words = append(words, uint32(v))
	if v>>32 != 0 {
		words = append(words, uint32(v>>32))
	}
	return words
}

func scale(x []float32, by float32) {
	for i := range x {
		x[i] *= by
	}
}
