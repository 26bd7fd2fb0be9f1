package sampling

import (
	"context"
	"fmt"
	"math"
	"slices"

	"graphrun/types"
)

// guide evaluates the network under prompts: it estimates the picture under the positive and the negative list, each a
// weighted mean over its prompts, and goes from the second to the first by cfg (numerics.md 4.1 and 4.2).
type guide struct {
	net   types.Denoiser
	ms    *ModelSampling
	cfg   float32
	lists [3][]*entry // positive, negative, third; the second is empty where it does not count
	third *Third      // nil for the usual two
	shape []int       // [batch, channels, h, w]

	sums     [3][]float32 // per list: sum of estimate times weight, [batch, channels, h, w]
	counts   [3][]float32 // sum of weights, [batch, h, w]
	uncond   []float32    // sums[1], after division
	input    []float32    // what the network gets
	crop     []float32    // the noisy latent where one batch of prompts counts
	estimate []float32
	told     []types.Cond // what the network was told last
	toldFor  []*entry     // for these prompts
}

// job is one prompt of a list to evaluate.
type job struct {
	*entry
	list   int
	weight []float32
}

func newGuide(m types.Model, ms *ModelSampling, o Options, shape []int, needUncond bool) (*guide, error) {
	net := m.Denoiser
	if s, ok := net.(types.Sessioner); ok {
		net = s.Session()
	}
	g := &guide{net: net, ms: ms, cfg: float32(o.CFG), third: o.Third, shape: shape}
	h, w := shape[2], shape[3]
	pos, err := resolve(o.Positive, ms, h, w)
	if err != nil {
		return nil, fmt.Errorf("positive: %w", err)
	}
	neg, err := resolve(o.Negative, ms, h, w)
	if err != nil {
		return nil, fmt.Errorf("negative: %w", err)
	}
	neg = pair(neg, pos)
	pos = pair(pos, neg)
	if math.Abs(o.CFG-1) <= 1e-9*max(1, math.Abs(o.CFG)) && !needUncond && o.Third == nil {
		neg = nil
	}
	g.lists = [3][]*entry{pos, neg}
	if o.Third != nil {
		third, err := resolve(o.Third.Prompt, ms, h, w)
		if err != nil {
			return nil, fmt.Errorf("third prompt: %w", err)
		}
		g.lists[2] = pair(third, pos)
	}
	n := types.Elements(shape)
	for l, list := range g.lists {
		if l == 2 && o.Third == nil {
			break
		}
		for _, e := range list {
			e.weigh(h, w)
		}
		g.sums[l], g.counts[l] = make([]float32, n), make([]float32, shape[0]*h*w)
	}
	g.uncond = g.sums[1]
	return g, nil
}

// denoise writes the guided estimate of the picture in x at sigma.
func (g *guide) denoise(ctx context.Context, dst, x []float32, sigma float32) error {
	for l := range g.lists {
		clear(g.sums[l])
		for i := range g.counts[l] {
			g.counts[l][i] = 1e-37
		}
	}
	jobs := g.jobs(sigma)
	for len(jobs) > 0 {
		var batch, later []job
		for _, j := range jobs {
			if jobs[0].joins(j) {
				batch = append(batch, j)
			} else {
				later = append(later, j)
			}
		}
		slices.Reverse(batch) // the negative prompt goes first
		if err := g.predict(ctx, batch, x, sigma); err != nil {
			return err
		}
		jobs = later
	}
	for l := range g.lists {
		if g.sums[l] != nil {
			g.divide(l)
		}
	}
	if g.third != nil {
		g.third.mix(dst, g.sums[0], g.sums[1], g.sums[2], g.cfg)
		return nil
	}
	if g.lists[1] == nil {
		copy(dst, g.sums[0])
		return nil
	}
	for i, u := range g.uncond {
		dst[i] = u + (g.sums[0][i]-u)*g.cfg
	}
	return nil
}

