package graph

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// entry is what a node gave: per output slot the list of its values, and its UI. It is not changed once it is in a cache.
type entry struct {
	values [][]any
	ui     UI
	owner  owner         // of a node that an expansion made
	by     string        // the node that computed it
	took   time.Duration // computing it; 0 if unknown
	life   life
}

// owner is the node of the prompt whose expansion, directly or not, made a node; zero for nodes of the prompt itself.
type owner struct{ id, class string }

// CachePolicy is what a Cache keeps from run to run.
type CachePolicy string

// The policies. Equal nodes of one prompt share a result with all of them.
const (
	CacheClassic CachePolicy = "classic" // what the last prompt has, needed or not
	CacheLRU     CachePolicy = "lru"     // beyond CacheConfig.Entries, the prompts longest ago lose theirs
	CacheNone    CachePolicy = "none"    // nothing, and in a run a result goes when all that use it have run
	CacheBudget  CachePolicy = "budget"  // CacheConfig.Bytes; what takes the least time per byte to compute anew goes first
)

// CacheConfig describes a Cache. The zero value is classic.
type CacheConfig struct {
	Policy  CachePolicy
	Entries int   // of CacheLRU; 0 is classic, as in ComfyUI
	Bytes   int64 // of CacheBudget, host and device memory together
	Disk    *DiskCache
}

// Cache keeps the results of nodes between runs (executor.md 6). The zero value is ready, and classic. It is safe for
// concurrent runs.
//
// The executor asks begin once a run, and then the view it got. What it got it holds itself for as long as it needs it.
type Cache struct {
	mu      sync.Mutex
	runs    int // begun
	entries map[signature]*cached
	policy  policy // nil: classic
	disk    *DiskCache
}

// policy is what tells the kinds of caches apart. The cache is locked during the calls.
type policy interface {
	begin(*Cache, *Prompt)   // a run begins; what its prompt uses is marked with it
	added(*Cache, *cached)   // an entry came
	used(*Cache, *cached)    // an entry was found
	removed(*Cache, *cached) // an entry went
	// unused says whether a run should forget a result that all who need it have had.
	unused(*Cache, signature) bool
}

// cached is an entry and what a policy has to know of it.
type cached struct {
	*entry
	sig          signature
	run          int // that last wanted it
	host, device int64
	measured     bool
	budget
}

// measure finds out what the entry takes.
func (e *cached) measure() {
	if !e.measured {
		e.host, e.device = sizeOf(e.entry)
		e.measured = true
	}
}

// NewCache returns an empty cache.
func NewCache(c CacheConfig) (*Cache, error) {
	cache := &Cache{}
	return cache, cache.Configure(c)
}

// Configure describes a cache that has not been used yet.
func (cache *Cache) Configure(c CacheConfig) error {
	cache.disk = c.Disk
	switch {
	case c.Policy == CacheLRU && c.Entries < 0:
		return &Error{Kind: KindBadSet, Need: "0 or more entries", Have: fmt.Sprint(c.Entries)}
	case c.Policy == CacheBudget && c.Bytes <= 0:
		return &Error{Kind: KindBadSet, Need: "a number of bytes above 0", Have: fmt.Sprint(c.Bytes)}
	}
	switch c.Policy {
	case "", CacheClassic:
	case CacheLRU:
		if c.Entries > 0 {
			cache.policy = &lru{most: c.Entries}
		}
	case CacheNone:
		cache.policy = none{}
	case CacheBudget:
		cache.policy = &costs{most: c.Bytes}
	default:
		return &Error{Kind: KindBadSet, Need: "classic, lru, none or budget", Have: string(c.Policy)}
	}
	return nil
}

// rules returns the policy.
func (c *Cache) rules() policy {
	if c.policy == nil {
		return classic{}
	}
	return c.policy
}

// cacheView is a run's view of a Cache.
type cacheView struct {
	cache    *Cache
	run      int
	expanded map[owner]bool // nodes that were expanded in this run
	writes   sync.WaitGroup // to the disk
}

// begin starts a run of the prompt, whose nodes have these signatures, needed or not. It returns what is known of them
// (nil: unknown), and forgets by policy what the prompt does not use. Results that expansions made stay while the prompt
// has their owner.
func (c *Cache) begin(sigs []signature, p *Prompt) (*cacheView, []*entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs++
	if c.policy == (none{}) {
		c.clear()
	}
	known := make([]*entry, len(sigs))
	for i := range sigs {
		known[i] = c.find(sigs[i], c.runs)
	}
	c.rules().begin(c, p)
	return &cacheView{cache: c, run: c.runs, expanded: map[owner]bool{}}, known
}

// find returns an entry and marks it as wanted in the run.
func (c *Cache) find(s signature, run int) *entry {
	e := c.entries[s]
	if e == nil {
		return nil
	}
	e.run = max(e.run, run) // another run may have begun since
	c.rules().used(c, e)
	return e.entry
}

// remove takes an entry away.
func (c *Cache) remove(e *cached) {
	delete(c.entries, e.sig)
	c.rules().removed(c, e)
}

// get returns a result that came since the begin, or one of a node that an expansion made: o is its owner, zero
// otherwise. nil: unknown.
func (v *cacheView) get(s signature, o owner) *entry {
	c := v.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.policy == nil {
		v.expanded[o] = true
	}
	return c.find(s, v.run)
}

// put keeps the result of a node that ran, in memory and, where it may and is worth it, on the disk.
func (v *cacheView) put(s signature, e *entry) {
	if e.life == thisRun {
		return
	}
	v.keep(s, e)
	if d := v.cache.disk; d != nil && e.life == always {
		v.writes.Go(func() { d.put(s, e) })
	}
}

// keep puts a result into memory.
func (v *cacheView) keep(s signature, e *entry) {
	new := &cached{entry: e, sig: s, run: v.run}
	if _, counts := v.cache.policy.(*costs); counts {
		new.measure() // not while the cache is locked
	}
	c := v.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = map[signature]*cached{}
	}
	if old := c.entries[s]; old != nil {
		c.remove(old)
	}
	c.entries[s] = new
	c.rules().added(c, new)
}

// unused says that no known node of the run needs the result any more. If it returns true the executor forgets it, too;
// should an expansion ask for it after all, get is called again, and if that knows nothing the node runs again.
func (v *cacheView) unused(s signature) (forget bool) {
	c := v.cache
	if c.policy == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.policy.unused(c, s)
}

// end closes the run, whether it failed or not.
func (v *cacheView) end() {
	v.writes.Wait()
	c := v.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(v.expanded, owner{})
	if len(v.expanded) == 0 || c.policy != nil {
		return
	}
	for _, e := range c.entries { // of an expansion only what the last one made
		if v.expanded[e.owner] && e.run != v.run {
			c.remove(e)
		}
	}
}

// Clear forgets everything that is in memory.
func (c *Cache) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clear()
}

// Free forgets the results that hold more than data, models above all, so that what they hold can be given back. Pictures,
// latents and what else Persist knows stay.
func (c *Cache) Free() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		if slices.ContainsFunc(e.values, func(slot []any) bool { return !isKept(slot) }) {
			c.remove(e)
		}
	}
}

func (c *Cache) clear() {
	for _, e := range c.entries {
		c.remove(e)
	}
}

// Len is the number of results kept.
func (c *Cache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}

// Bytes is what the results take, as far as they say: see Sizer. What several of them share counts several times.
func (c *Cache) Bytes() (host, device int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		e.measure()
		host, device = host+e.host, device+e.device
	}
	return host, device
}
