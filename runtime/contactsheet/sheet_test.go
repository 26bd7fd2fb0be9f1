package contactsheet

import (
	"fmt"
	"image"
	"image/color"
	"strings"
	"testing"

	"golang.org/x/image/draw"
)

// plain is a picture of one colour.
func plain(w, h int, c color.Color) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(m, m.Bounds(), image.NewUniform(c), image.Point{}, draw.Src)
	return m
}

// find is where a colour is that no other cell has.
func find(m *image.RGBA, c color.RGBA) image.Rectangle {
	r := image.Rectangle{}
	for y := range m.Bounds().Dy() {
		for x := range m.Bounds().Dx() {
			if m.RGBAAt(x, y) == c {
				r = r.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	return r
}

func colour(i int) color.RGBA { return color.RGBA{uint8(40 + 20*(i%10)), uint8(10 + i), 200, 255} }

func TestDraw(t *testing.T) {
	axis := func(title string, n int) Axis {
		a := Axis{Title: title}
		for i := range n {
			a.Labels = append(a.Labels, fmt.Sprint(title, " ", i))
		}
		return a
	}
	for name, axes := range map[string][]Axis{
		"none": nil, "one": {axis("a", 7)}, "two": {axis("row", 3), axis("col", 4)}, "three": {axis("block", 3), axis("row", 2), axis("col", 2)},
		"four": {axis("outer", 2), axis("block", 2), axis("row", 2), axis("col", 3)}, "single": {axis("a", 1), axis("b", 1), axis("c", 1)},
	} {
		n := 1
		for _, a := range axes {
			n *= len(a.Labels)
		}
		cells := make([]Cell, n)
		for i := range cells {
			cells[i].Picture = plain(100, 80, colour(i))
		}
		m := Draw(axes, cells)
		at := make([]image.Rectangle, n)
		for i := range cells {
			if at[i] = find(m, colour(i)); at[i].Dx() != 100 || at[i].Dy() != 80 {
				t.Fatalf("%s: picture %d covers %v", name, i, at[i])
			}
		}
		if name == "two" && (at[0].Min.Y != at[3].Min.Y || at[3].Min.X <= at[2].Max.X || at[4].Min.X != at[0].Min.X || at[4].Min.Y <= at[0].Max.Y) {
			t.Errorf("rows and columns: %v", at)
		}
		if ink := find(m, color.RGBA{30, 30, 30, 255}); name != "none" && ink.Empty() {
			t.Errorf("%s: no text", name)
		}
	}
}

// What fails has a note, texts of any length and kind end, and large pictures are made small.
func TestOdd(t *testing.T) {
	long := strings.Repeat("wordswithoutend", 1000) + strings.Repeat(" many words", 25000)
	m := Draw([]Axis{{"prompt", []string{long, "日本語 \x00\xff\n\n", ""}}, {"", []string{"", long}}}, make([]Cell, 6))
	if b := m.Bounds(); b.Dx() > 1000 || b.Dy() > 1000 {
		t.Errorf("an empty sheet of %v", b)
	}
	m = Draw([]Axis{{"seed", []string{"1", "2"}}}, []Cell{{Note: "failed: " + long}, {Picture: plain(3, 500, colour(1))}})
	if m.Bounds().Dx() > 300 {
		t.Errorf("sheet %v", m.Bounds())
	}
	if b := Thumbnail(plain(4000, 10, colour(0)), 200).Bounds(); b.Dx() != 200 || b.Dy() != 1 {
		t.Errorf("thumbnail %v", b)
	}
	if Side(1) != 512 || Side(2500) < 16 || Side(10000)*Side(10000)*10000 > mostPixels {
		t.Errorf("sides %d, %d", Side(1), Side(2500))
	}
}
