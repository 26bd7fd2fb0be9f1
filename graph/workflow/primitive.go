package workflow

import (
	"encoding/json"
	"math"
	"strconv"
)

// push is a widget that a PrimitiveNode writes its value into before a prompt is made (section 6).
type push struct {
	from   *node
	target *node
	widget string
	in     *input  // nil: of an instance or an unknown node
	lo, hi float64 // of all targets together
}

// findPushes lists what the PrimitiveNodes of the canvas are linked to directly; what is behind a reroute is not.
func (c *canvas) findPushes() {
	for _, target := range c.nodes {
		for _, s := range target.inputs {
			if s.link == "" || s.widget == "" {
				continue
			}
			from := c.source(c.links.get(s.link))
			if from == nil || from.typ != "PrimitiveNode" {
				continue
			}
			p := push{from: from, target: target, widget: s.widget, lo: math.Inf(-1), hi: math.Inf(1)}
			for i := range target.widgets {
				if w := &target.widgets[i]; w.name == s.widget && w.in != nil {
					p.in, p.lo, p.hi = w.in, bound(w.in.min, p.lo), bound(w.in.max, p.hi)
				}
			}
			if c.pushes == nil {
				c.pushes = map[string][]push{}
			}
			c.pushes[from.id] = append(c.pushes[from.id], p)
		}
	}
	for _, all := range c.pushes {
		lo, hi := all[0].lo, all[0].hi
		for _, p := range all {
			lo, hi = max(lo, p.lo), min(hi, p.hi)
		}
		for i := range all {
			if lo <= hi {
				all[i].lo, all[i].hi = lo, hi
			}
		}
	}
}

// primitiveValue is the value of a PrimitiveNode.
func (n *node) primitiveValue() (any, bool) {
	switch saved := n.values.(type) {
	case []any:
		if len(saved) > 0 {
			return saved[0], true
		}
	case map[string]any:
		for _, key := range []string{"value", "0"} {
			if v, ok := saved[key]; ok {
				return v, true
			}
		}
	}
	return nil, false
}

// pushPrimitives writes the values of the canvas' PrimitiveNodes into their targets.
func (c *converter) pushPrimitives(cv *canvas) {
	for _, n := range cv.nodes {
		if n.typ != "PrimitiveNode" {
			continue
		}
		all := cv.pushes[n.id]
		if len(all) == 0 || all[0].from != n {
			continue
		}
		v, ok := n.primitiveValue()
		if !ok {
			continue
		}
		if s, ok := v.(string); ok && s != "" && n.properties.replace {
			v = c.expandTokens(s)
		}
		for _, p := range all {
			if p.target.of != nil {
				if p.target.pushed == nil {
					p.target.pushed = map[string]any{}
				}
				p.target.pushed[p.widget] = v
				continue
			}
			for i := range p.target.widgets {
				if w := &p.target.widgets[i]; w.name == p.widget && w.in != nil {
					w.value, w.absent = p.edited(v), false
				}
			}
		}
	}
}

// edited is the value as the target's editor leaves it after an edit: a number on the grid of its step or rounding, and
// in its range.
func (p *push) edited(v any) any {
	if p.in == nil || p.in.typ != "INT" && p.in.typ != "FLOAT" {
		return v
	}
	x, ok := float(v)
	if !ok {
		return v
	}
	if p.in.typ == "INT" {
		step := bound(p.in.step, 1)
		if n, ok := v.(json.Number); ok && step == 1 || step <= 0 {
			if whole := plainNumber(n); isInteger(whole) {
				return json.Number(whole) // exactly, where a double would round
			}
		}
		shift := 0.0
		if lo := bound(p.in.min, math.Inf(-1)); !math.IsInf(lo, 0) && step > 0 {
			shift = math.Mod(lo, step)
		}
		if step > 0 {
			x = nearest((x-shift)/step)*step + shift
		}
		return decimal(x)
	}
	step := bound(p.in.step, 0.5)
	precision := 0.0
	if step > 0 {
		precision = max(0, -math.Floor(math.Log10(step)))
	}
	round := bound(p.in.round, 0)
	if round <= 0 && (precision > 0 || p.in.round != false) {
		round = math.Pow(10, -precision)
	}
	if round > 0 {
		x = nearest(x/round) * round
		scale := math.Pow(10, precision)
		x = nearest(x*scale) / scale
	}
	return decimal(min(max(x, p.lo), p.hi))
}

// nearest rounds halves up, as JavaScript does.
func nearest(x float64) float64 { return math.Floor(x + 0.5) }

func isInteger(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		_, err = strconv.ParseUint(s, 10, 64)
	}
	return err == nil
}

// decimal is a number as JSON.
func decimal(x float64) any {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return json.Number(strconv.FormatFloat(x, 'f', -1, 64))
}

// float reads a number, also from a text.
func float(v any) (float64, bool) {
	switch x := v.(type) {
	case json.Number:
		f, err := x.Float64()
		return f, err == nil
	case string:
		f, err := strconv.ParseFloat(x, 64)
		return f, err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
	case int64:
		return float64(x), true
	case uint64:
		return float64(x), true
	case int:
		return float64(x), true
	case float64:
		return x, true
	}
	return 0, false
}

// bound is a numeric option of an input, or the fallback.
func bound(v any, fallback float64) float64 {
	if x, ok := float(v); ok {
		return x
	}
	return fallback
}
