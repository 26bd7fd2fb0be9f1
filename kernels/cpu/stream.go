package cpu

import "context"

// What diffusion transformers do to a stream of tokens between their products. Factors of the conditioning have one value
// a channel for all tokens.

// Modulate normalizes each row of x [M, K] as LayerNorm does without weights, then gives it scale and shift [K]:
// norm(x)*(1+scale) + shift. dst may be x if that is float32.
func Modulate(ctx context.Context, p *Pool, dst Rows, x []float32, eps float32, scale, shift []float32) {
	check("Modulate", "scale", len(scale), dst.K)
	check("Modulate", "shift", len(shift), dst.K)
	p.norm(ctx, "Modulate", modulateRow, dst, x, eps, scale[:dst.K], shift[:dst.K])
}

func modulateRow(r *rowwise, dst, x []float32) {
	normalize(dst, x, r.eps)
	active.mulAdd(dst, dst, r.w, dst)
	active.add(dst, dst, r.bias)
}

// AddGated adds y [rows, c] times gate [c] to x [rows, c]; dst may be x.
func AddGated(ctx context.Context, p *Pool, dst, x, y []float32, rows int, gate []float32) {
	c := len(gate)
	check("AddGated", "dst", len(dst), rows*c)
	check("AddGated", "x", len(x), rows*c)
	check("AddGated", "y", len(y), rows*c)
	p.byToken(ctx, tokenwise{op: gateRow, dst: dst, x: x, y: y, rows: rows, c: c, yc: c, w: gate})
}

func gateRow(t *tokenwise, dst, x, y []float32) { active.mulAdd(dst, y, t.w, x) }

// Rotary turns pairs of neighbours of each head of x [tokens, heads*d], d even, by angles of the token: a row of table
// [tokens, 2*d] has the cosine of each pair twice over, then its sine, first negative: (a, b) becomes
// (a cos - b sin, b cos + a sin). dst may be x.
func Rotary(ctx context.Context, p *Pool, dst, x, table []float32, tokens, heads, d int) {
	c := heads * d
	check("Rotary", "dst", len(dst), tokens*c)
	check("Rotary", "x", len(x), tokens*c)
	check("Rotary", "table", len(table), tokens*2*d)
	p.byToken(ctx, tokenwise{op: rotateRow, dst: dst, x: x, y: table, rows: tokens, c: c, yc: 2 * d})
}

func rotateRow(_ *tokenwise, dst, x, y []float32) {
	d := len(y) / 2
	for h := 0; h < len(dst); h += d {
		active.rotate(dst[h:h+d], x[h:], y, y[d:])
	}
}

// tokenwise is an operation on each row of c elements of x with one of yc elements of y; the last may be shorter.
type tokenwise struct {
	op          func(t *tokenwise, dst, x, y []float32)
	dst, x, y   []float32
	rows, c, yc int
	by          int // rows in a tile
	w           []float32
}

func (t *tokenwise) tile(i int, _ *worker) {
	for r := i * t.by; r < min(t.rows, (i+1)*t.by); r++ {
		end := min(len(t.dst), (r+1)*t.c)
		t.op(t, t.dst[r*t.c:end], t.x[r*t.c:end], t.y[r*t.yc:min(len(t.y), (r+1)*t.yc)])
	}
}

func (p *Pool) byToken(ctx context.Context, t tokenwise) {
	if t.rows*t.c == 0 {
		return
	}
	t.by = max(1, spanBy/t.c)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ops.token = t
	p.run(ctx, (t.rows+t.by-1)/t.by, &p.ops.token)
	p.ops.token = tokenwise{}
}