// divide turns the sums of list l into means.
func (g *guide) divide(l int) {
	channels, plane := g.shape[1], g.shape[2]*g.shape[3]
	for i := range g.shape[0] * channels {
		count := g.counts[l][i/channels*plane:][:plane]
		for j, c := range count {
			g.sums[l][i*plane+j] /= c
		}
	}
}

// jobs lists the prompts that count at sigma.
func (g *guide) jobs(sigma float32) []job {
	var jobs []job
	for l, list := range g.lists {
		first := len(jobs)
		var defaults []*entry
		for _, e := range list {
			switch {
			case !e.active(sigma):
			case e.cond.Default:
				defaults = append(defaults, e)
			default:
				jobs = append(jobs, job{e, l, e.weight})
			}
		}
		if len(defaults) == 0 {
			continue
		}
		if rest := g.uncovered(jobs[first:]); !isZero(rest) {
			for _, e := range defaults {
				jobs = append(jobs, job{e, l, rest})
			}
		}
	}
	return jobs
}

// uncovered is the weight [batch, h, w] that the jobs leave to default prompts: what their sum lacks to 1.
func (g *guide) uncovered(jobs []job) []float32 {
	rest := make([]float32, len(g.counts[0]))
	for i := range rest {
		rest[i] = 1
	}
	for _, j := range jobs {
		g.rows(j, func(at, from int) {
			for x := range j.where.w {
				rest[at+x] -= j.weight[from+x]
			}
		})
	}
	for i, v := range rest {
		rest[i] = max(v, 0)
	}
	return rest
}

// rows calls f for every row of the job's place in [batch, h, w]: its start there and in the job's weight.
func (g *guide) rows(j job, f func(at, from int)) {
	h, w := g.shape[2], g.shape[3]
	weights := len(j.weight) / (j.where.h * j.where.w)
	for b := range g.shape[0] {
		for y := range j.where.h {
			f((b*h+j.where.y+y)*w+j.where.x, (b%weights*j.where.h+y)*j.where.w)
		}
	}
}

// joins reports whether two prompts can be evaluated in one batch: the same size of latent, and token counts that
// repeating brings together without growing more than fourfold.
func (j job) joins(o job) bool {
	a, b := j.cond, o.cond
	if j.where.h != o.where.h || j.where.w != o.where.w || (a.Pooled == nil) != (b.Pooled == nil) ||
		a.Pooled != nil && !slices.Equal(a.Pooled.Shape, b.Pooled.Shape) || len(a.Tokens.Shape) != len(b.Tokens.Shape) {
		return false
	}
	if slices.Equal(a.Tokens.Shape, b.Tokens.Shape) {
		return true
	}
	if len(a.Tokens.Shape) != 3 || a.Tokens.Shape[0] != b.Tokens.Shape[0] || a.Tokens.Shape[2] != b.Tokens.Shape[2] {
		return false
	}
	m, n := a.Tokens.Shape[1], b.Tokens.Shape[1]
	return m > 0 && n > 0 && lcm(m, n)/min(m, n) <= 4
}

func lcm(a, b int) int {
	g, r := a, b
	for r != 0 {
		g, r = r, g%r
	}
	return a / g * b
}

// predict evaluates the network on x at sigma for jobs of one size and adds their estimates to the sums.
func (g *guide) predict(ctx context.Context, jobs []job, x []float32, sigma float32) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	batch, channels := g.shape[0], g.shape[1]
	size := batch * channels * jobs[0].where.h * jobs[0].where.w
	g.input = resize(g.input, len(jobs)*size)
	g.crop = resize(g.crop, len(jobs)*size)
	g.estimate = resize(g.estimate, len(jobs)*size)
	for i, j := range jobs {
		g.cut(g.crop[i*size:(i+1)*size], x, j.where)
	}
	g.ms.Input(g.input, g.crop, sigma)
	timesteps := slices.Repeat([]float32{g.ms.Timestep(sigma)}, len(jobs)*batch)
	in := types.Tensor{Shape: []int{len(jobs) * batch, channels, jobs[0].where.h, jobs[0].where.w}, Data: g.input}
	out, err := g.net.Predict(ctx, in, timesteps, g.conds(jobs))
	if err != nil {
		return err
	}
	if !slices.Equal(out.Shape, in.Shape) || len(out.Data) != len(in.Data) {
		return fmt.Errorf("the model returned shape %v for %v", out.Shape, in.Shape)
	}
	g.ms.Denoised(g.estimate, g.crop, out.Data, sigma)
	for i, j := range jobs {
		g.add(g.estimate[i*size:(i+1)*size], j)
	}
	return nil
}

