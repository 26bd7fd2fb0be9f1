package workflow

import (
	"encoding/json"
	"math"
	"math/big"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
)

// Seeded is a source of random numbers for Options.Pick (its IntN) and Options.Random (its Float64): the same for the
// same seed, on every machine.
func Seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// mostRandom is as far from zero as the editor draws a number: 2^50.
const mostRandom = 1 << 50

// AfterQueue changes every widget that has a control_after_generate by its mode (fixed, increment, increment-wrap,
// decrement, randomize), as the editor does after it queued a prompt; the next Prompt and Workflow have the new values.
// Widgets that the file has no value for are not changed. It needs Options.Nodes, and Options.Random to randomize.
func (f *File) AfterQueue(o Options) error {
	if f.uiText == "" {
		return nil
	}
	o.setDefaults()
	f.takeBack()
	c, err := newConverter(f, o)
	if err != nil {
		return err
	}
	for _, cv := range c.doc.canvases() {
		for _, n := range cv.nodes {
			for i := range n.widgets {
				if w := &n.widgets[i]; w.in != nil && w.in.controls > 0 && i+w.in.controls < len(n.widgets) {
					filter := ""
					if w.in.controls > 1 {
						filter = text(n.widgets[i+2].value)
					}
					f.step(n, w.at, w.name, w.in, control{text(n.widgets[i+1].value), filter, bound(w.in.min, math.Inf(-1)), bound(w.in.max, math.Inf(1))}, o)
				}
			}
			f.stepPrimitive(cv, n, o)
		}
	}
	if f.ui != nil {
		f.uiText = string(rewrite(f.uiText, f.ui))
	}
	return nil
}

// BeforeQueue is AfterQueue for editors that are set to change widgets before: to be called before every prompt. The
// first time it does nothing.
func (f *File) BeforeQueue(o Options) error {
	if !f.queued {
		f.queued = true
		return nil
	}
	return f.AfterQueue(o)
}

// stepPrimitive changes the value of a PrimitiveNode, which has the kind and range of what it is linked to.
func (f *File) stepPrimitive(cv *canvas, n *node, o Options) {
	saved := list(n.values)
	all := cv.pushes[n.id]
	if n.typ != "PrimitiveNode" || len(saved) < 2 || len(all) == 0 || all[0].from != n || all[0].in == nil {
		return
	}
	filter := ""
	if len(saved) > 2 {
		filter = text(saved[2])
	}
	f.step(n, 0, "value", all[0].in, control{text(controlMode(saved[1])), filter, all[0].lo, all[0].hi}, o)
}

// control is how a value changes.
type control struct {
	mode, filter string
	lo, hi       float64
}

// step writes the next value over the one in the file.
func (f *File) step(n *node, at int, name string, in *input, c control, o Options) {
	switch saved := f.saved(n).(type) {
	case []any:
		if at >= 0 && at < len(saved) {
			f.keepNext(saved[at], in, c, o, func(v any) { saved[at] = v })
		}
	case map[string]any:
		if old, ok := saved[name]; ok {
			f.keepNext(old, in, c, o, func(v any) { saved[name] = v })
		}
	}
}

func (f *File) keepNext(old any, in *input, c control, o Options, put func(any)) {
	var v any
	var ok bool
	switch {
	case in.combo:
		v, ok = c.nextChoice(old, in.port.Choices(in.env), o.Random)
	case in.typ == "INT":
		v, ok = c.nextInt(old, in, o.Random)
	case in.typ == "FLOAT":
		v, ok = c.nextFloat(old, in, o.Random)
	}
	if ok {
		put(v)
	}
}

// nextChoice steps through the choices that the filter lets pass; it stops at the ends.
func (c control) nextChoice(old any, choices []string, random func() float64) (any, bool) {
	choices = filtered(choices, c.filter)
	if len(choices) == 0 {
		return nil, false
	}
	at := slices.Index(choices, text(old))
	switch c.mode {
	case "increment":
		at++
	case "increment-wrap":
		at = (at + 1) % len(choices)
	case "decrement":
		at--
	case "randomize":
		at = int(random() * float64(len(choices)))
	default:
		return nil, false
	}
	return choices[min(max(at, 0), len(choices)-1)], true
}

// filtered are the choices that hold the text, in any case, or match it where it is /an expression/.
func filtered(choices []string, filter string) []string {
	if filter == "" {
		return choices
	}
	match := func(s string) bool { return strings.Contains(strings.ToLower(s), strings.ToLower(filter)) }
	if body, ok := strings.CutPrefix(filter, "/"); ok && strings.HasSuffix(body, "/") {
		if re, err := regexp.Compile(strings.TrimSuffix(body, "/")); err == nil {
			match = re.MatchString
		}
	}
	var left []string
	for _, s := range choices {
		if match(s) {
			left = append(left, s)
		}
	}
	return left
}

// nextInt is exact where the editor's numbers are not.
func (c control) nextInt(old any, in *input, random func() float64) (any, bool) {
	if c.mode == "randomize" {
		return c.random(bound(in.step, 1), random), true
	}
	v, ok := new(big.Int).SetString(ident(old), 10)
	if !ok || c.mode != "increment" && c.mode != "decrement" {
		return nil, false
	}
	step := big.NewInt(max(int64(bound(in.step, 1)), 1))
	if c.mode == "decrement" {
		step.Neg(step)
	}
	v.Add(v, step)
	for _, limit := range []struct {
		at   any
		sign int
	}{{in.min, -1}, {in.max, 1}} {
		if l, ok := new(big.Int).SetString(asText(limit.at), 10); ok && v.Cmp(l) == limit.sign {
			v = l
		}
	}
	return json.Number(v.String()), true
}

func (c control) nextFloat(old any, in *input, random func() float64) (any, bool) {
	step := bound(in.step, 0.5)
	x, ok := float(old)
	switch c.mode {
	case "increment":
		x += step
	case "decrement":
		x -= step
	case "randomize":
		return c.random(step, random), true
	default:
		return nil, false
	}
	// Sums of steps gather rounding errors: twelve digits have none.
	return decimal(math.Round(min(max(x, c.lo), c.hi)*1e12) / 1e12), ok
}

// random draws a number of the range, on its grid.
func (c control) random(step float64, random func() float64) any {
	lo, hi := max(c.lo, -mostRandom), min(c.hi, mostRandom)
	if step <= 0 {
		step = 1
	}
	return decimal(math.Floor(random()*(hi-lo)/step)*step + lo)
}
