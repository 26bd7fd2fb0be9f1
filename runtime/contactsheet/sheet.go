// Package contactsheet lays pictures that differ in a few values on one sheet: a grid with its axes named, the last axis
// across, the one before down, what is before those as blocks of their own.
package contactsheet

import (
	"image"
	"image/color"
	"math"
	"slices"

	"golang.org/x/image/draw"
)

// Axis is what differs and how its values are called.
type Axis struct {
	Title  string
	Labels []string
}

// Cell is one picture, or a note where there is none.
type Cell struct {
	Picture image.Image
	Note    string
}

// The measures of a sheet, in pixels.
const (
	mostPixels = 40e6 // of all pictures together
	largest    = 512  // side of a picture
	least      = 96   // of a cell without a picture, and the width that labels have at least
	gap        = 6
	border     = 12
	rowLabel   = 140 // the width of labels beside rows, at most
)

// Side is how large a picture may be on a sheet of n: on either side at most so many pixels.
func Side(n int) int { return min(largest, max(16, int(math.Sqrt(mostPixels/float64(max(1, n)))))) }

// Thumbnail is the picture, made smaller if a side is larger than that.
func Thumbnail(m image.Image, side int) image.Image {
	b := m.Bounds()
	scale := float64(side) / float64(max(b.Dx(), b.Dy(), 1))
	if scale >= 1 {
		return m
	}
	size := image.Rect(0, 0, max(1, int(math.Round(float64(b.Dx())*scale))), max(1, int(math.Round(float64(b.Dy())*scale))))
	small := image.NewRGBA(size)
	draw.CatmullRom.Scale(small, size, m, b, draw.Src, nil)
	return small
}

var (
	paper = color.Gray{250}
	ink   = color.Gray{30}
	faint = color.Gray{225}
)

// Draw lays out the cells: one for every combination of the axes' labels, the last axis fastest. Pictures are taken as they
// are, see Thumbnail. A sheet of one axis is broken into rows.
func Draw(axes []Axis, cells []Cell) *image.RGBA {
	s := &sheet{w: least, h: 0}
	for _, c := range cells {
		if c.Picture != nil {
			s.w, s.h = max(s.w, c.Picture.Bounds().Dx()), max(s.h, c.Picture.Bounds().Dy())
		}
	}
	if s.h == 0 {
		s.h = least
	}
	var blocks []part
	inner := 1 // cells of a block
	for _, a := range axes[max(0, len(axes)-2):] {
		inner *= len(a.Labels)
	}
	for at := 0; at+inner <= len(cells) && inner > 0; at += inner {
		var block part
		switch own := cells[at : at+inner]; len(axes) {
		case 0:
			block = s.strip(Axis{Labels: []string{""}}, own)
		case 1:
			block = s.strip(axes[0], own)
		default:
			block = s.table(axes[len(axes)-2], axes[len(axes)-1], own)
		}
		if len(axes) > 2 {
			block = above(paragraph(blockTitle(axes[:len(axes)-2], at/inner), block.w, heading), block)
		}
		blocks = append(blocks, block)
	}
	whole := pack(blocks)
	out := image.NewRGBA(image.Rect(0, 0, whole.w+2*border, whole.h+2*border))
	draw.Draw(out, out.Bounds(), image.NewUniform(paper), image.Point{}, draw.Src)
	whole.draw(out, border, border)
	return out
}

// blockTitle says which values block i is of.
func blockTitle(axes []Axis, i int) string {
	title := ""
	for _, a := range slices.Backward(axes) {
		n := len(a.Labels)
		text := a.Title + " = " + a.Labels[i%n]
		if title != "" {
			text += ", " + title
		}
		title, i = text, i/n
	}
	return title
}

// sheet knows the size of a cell's picture.
type sheet struct{ w, h int }

// part is something that can be drawn: how large it is, and how.
type part struct {
	w, h int
	draw func(dst *image.RGBA, x, y int)
}

// cell is a picture in the middle of its place, or its note.
func (s *sheet) cell(c Cell) part {
	return part{s.w, s.h, func(dst *image.RGBA, x, y int) {
		if c.Picture == nil {
			draw.Draw(dst, image.Rect(x, y, x+s.w, y+s.h), image.NewUniform(faint), image.Point{}, draw.Src)
			note := paragraph(c.Note, s.w-2*gap, body)
			note.draw(dst, x+gap, y+max(0, s.h-note.h)/2)
			return
		}
		b := c.Picture.Bounds()
		at := image.Pt(x+(s.w-b.Dx())/2, y+(s.h-b.Dy())/2)
		draw.Draw(dst, image.Rectangle{at, at.Add(b.Size())}, c.Picture, b.Min, draw.Over)
	}}
}

