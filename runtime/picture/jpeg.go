package picture

import "image"

// jpegFrame converts the planes of a JPEG file to RGB as libjpeg-turbo does: smooth ("fancy") upsampling of halved
// chroma, then JFIF's matrix in 16 bit fixed point. Go's own conversion repeats chroma samples.
func jpegFrame(m *image.YCbCr) frame {
	f := newFrame(m.Rect.Dx(), m.Rect.Dy())
	cb, cr := jpegChroma(m, m.Cb), jpegChroma(m, m.Cr)
	for y := range f.h {
		for x := range f.w {
			p := y*f.w + x
			l, b, r := int(m.Y[y*m.YStride+x]), int(cb[p])-128, int(cr[p])-128
			const half = 1 << 15
			f.set(p,
				clip(l+(91881*r+half)>>16),          // 1.40200
				clip(l+(-22554*b-46802*r+half)>>16), // 0.34414, 0.71414
				clip(l+(116130*b+half)>>16),         // 1.77200
				255)
		}
	}
	return f
}

func clip(v int) byte { return byte(min(max(v, 0), 255)) }

// jpegChroma brings a chroma plane to the size of the picture.
func jpegChroma(m *image.YCbCr, plane []byte) []byte {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	sx, sy := 1, 1
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		sx = 2
	case image.YCbCrSubsampleRatio420:
		sx, sy = 2, 2
	case image.YCbCrSubsampleRatio440:
		sy = 2
	case image.YCbCrSubsampleRatio411:
		sx = 4
	case image.YCbCrSubsampleRatio410:
		sx, sy = 4, 2
	}
	cw, ch := (w+sx-1)/sx, (h+sy-1)/sy
	out := make([]byte, w*h)
	smooth := sx <= 2 && (sx == 1 || cw > 2) // libjpeg smooths halves, and only where there is something between edges
	sums := make([]int, cw)
	for y := range h {
		row, weight := plane[y/sy*m.CStride:], 1
		for x := range sums {
			sums[x] = int(row[x])
		}
		if smooth && sy == 2 { // three parts of the nearer row, one of the other
			near := plane[min(max(y/2-1+y%2*2, 0), ch-1)*m.CStride:]
			for x := range sums {
				sums[x] = 3*sums[x] + int(near[x])
			}
			weight = 4
		}
		line := out[y*w:][:w]
		if !smooth || sx == 1 {
			for x := range line {
				// The two rows of a pair round in opposite ways (libjpeg-turbo's h1v2).
				line[x] = byte((sums[x/sx] + (weight/4)*(1+y%2)) / weight)
			}
			continue
		}
		smoothRow(line, sums, weight)
	}
	return out
}

// smoothRow doubles a row of sums (each weight times a sample): three parts of the nearer sample, one of the other.
// Even pixels round one way, odd ones the other, as libjpeg's do (jdsample.c, h2v1 and h2v2).
func smoothRow(line []byte, sums []int, weight int) {
	even, odd := 1, 2
	if weight == 4 {
		even, odd = 8, 7
	}
	for x := range line {
		i, bias := x/2, even
		other := i - 1
		if x%2 == 1 {
			other, bias = i+1, odd
		}
		if other < 0 || other >= len(sums) {
			other = i
		}
		line[x] = byte((3*sums[i] + sums[other] + bias) / (4 * weight))
	}
}
