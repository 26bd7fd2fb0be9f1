package graph

import (
	"cmp"
	"slices"
	"strings"
)

// Nearest returns up to three classes whose names are most like name.
func (l Library) Nearest(name string) []string { return Nearest(name, l.Names(), 3) }

// MostNear is for how many of the names that a file says wrongly Nearest should be asked: each costs a look at all names.
const MostNear = 100

// Nearest returns up to n of the names within an edit distance of a third of the longer name, nearest first.
func Nearest(name string, names []string, n int) []string {
	if len(name) > 200 || name == "" {
		return nil
	}
	type scored struct {
		name string
		d    int
	}
	var near []scored
	lower := strings.ToLower(name)
	for _, other := range names {
		longer := max(len(name), len(other))
		if d := editDistance(lower, strings.ToLower(other), longer/3); d <= longer/3 {
			near = append(near, scored{other, d})
		}
	}
	slices.SortStableFunc(near, func(a, b scored) int { return cmp.Compare(a.d, b.d) })
	var out []string
	for _, s := range near[:min(n, len(near))] {
		out = append(out, s.name)
	}
	return out
}

// editDistance is Levenshtein's distance of two texts in bytes; above limit, any number above limit.
func editDistance(a, b string, limit int) int {
	if max(len(a)-len(b), len(b)-len(a)) > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
