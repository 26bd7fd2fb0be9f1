package testing

import (
	"math/rand/v2"

	"graphrun/graph"
	"graphrun/types"
)

func addStubs(l graph.Library) {
	add[StubImage](l, "StubImage", "Stub Image", stubs)
	add[StubConstantImage](l, "StubConstantImage", "Stub Constant Image", stubs)
	add[StubMask](l, "StubMask", "Stub Mask", stubs)
	add[StubInt](l, "StubInt", "Stub Int", stubs)
	add[StubFloat](l, "StubFloat", "Stub Float", stubs)
}

type content string

// Options lists what a StubImage may hold.
func (content) Options() []string { return []string{"WHITE", "BLACK", "NOISE"} }

// StubImage is white, black or uniform noise.
type StubImage struct {
	Content   content
	Height    int `default:"512" min:"1" max:"1073741824" step:"1"`
	Width     int `default:"512" min:"1" max:"68719476736" step:"1"`
	BatchSize int `default:"1" min:"1" max:"1073741824" step:"1"`
}

// Run returns pictures [batch_size, height, width, 3].
func (n StubImage) Run(*graph.Call) (types.Image, error) {
	value := 0.0
	if n.Content == "WHITE" {
		value = 1
	}
	t, err := filled(value, n.BatchSize, n.Height, n.Width, 3)
	if n.Content == "NOISE" {
		for i := range t.Data {
			t.Data[i] = rand.Float32()
		}
	}
	return types.Image{Tensor: t}, err
}

// StubConstantImage is a picture of one value.
type StubConstantImage struct {
	Value     float64 `default:"0.5" min:"0" max:"1" step:"0.01"`
	Height    int     `default:"512" min:"1" max:"1073741824" step:"1"`
	Width     int     `default:"512" min:"1" max:"68719476736" step:"1"`
	BatchSize int     `default:"1" min:"1" max:"1073741824" step:"1"`
}

// Run returns pictures [batch_size, height, width, 3].
func (n StubConstantImage) Run(*graph.Call) (types.Image, error) {
	t, err := filled(n.Value, n.BatchSize, n.Height, n.Width, 3)
	return types.Image{Tensor: t}, err
}

// StubMask is a mask of one value.
type StubMask struct {
	Value     float64 `default:"0.5" min:"0" max:"1" step:"0.01"`
	Height    int     `default:"512" min:"1" max:"1073741824" step:"1"`
	Width     int     `default:"512" min:"1" max:"68719476736" step:"1"`
	BatchSize int     `default:"1" min:"1" max:"1073741824" step:"1"`
}

// Run returns masks [batch_size, height, width].
func (n StubMask) Run(*graph.Call) (types.Mask, error) {
	t, err := filled(n.Value, n.BatchSize, n.Height, n.Width)
	return types.Mask{Tensor: t}, err
}

// StubInt is a number.
type StubInt struct {
	Value int `default:"0" min:"-0xffffffff" max:"0xffffffff" step:"1"`
}

// Run returns the number.
func (n StubInt) Run(*graph.Call) (int, error) { return n.Value, nil }

// StubFloat is a number.
type StubFloat struct {
	Value float64 `default:"0" min:"-1e38" max:"1e38" step:"0.01"`
}

// Run returns the number.
func (n StubFloat) Run(*graph.Call) (float64, error) { return n.Value, nil }
