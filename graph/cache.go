package graph

import (
	"sync"
	"time"
)

// entry is what a node gave: per output slot the list of its values, and its UI. It is not changed once it is in a cache.
type entry struct {
	values [][]any
	ui     UI
	owner  owner         // of a node that an expansion made
	took   time.Duration // computing it; 0 if unknown
}

// owner is the node of the prompt whose expansion, directly or not, made a node; zero for nodes of the prompt itself.
type owner struct{ id, class string }

// Cache keeps the results of nodes between runs: classic policy, exactly those of the last prompt (executor.md 6).
// The zero value is ready. It is safe for concurrent runs.
//
// The executor asks begin once a run, and then the view it got. What it got it holds itself for as long as it needs it.
type Cache struct {
	mu      sync.Mutex
	runs    int // begun
	entries map[signature]*cached
}

// cached is an entry and when it was last wanted.
type cached struct {
	*entry
	run int
}

// cacheView is a run's view of a Cache.
type cacheView struct {
	cache    *Cache
	run      int
	expanded map[owner]bool // nodes that were expanded in this run
}

// begin starts a run of the prompt, whose nodes have these signatures, needed or not. It returns what is known of them
// (nil: unknown), and forgets by policy what the prompt does not use. Results that expansions made stay while the prompt
// has their owner.
func (c *Cache) begin(sigs []signature, p *Prompt) (*cacheView, []*entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs++
	known := make([]*entry, len(sigs))
	for i := range sigs {
		if e := c.entries[sigs[i]]; e != nil {
			e.run, known[i] = c.runs, e.entry
		}
	}
	for s, e := range c.entries {
		if n := p.Nodes[e.owner.id]; e.run != c.runs && (n == nil || n.Class != e.owner.class) {
			delete(c.entries, s)
		}
	}
	return &cacheView{cache: c, run: c.runs, expanded: map[owner]bool{}}, known
}

// get returns a result that came since the begin, or one of a node that an expansion made: o is its owner, zero
// otherwise. nil: unknown.
func (v *cacheView) get(s signature, o owner) *entry {
	c := v.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	v.expanded[o] = true
	e := c.entries[s]
	if e == nil {
		return nil
	}
	e.run = v.run
	return e.entry
}

// put keeps the result of a node that ran.
func (v *cacheView) put(s signature, e *entry) {
	c := v.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = map[signature]*cached{}
	}
	c.entries[s] = &cached{e, v.run}
}

// unused says that no known node of the run needs the result any more. If it returns true the executor forgets it, too;
// should an expansion ask for it after all, get is called again, and if that knows nothing the node runs again.
func (v *cacheView) unused(signature) (forget bool) { return false }

// end closes the run, whether it failed or not.
func (v *cacheView) end() {
	c := v.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(v.expanded, owner{})
	if len(v.expanded) == 0 {
		return
	}
	for s, e := range c.entries { // of an expansion only what the last one made
		if v.expanded[e.owner] && e.run != v.run {
			delete(c.entries, s)
		}
	}
}

// Clear forgets everything.
func (c *Cache) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.entries)
}

// Len is the number of results kept.
func (c *Cache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}
