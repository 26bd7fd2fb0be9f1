package sdnq

import (
	"math"

	"graphrun/kernels/cpu"
	"graphrun/runtime/weights"
)

// loss is what a weight lost: sums over its numbers and over the errors.
type loss struct {
	count, sum, squares, errors float64
	top, errorTop               float32 // largest absolute values
}

func (l *loss) add(o loss) {
	l.count, l.sum, l.squares, l.errors = l.count+o.count, l.sum+o.sum, l.squares+o.squares, l.errors+o.errors
	l.top, l.errorTop = max(l.top, o.top), max(l.errorTop, o.errorTop)
}

// rms is the error's root mean square relative to the weight's, 0 if there is no error.
func (l *loss) rms() float64 {
	if l.errors == 0 {
		return 0
	}
	return math.Sqrt(l.errors / max(l.squares, math.SmallestNonzeroFloat64))
}

// max is the largest error relative to the weight's largest absolute value.
func (l *loss) max() float64 {
	if l.errorTop == 0 {
		return 0
	}
	return float64(l.errorTop) / max(float64(l.top), math.SmallestNonzeroFloat64)
}

// relative is the mean square of the error relative to the weight's variance, which dynamic quantization limits (3.4).
func (l *loss) relative() float64 {
	variance := (l.squares - l.sum*l.sum/l.count) / max(l.count-1, 1)
	return l.errors / l.count / max(variance, 1e-8)
}

// loss reads the tensors as a loader will and compares them with the weight.
func (m *maker) loss(tensors []weights.Tensor) (loss, error) {
	r := reader{store: weights.Of(tensors...), name: m.module, kind: m.kind, o: &m.layerOptions, dense: m.layerPlan.dense}
	q, err := r.read()
	if err != nil {
		return loss{}, err
	}
	const rows = 8 // which are read as fast as they are where codes lie transposed
	parts := make([]loss, m.n/rows+1)
	rooms := make([][]float32, m.pool.Threads())
	m.pool.Run(m.ctx, (m.n+rows-1)/rows, func(tile, worker int) {
		n0, n1 := tile*rows, min(m.n, (tile+1)*rows)
		size := (n1 - n0) * m.k
		if len(rooms[worker]) < 2*size {
			rooms[worker] = make([]float32, 2*size)
		}
		x, y := rooms[worker][:size], rooms[worker][size:2*size]
		m.source.Unpack(x, n0, n1, 0, m.k)
		q.Unpack(y, n0, n1, 0, m.k)
		l := loss{count: float64(size), top: cpu.AbsMax(x)}
		l.sum, l.squares = cpu.Sums(x)
		cpu.AddScaled(y, x, -1)
		l.errorTop = cpu.AbsMax(y)
		_, l.errors = cpu.Sums(y)
		parts[tile] = l
	})
	var all loss
	for _, p := range parts {
		all.add(p)
	}
	return all, m.ctx.Err()
}