// strip lays the cells of one axis in rows, each under its label.
func (s *sheet) strip(a Axis, cells []Cell) part {
	across := max(min(len(cells), 4), int(math.Ceil(math.Sqrt(float64(len(cells))))))
	var rows []part
	for from := 0; from < len(cells); from += across {
		to := min(from+across, len(cells))
		labels, pictures := make([]part, to-from), make([]part, to-from)
		for i := range labels {
			labels[i] = paragraph(a.Labels[from+i], s.w, body)
			pictures[i] = s.cell(cells[from+i])
		}
		rows = append(rows, bottomed(labels, s.w), beside(pictures))
	}
	grid := stack(rows)
	if a.Title == "" {
		return grid
	}
	return above(paragraph(a.Title, grid.w, heading), grid)
}

// table has one axis down and one across.
func (s *sheet) table(down, across Axis, cells []Cell) part {
	left := 0
	labels := make([]part, len(down.Labels))
	for i, text := range down.Labels {
		labels[i] = paragraph(text, rowLabel, body)
		left = max(left, labels[i].textWidth(text))
	}
	corner := paragraph(down.Title, max(left, rowLabel/2), heading)
	left = min(rowLabel, max(left, corner.textWidth(down.Title)))
	heads := make([]part, len(across.Labels))
	for i, text := range across.Labels {
		heads[i] = paragraph(text, s.w, body)
	}
	head := bottomed(heads, s.w)
	rows := []part{indent(above(paragraph(across.Title, head.w, heading), head), corner, left)}
	n := len(across.Labels)
	for i := range down.Labels {
		pictures := make([]part, n)
		for j := range pictures {
			pictures[j] = s.cell(cells[i*n+j])
		}
		rows = append(rows, indent(beside(pictures), labels[i], left))
	}
	return stack(rows)
}

// indent puts a label to the left of a row, in the middle of its height.
func indent(row, label part, left int) part {
	return part{left + gap + row.w, max(row.h, label.h), func(dst *image.RGBA, x, y int) {
		label.draw(dst, x, y+max(0, row.h-label.h)/2)
		row.draw(dst, x+left+gap, y)
	}}
}

// beside puts parts into a row.
func beside(parts []part) part {
	p := part{}
	for i, q := range parts {
		if i > 0 {
			p.w += gap
		}
		p.w, p.h = p.w+q.w, max(p.h, q.h)
	}
	p.draw = func(dst *image.RGBA, x, y int) {
		for _, q := range parts {
			q.draw(dst, x, y)
			x += q.w + gap
		}
	}
	return p
}

// bottomed is a row of labels of one width that end at one line.
func bottomed(parts []part, width int) part {
	p := part{w: len(parts)*(width+gap) - gap}
	for _, q := range parts {
		p.h = max(p.h, q.h)
	}
	p.draw = func(dst *image.RGBA, x, y int) {
		for i, q := range parts {
			q.draw(dst, x+i*(width+gap), y+p.h-q.h)
		}
	}
	return p
}

// stack puts parts below each other.
func stack(parts []part) part {
	p := part{}
	for i, q := range parts {
		if i > 0 {
			p.h += gap
		}
		p.w, p.h = max(p.w, q.w), p.h+q.h
	}
	p.draw = func(dst *image.RGBA, x, y int) {
		for _, q := range parts {
			q.draw(dst, x, y)
			y += q.h + gap
		}
	}
	return p
}

func above(a, b part) part { return stack([]part{a, b}) }

// pack lays blocks in rows so that the whole is about as wide as high.
func pack(blocks []part) part {
	if len(blocks) == 0 {
		return stack(nil)
	}
	n := math.Sqrt(float64(len(blocks)) * float64(blocks[0].h) / float64(max(1, blocks[0].w)))
	across := min(max(1, int(math.Round(n))), len(blocks))
	var rows []part
	for row := range slices.Chunk(blocks, across) {
		spaced := make([]part, len(row))
		for i, b := range row {
			spaced[i] = part{b.w + 2*gap, b.h + 2*gap, b.draw}
		}
		rows = append(rows, beside(spaced))
	}
	return stack(rows)
}