// resize returns a slice of n elements, the same one where it is large enough.
func resize(v []float32, n int) []float32 {
	if cap(v) < n {
		return make([]float32, n)
	}
	return v[:n]
}

// cut copies the rectangle r of x to dst.
func (g *guide) cut(dst, x []float32, r rect) {
	h, w := g.shape[2], g.shape[3]
	for i := range g.shape[0] * g.shape[1] {
		for y := range r.h {
			at := (i*h+r.y+y)*w + r.x
			dst = dst[copy(dst, x[at:at+r.w]):]
		}
	}
}

// add adds a job's estimate, times its weight, to the sums of its list.
func (g *guide) add(estimate []float32, j job) {
	h, w, channels := g.shape[2], g.shape[3], g.shape[1]
	sum, count := g.sums[j.list], g.counts[j.list]
	g.rows(j, func(at, from int) {
		weight := j.weight[from : from+j.where.w]
		for x, v := range weight {
			count[at+x] += v
		}
		b, y, left := at/(h*w), at/w%h, at%w
		for c := range channels {
			s := sum[((b*channels+c)*h+y)*w+left:][:j.where.w]
			e := estimate[((b*channels+c)*j.where.h+y-j.where.y)*j.where.w:][:j.where.w]
			for x, v := range weight {
				s[x] += e[x] * v
			}
		}
	})
}

// conds lists what the network is told, one entry a batch element: token counts are made equal by repeating. The list is
// kept for the next call, which mostly is about the same prompts.
func (g *guide) conds(jobs []job) []types.Cond {
	same := len(jobs) == len(g.toldFor)
	tokens := 1
	for i, j := range jobs {
		same = same && g.toldFor[i] == j.entry
		if s := j.cond.Tokens.Shape; len(s) == 3 && s[1] > 0 {
			tokens = lcm(tokens, s[1])
		}
	}
	if same {
		return g.told
	}
	g.told, g.toldFor = nil, nil
	for _, j := range jobs {
		g.toldFor = append(g.toldFor, j.entry)
		repeated := repeatTokens(j.cond.Tokens, tokens)
		for b := range g.shape[0] {
			c := j.cond
			c.Tokens = item(repeated, b)
			if c.Pooled != nil {
				p := item(*c.Pooled, b)
				c.Pooled = &p
			}
			g.told = append(g.told, c)
		}
	}
	return g.told
}

// repeatTokens repeats [n, t, width] to [n, tokens, width].
func repeatTokens(t types.Tensor, tokens int) types.Tensor {
	if len(t.Shape) != 3 || t.Shape[1] == 0 || t.Shape[1] == tokens {
		return t
	}
	out := types.Tensor{Shape: []int{t.Shape[0], tokens, t.Shape[2]}}
	for b := range t.Shape[0] {
		out.Data = append(out.Data, slices.Repeat(t.Item(b).Data, tokens/t.Shape[1])...)
	}
	return out
}

// item is element b of the first axis, which keeps a size of 1; fewer elements are repeated.
func item(t types.Tensor, b int) types.Tensor {
	if len(t.Shape) == 0 || t.Shape[0] <= 1 {
		return t
	}
	return t.Slice(b%t.Shape[0], 1)
}
