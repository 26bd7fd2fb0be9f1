package contactsheet

import (
	"image"
	"strings"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// style is a face of the Go fonts, which have the letters of Latin, Greek and Cyrillic.
type style func() font.Face

const (
	textSize  = 13 // pixels
	lineSize  = 16
	mostLines = 3
)

var (
	body    = style(sync.OnceValue(func() font.Face { return face(goregular.TTF) }))
	heading = style(sync.OnceValue(func() font.Face { return face(gobold.TTF) }))
)

func face(ttf []byte) font.Face {
	f, err := opentype.Parse(ttf)
	if err == nil {
		var face font.Face
		if face, err = opentype.NewFace(f, &opentype.FaceOptions{Size: textSize, DPI: 72, Hinting: font.HintingFull}); err == nil {
			return face
		}
	}
	panic(err) // the font is part of the program
}

// drawing guards the faces, which draw one text at a time.
var drawing sync.Mutex

// paragraph is a text broken into lines of the width, at most three.
func paragraph(text string, width int, s style) part {
	drawing.Lock()
	defer drawing.Unlock()
	lines := wrap(text, width, s())
	return part{width, len(lines) * lineSize, func(dst *image.RGBA, x, y int) {
		drawing.Lock()
		defer drawing.Unlock()
		for i, line := range lines {
			d := font.Drawer{Dst: dst, Src: image.NewUniform(ink), Face: s(), Dot: fixed.P(x, y+i*lineSize+lineSize-4)}
			d.DrawString(line)
		}
	}}
}

// textWidth is how wide the text would like to be, but no wider than the part.
func (p part) textWidth(text string) int {
	drawing.Lock()
	defer drawing.Unlock()
	return min(p.w, font.MeasureString(heading(), text).Ceil()+2)
}

// wrap breaks a text at blanks, and in the middle of words that are too long; what does not fit into the last line ends in "…".
func wrap(text string, width int, f font.Face) (lines []string) {
	room := fixed.I(max(width, lineSize))
	line := ""
	var used fixed.Int26_6
	for i, word := range strings.Fields(clip(text)) {
		if i > 0 {
			word = " " + word
		}
		size := font.MeasureString(f, word)
		if used+size > room && line != "" {
			lines, line, used = append(lines, line), "", 0
			word = strings.TrimPrefix(word, " ")
		}
		for _, c := range word {
			advance, _ := f.GlyphAdvance(c)
			if used+advance > room && line != "" {
				lines, line, used = append(lines, line), "", 0
			}
			line += string(c)
			used += advance
		}
	}
	if line != "" || len(lines) == 0 {
		lines = append(lines, line)
	}
	if len(lines) > mostLines {
		lines = lines[:mostLines]
		last := []rune(lines[mostLines-1])
		for len(last) > 0 && font.MeasureString(f, string(last)+"…") > room {
			last = last[:len(last)-1]
		}
		lines[mostLines-1] = string(last) + "…"
	}
	return lines
}

// clip keeps a long text from being measured to its end.
func clip(text string) string {
	const most = 2000
	if r := []rune(text[:min(len(text), 4*most)]); len(r) > most {
		return string(r[:most])
	}
	return text[:min(len(text), 4*most)]
}
