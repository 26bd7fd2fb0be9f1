package graph

import "container/heap"

// budget is an entry's place in the order in which a costs policy drops.
type budget struct {
	worth float64
	index int
}

// costs keeps results up to a number of bytes and drops first what takes the least time per byte to compute anew. The
// worth of an entry is its seconds per byte plus the worth of what was dropped last when it came or was last used, so
// that what nobody uses any more ages (GreedyDual-Size, Cao and Irani 1997).
type costs struct {
	most, held int64
	aged       float64
	order      worths
}

func (b *costs) begin(*Cache, *Prompt) {}

// unused lets a run forget what there was no room for.
func (b *costs) unused(c *Cache, s signature) bool { return c.entries[s] == nil }

// worth is what the entry counts for from now on.
func (b *costs) worth(e *cached) float64 {
	return b.aged + e.took.Seconds()/float64(max(1, e.host+e.device))
}

func (b *costs) added(c *Cache, e *cached) {
	e.budget.worth = b.worth(e)
	heap.Push(&b.order, e)
	if b.held += e.host + e.device; e.host+e.device > b.most { // not worth all the others
		c.remove(e)
	}
	for b.held > b.most {
		least := b.order[0]
		b.aged = least.budget.worth
		c.remove(least)
	}
}

func (b *costs) used(_ *Cache, e *cached) {
	e.budget.worth = b.worth(e)
	heap.Fix(&b.order, e.index)
}

func (b *costs) removed(_ *Cache, e *cached) {
	heap.Remove(&b.order, e.index)
	b.held -= e.host + e.device
}

// worths is a heap of entries, the least worth first.
type worths []*cached

func (w worths) Len() int           { return len(w) }
func (w worths) Less(i, j int) bool { return w[i].budget.worth < w[j].budget.worth }
func (w worths) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].index, w[j].index = i, j
}

func (w *worths) Push(x any) {
	e := x.(*cached)
	e.index = len(*w)
	*w = append(*w, e)
}

func (w *worths) Pop() any {
	last := len(*w) - 1
	e := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	return e
}
