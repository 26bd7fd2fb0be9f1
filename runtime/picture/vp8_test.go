package picture

import (
	"bytes"
	"fmt"
	"image"
	"math"
	"testing"

	decoder "golang.org/x/image/vp8"

	"graphrun/types"
)

// waves is a smooth picture, whose every pixel has a tenth of its range of noise.
func waves(h, w, c int) types.Image {
	img := ramp(1, h, w, c)
	for i, v := range img.Data {
		p, k := i/c, i%c
		x, y := float64(p%w), float64(p/w)
		img.Data[i] = 0.1*v + float32(0.45+0.4*math.Sin(x/9+float64(k))*math.Cos(y/7))
	}
	return img
}

func planesOf(t *testing.T, frame []byte) *image.YCbCr {
	t.Helper()
	d := decoder.NewDecoder()
	d.Init(bytes.NewReader(frame), len(frame))
	if _, err := d.DecodeFrameHeader(); err != nil {
		t.Fatal(err)
	}
	m, err := d.DecodeFrame()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// At quality 100 nothing is filtered after decoding: what the encoder predicts from is what decoders have, to the bit.
func TestVP8Reconstruction(t *testing.T) {
	small, whole := map[uint8]bool{}, map[int]bool{}
	for _, size := range [][2]int{{1, 1}, {16, 16}, {17, 40}, {70, 33}, {128, 96}} {
		for name, img := range map[string]types.Image{"noise": ramp(1, size[0], size[1], 3), "waves": waves(size[0], size[1], 3), "stripes": stripes(size[0], size[1])} {
			h, w := size[0], size[1]
			pix := Bytes(img.Data)
			e := newVP8(pix, w, h, 100)
			for i := range e.w * e.h {
				var b vp8Block
				e.code(&b, i%e.w, i/e.w)
				if whole[b.luma] = whole[b.luma] || !b.small; b.small {
					for _, m := range b.modes {
						small[m] = true
					}
				}
			}
			m := planesOf(t, encodeVP8(pix, w, h, 100))
			for y := range h {
				for x := range w {
					if have, want := m.Y[y*m.YStride+x], e.planes[0].got[y*16*e.w+x]; have != want {
						t.Fatalf("%s %v: luma at %d, %d is %d, the encoder has %d", name, size, x, y, have, want)
					}
					if have, want := m.Cr[y/2*m.CStride+x/2], e.planes[2].got[y/2*8*e.w+x/2]; have != want {
						t.Fatalf("%s %v: chroma at %d, %d is %d, the encoder has %d", name, size, x, y, have, want)
					}
				}
			}
		}
	}
	if len(small) != 10 || len(whole) < 3 {
		t.Errorf("predictions tried: %v 4 by 4, %v as a whole", small, whole)
	}
}

// stripes lean in a way of their own in each block of 32 by 32, so that every prediction has its use.
func stripes(h, w int) types.Image {
	img := types.Image{Tensor: types.NewTensor(1, h, w, 3)}
	for i := range img.Data {
		x, y := i/3%w, i/3/w
		turn := float64(x/32+y/32*3) * math.Pi / 11
		img.Data[i] = float32(0.5 + 0.45*math.Sin((float64(x)*math.Cos(turn)+float64(y)*math.Sin(turn))/1.7))
	}
	return img
}

// Better quality costs bytes and comes nearer; alpha is kept at any.
func TestLossyWebP(t *testing.T) {
	for _, channels := range []int{3, 4} {
		img := waves(120, 200, channels)
		size, worst := 0, 1.0
		for _, quality := range []int{0, 30, 60, 80, 95} {
			var file bytes.Buffer
			if err := WriteWebP(t.Context(), &file, img, 40, quality, nil); err != nil {
				t.Fatal(err)
			}
			back, mask, err := Decode(file.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			var sum float64
			for i, v := range Channels(img, 3).Data {
				d := float64(v - back.Data[i])
				sum += d * d
			}
			mse := sum / float64(len(back.Data))
			t.Logf("%d channels, quality %d: %d bytes, %.1f dB", channels, quality, file.Len(), -10*math.Log10(mse))
			if file.Len() < size || mse > worst {
				t.Errorf("quality %d: %d bytes after %d, mean square %g after %g", quality, file.Len(), size, mse, worst)
			}
			size, worst = file.Len(), mse
			for p := range mask.Data {
				if channels == 4 && rounded(mask.Data[p : p+1])[0] != 255-Bytes(img.Data[4*p+3 : 4*p+4])[0] {
					t.Fatalf("quality %d: alpha %d differs", quality, p)
				}
			}
		}
		if db := -10 * math.Log10(worst); db < 30 {
			t.Errorf("quality 95 gives %.1f dB", db)
		}
	}
}

// Every level that a block may hold comes back, the largest too.
func TestVP8Levels(t *testing.T) {
	for _, size := range []int{0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 18, 19, 34, 35, 66, 67, 68, 1000, vp8MaxLevel} {
		for _, sign := range []int{1, -1} {
			t.Run(fmt.Sprint(sign*size), func(t *testing.T) {
				levels := [16]int16{3: int16(sign * size), 15: 1}
				w := newBoolWriter()
				probs := vp8Default
				s := tokenSink{probs: &probs, w: &w}
				s.block(&levels, vp8Chroma, 0, 0)
				if got := readLevels(w.bytes(), &probs); got != levels {
					t.Errorf("came back as %v", got)
				}
			})
		}
	}
}

// readLevels reads a block of chroma by RFC 6386, 13.2, value by value: a reference that knows nothing of the writer.
func readLevels(data []byte, probs *vp8Probs) (out [16]int16) {
	r := boolReader{data: data, size: 255}
	for range 2 {
		r.value = r.value<<8 | uint32(r.next())
	}
	context, afterZero := 0, false
	for i := 0; i < 16; i++ {
		p := probs[vp8Chroma][vp8Bands[i]][context]
		if !afterZero && !r.bit(p[0]) {
			break
		}
		if afterZero = !r.bit(p[1]); afterZero {
			context = 0
			continue
		}
		v := 1
		context = 1
		if r.bit(p[2]) {
			context = 2
			v = r.large(p)
		}
		if r.bit(128) {
			v = -v
		}
		out[i] = int16(v)
	}
	return out
}

func (r *boolReader) large(p [11]uint8) int {
	if !r.bit(p[3]) {
		if !r.bit(p[4]) {
			return 2
		}
		if !r.bit(p[5]) {
			return 3
		}
		return 4
	}
	category := 0
	switch {
	case !r.bit(p[6]):
		if r.bit(p[7]) {
			category = 1
		}
	case !r.bit(p[8]):
		category = 2
		if r.bit(p[9]) {
			category = 3
		}
	default:
		category = 4
		if r.bit(p[10]) {
			category = 5
		}
	}
	v := 0
	for _, q := range vp8Large[category].extra {
		v *= 2
		if r.bit(q) {
			v++
		}
	}
	return v + vp8Large[category].from
}

// boolReader is RFC 6386, 7.3.
type boolReader struct {
	data        []byte
	value, size uint32
	shifts      int
}

func (r *boolReader) next() byte {
	if len(r.data) == 0 {
		return 0
	}
	b := r.data[0]
	r.data = r.data[1:]
	return b
}

func (r *boolReader) bit(prob uint8) bool {
	split := 1 + (r.size-1)*uint32(prob)>>8
	one := r.value >= split<<8
	if one {
		r.size -= split
		r.value -= split << 8
	} else {
		r.size = split
	}
	for r.size < 128 {
		r.value <<= 1
		r.size <<= 1
		if r.shifts++; r.shifts == 8 {
			r.shifts = 0
			r.value |= uint32(r.next())
		}
	}
	return one
}
