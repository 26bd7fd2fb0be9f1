package graph

import "slices"

// classic keeps what the last prompt has, and what expansions of its nodes made.
type classic struct{}

func (classic) begin(c *Cache, p *Prompt) {
	for _, e := range c.entries {
		if n := p.Nodes[e.owner.id]; e.run != c.runs && (n == nil || n.Class != e.owner.class) {
			c.remove(e)
		}
	}
}

func (classic) added(*Cache, *cached)         {}
func (classic) used(*Cache, *cached)          {}
func (classic) removed(*Cache, *cached)       {}
func (classic) unused(*Cache, signature) bool { return false }

// lru drops, while there are more than most, what was last wanted longest ago; never what the current prompt wants.
type lru struct {
	classic
	most int
}

func (l *lru) begin(c *Cache, _ *Prompt) {
	if len(c.entries) <= l.most {
		return
	}
	count := map[int]int{} // entries by the run that last wanted them
	var runs []int
	for _, e := range c.entries {
		if count[e.run] == 0 {
			runs = append(runs, e.run)
		}
		count[e.run]++
	}
	slices.Sort(runs)
	oldest, left := 0, len(c.entries) // what was last wanted before it goes
	for _, r := range runs {
		if left <= l.most || r == c.runs {
			break
		}
		oldest, left = r+1, left-count[r]
	}
	for _, e := range c.entries {
		if e.run < oldest {
			c.remove(e)
		}
	}
}

// none keeps nothing from run to run, and in a run only what is still needed.
type none struct{ classic }

func (none) begin(*Cache, *Prompt) {}

func (none) unused(c *Cache, s signature) bool {
	if e := c.entries[s]; e != nil {
		c.remove(e)
	}
	return true
}
