package picture

import (
	"bytes"
	"image"
	"image/gif"
)

// decodeGIF reads all frames, each laid over what came before. The standard decoder forgets the colour of transparent
// pixels, which LoadImage shows, so it is given the file without the transparency flags and we apply them here.
func decodeGIF(data []byte) ([]frame, error) {
	c, err := gif.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	plain, transparent := hideTransparency(data)
	if err := checkPixels(c.Width, c.Height, len(transparent)); err != nil {
		return nil, err
	}
	g, err := gif.DecodeAll(bytes.NewReader(plain))
	if err != nil {
		return nil, err
	}
	canvas := newFrame(g.Config.Width, g.Config.Height)
	var frames []frame
	for i, m := range g.Image {
		hidden := -1
		if i < len(transparent) {
			hidden = transparent[i]
		}
		if i == 0 {
			canvas.hasAlpha = hidden >= 0 && !grayRamp(m)
			canvas.fill(canvas.rect(), m, max(hidden, 0), hidden >= 0)
		}
		before := canvas
		if g.Disposal[i] == gif.DisposalPrevious {
			before = canvas.clone()
		}
		canvas.draw(m, hidden, i == 0)
		frames = append(frames, canvas.clone())
		switch g.Disposal[i] {
		case gif.DisposalPrevious:
			canvas = before
		case gif.DisposalBackground:
			index := int(g.BackgroundIndex)
			if hidden >= 0 {
				index = hidden
			}
			canvas.fill(m.Rect, m, index, hidden >= 0)
		}
	}
	return frames, nil
}

func (f frame) rect() image.Rectangle { return image.Rect(0, 0, f.w, f.h) }

// draw lays a GIF frame over f. The first keeps the colour of transparent pixels, later ones let what lies below show.
func (f frame) draw(m *image.Paletted, hidden int, first bool) {
	b := m.Rect.Intersect(f.rect())
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			i := int(m.ColorIndexAt(x, y))
			if i == hidden && !first {
				continue
			}
			f.setIndex(y*f.w+x, m, i, i == hidden)
		}
	}
}

func (f frame) fill(r image.Rectangle, m *image.Paletted, index int, transparent bool) {
	r = r.Intersect(f.rect())
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			f.setIndex(y*f.w+x, m, index, transparent)
		}
	}
}

func (f frame) setIndex(p int, m *image.Paletted, index int, transparent bool) {
	var r, g, b uint32
	if index < len(m.Palette) {
		r, g, b, _ = m.Palette[index].RGBA()
	}
	a := byte(255)
	if transparent {
		a = 0
	}
	f.set(p, byte(r>>8), byte(g>>8), byte(b>>8), a)
}

// grayRamp tells whether each palette entry is the gray of its own index: Pillow then sees a gray picture, without alpha.
func grayRamp(m *image.Paletted) bool {
	for i, c := range m.Palette {
		if r, g, b, _ := c.RGBA(); int(r>>8) != i || int(g>>8) != i || int(b>>8) != i {
			return false
		}
	}
	return true
}

// hideTransparency returns the file with the transparency flag of every graphic control cleared, and the transparent
// index of each frame, -1 where it has none. It stops at the first thing that is not GIF.
func hideTransparency(data []byte) (plain []byte, index []int) {
	plain = bytes.Clone(data)
	if len(plain) < 13 {
		return plain, nil
	}
	table := func(flags byte) int {
		if flags&0x80 == 0 {
			return 0
		}
		return 3 << (flags&7 + 1)
	}
	at, hidden := 13+table(plain[10]), -1
	for at+2 <= len(plain) {
		switch plain[at] {
		case 0x21:
			if plain[at+1] == 0xf9 && at+7 <= len(plain) {
				if hidden = -1; plain[at+3]&1 != 0 {
					hidden = int(plain[at+6])
				}
				plain[at+3] &^= 1
			}
			at += 2
		case 0x2c:
			if at+10 > len(plain) {
				return plain, index
			}
			index = append(index, hidden)
			hidden = -1
			at += 11 + table(plain[at+9]) // the descriptor, its palette and the size of LZW codes
		default:
			return plain, index
		}
		for at < len(plain) && plain[at] != 0 {
			at += 1 + int(plain[at])
		}
		at++
	}
	return plain, index
}
