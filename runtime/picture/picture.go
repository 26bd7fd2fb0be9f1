// Package picture holds what graphrun does with pictures apart from models: resizing, reading files and writing PNG, each
// with the numbers of ComfyUI, torch and Pillow (numerics.md 8 and 9). It stands on package types alone.
package picture

import (
	"context"
	"fmt"
	"image"
	"math"

	"graphrun/types"
)

// MaxPixels bounds the pictures that Decode reads, all frames of a file together: where Pillow stops too.
const MaxPixels = 178_956_970

// Error is a picture file that cannot be read, or a picture that cannot be written.
type Error struct {
	Format string // "PNG", "JPEG", ..., empty where unknown
	Need   string // what would have been right
	Have   string
	Hint   string // the remedy
	Err    error  // the decoder's own error, may be nil
}

func (e *Error) Error() string {
	s := "picture"
	if e.Format != "" {
		s = e.Format + " picture"
	}
	if e.Need != "" {
		s += ": need " + e.Need
	}
	if e.Have != "" {
		s += ", have " + e.Have
	}
	if e.Err != nil {
		s += fmt.Sprintf(": %v", e.Err)
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Explain takes the error apart: what is wrong besides need and have, these, and the remedy.
func (e *Error) Explain() (what, need, have, hint string) {
	bare := Error{Format: e.Format, Err: e.Err}
	return bare.Error(), e.Need, e.Have, e.Hint
}

// Bytes converts values of 0..1 to bytes as ComfyUI saves them: trunc(clip(255·x)); 0.999 gives 254, NaN 0.
func Bytes(values []float32) []byte {
	out := make([]byte, len(values))
	for i, v := range values {
		switch v *= 255; {
		case v >= 255:
			out[i] = 255
		case v > 0:
			out[i] = byte(v)
		}
	}
	return out
}

// PreviewBytes converts the values of a latent preview, -1..1, to bytes: trunc(255·clip((x+1)/2)) (numerics.md 8).
func PreviewBytes(values []float32) []byte {
	half := make([]float32, len(values))
	for i, v := range values {
		half[i] = (v + 1) / 2
	}
	return Bytes(half)
}

// Opaque is a picture of w by h pixels of RGB, for encoders of the standard library.
func Opaque(rgb []byte, w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	opaqueRow(m.Pix, rgb)
	return m
}

// CheckFinite returns an Error that names the first pixel that is NaN or infinite.
func CheckFinite(ctx context.Context, img types.Image) error {
	for i, v := range img.Data {
		if i%(1<<20) == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			c, w, h := img.Shape[3], img.Shape[2], img.Shape[1]
			p := i / c
			return &Error{
				Need: "finite values",
				Have: fmt.Sprintf("%v at x %d, y %d of picture %d", v, p%w, p/w%h, p/w/h),
				Hint: "the model or VAE overflowed: load it with dtype float32 or bfloat16, or run with --precision exact",
			}
		}
	}
	return nil
}

// RGB is img without alpha; a picture of three channels is returned as it is.
func RGB(img types.Image) types.Image {
	if len(img.Shape) != 4 || img.Shape[3] <= 3 {
		return img
	}
	return Channels(img, 3)
}
