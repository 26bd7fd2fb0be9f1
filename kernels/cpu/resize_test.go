package cpu

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"
)

var interpolations = map[string]Interpolation{
	"nearest": Nearest, "nearest-exact": NearestExact, "bilinear": Bilinear, "bicubic": Bicubic, "area": Area, "lanczos": Lanczos,
}

// resizes are pictures and their new sizes: b, h, w, c, oh, ow.
var resizes = [][6]int{
	{1, 1, 1, 1, 1, 1},
	{1, 1, 1, 3, 5, 7},
	{2, 3, 5, 4, 7, 2},
	{1, 5, 7, 24, 10, 14},
	{2, 17, 13, 1, 5, 40},
	{1, 64, 9, 3, 65, 9},
	{1, 9, 64, 3, 9, 31},
	{3, 70, 3, 7, 139, 6},
	{1, 4, 4, 2100, 7, 3},
	{1, 2, 700, 4, 67, 1100},
	{2, 61, 33, 5, 1, 1},
	{1, 90, 50, 2, 17, 19},
	{1, 6, 6, 320, 12, 12},
	{1, 9, 30011, 3, 5, 2},
	{1, 1500, 9, 16, 2, 20},
	{1, 30, 20, 17, 21, 11},
}

// All modes are what their filters say, up and down, on every path.
func TestResize(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		for i, s := range resizes {
			b, h, w, c, oh, ow := s[0], s[1], s[2], s[3], s[4], s[5]
			x, want := guarded(t, random(b*h*w*c, 1), i%2 > 0), make([]float32, b*oh*ow*c)
			for name, f := range interpolations {
				for j := range b {
					refResize(want[j*oh*ow*c:(j+1)*oh*ow*c], x[j*h*w*c:], h, w, c, oh, ow, f)
				}
				tol := 5e-6
				if f <= NearestExact {
					tol = 0
				}
				onPools(t, fmt.Sprint(name, " of ", s), want, tol, i%2 > 0, func(p *Pool, dst []float32) { Resize(ctx, p, dst, x, b, h, w, c, oh, ow, f) })
			}
		}
	})
}

// testdata/resize.jsonl has one resize a line, by torch 2.15.0 (Lanczos by Pillow 13.0.0 on pictures of float32), of pictures
// whose value at (b, y, x, c) is sin of its position in memory times 0.7, written to seven decimals.
// It was made by: python resize.py > resize.jsonl, with in resize.py
//
//	import json, numpy, torch
//	from PIL import Image
//	def run(mode, b, h, w, c, oh, ow):
//	    x = numpy.sin(0.7*numpy.arange(b*h*w*c)).astype("float32").reshape(b, h, w, c)
//	    if mode == "lanczos":
//	        planes = [[Image.fromarray(x[i, :, :, k], "F").resize((ow, oh), Image.LANCZOS) for k in range(c)] for i in range(b)]
//	        y = numpy.stack([numpy.stack([numpy.array(p) for p in row], -1) for row in planes])
//	    else:
//	        y = torch.nn.functional.interpolate(torch.from_numpy(x).movedim(-1, 1), size=(oh, ow), mode=mode).movedim(1, -1).numpy()
//	    print(json.dumps({"mode": mode, "shape": [b, h, w, c, oh, ow], "y": [round(float(v), 7) for v in y.ravel()]}))
//	for mode in "nearest nearest-exact bilinear bicubic area lanczos".split():
//	    for s in (1, 5, 7, 3, 8, 11), (2, 9, 6, 1, 4, 5), (1, 13, 4, 2, 3, 9), (1, 3, 12, 1, 7, 4), (1, 4, 4, 1, 8, 2), (1, 31, 1, 1, 7, 1):
//	        run(mode, *s)
//	for mode in "nearest", "nearest-exact": # where rounding of float32 decides
//	    run(mode, 1, 1, 41, 1, 1, 82*3)
//	    run(mode, 1, 1, 97, 1, 1, 61)
func TestResizeAgainstTorch(t *testing.T) {
	data, err := os.ReadFile("testdata/resize.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	p := NewPool(2)
	defer p.Close()
	seen := map[string]int{}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		var c struct {
			Mode  string
			Shape [6]int
			Y     []float32
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		f, known := interpolations[c.Mode]
		if !known {
			t.Fatalf("no mode %q", c.Mode)
		}
		s := c.Shape
		x, got := make([]float32, s[0]*s[1]*s[2]*s[3]), make([]float32, len(c.Y))
		for i := range x {
			x[i] = float32(math.Sin(0.7 * float64(i)))
		}
		Resize(ctx, p, got, x, s[0], s[1], s[2], s[3], s[4], s[5], f)
		near(t, fmt.Sprint(c.Mode, " of ", s), got, c.Y, 2e-6)
		seen[c.Mode]++
	}
	if len(seen) != len(interpolations) {
		t.Errorf("have cases of %v only", seen)
	}
}

// A value that is not finite spoils the pixels that it is mixed into, and no other.
func TestResizeBeyondNumbers(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	for name, f := range interpolations {
		for _, v := range []float32{nan, inf} {
			x := random(6*8*3, 1)
			x[(3*8+4)*3+1] = v
			got, want := make([]float32, 9*5*3), make([]float32, 9*5*3)
			Resize(ctx, p, got, x, 1, 6, 8, 3, 9, 5, f)
			refResize(want, x, 6, 8, 3, 9, 5, f)
			finite := func(v float32) bool { return v-v == 0 }
			if !slices.EqualFunc(got, want, func(a, b float32) bool { return finite(a) == finite(b) }) {
				t.Errorf("%s: %g makes %v, want %v", name, v, got, want)
			}
		}
	}
}
