package testing

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"graphrun/graph"
	"graphrun/types"
)

func addSpecial(l graph.Library) {
	add[TestLazyMixImages](l, "TestLazyMixImages", "Lazy Mix Images", special)
	add[TestVariadicAverage](l, "TestVariadicAverage", "Variadic Average", special).Variadic = true
	s := add[TestCustomIsChanged](l, "TestCustomIsChanged", "Custom IsChanged", special)
	s.Input("should_change").Type = "BOOL"
	add[TestIsChangedWithConstants](l, "TestIsChangedWithConstants", "IsChanged With Constants", special)
	add[TestCustomValidation1](l, "TestCustomValidation1", "Custom Validation 1", special)
	add[TestCustomValidation2](l, "TestCustomValidation2", "Custom Validation 2", special)
	smart(add[TestCustomValidation3](l, "TestCustomValidation3", "Custom Validation 3", special))
	add[TestCustomValidation4](l, "TestCustomValidation4", "Custom Validation 4", special)
	add[TestCustomValidation5](l, "TestCustomValidation5", "Custom Validation 5", special)
	add[TestOutputNodeWithSocketOutput](l, "TestOutputNodeWithSocketOutput", "Test Output Node With Socket Output", timed).Output = true
}

// TestLazyMixImages mixes two pictures by a mask and needs neither where the mask leaves it out.
type TestLazyMixImages struct {
	Image1, Image2 graph.Lazy[types.Image]
	Mask           types.Mask
}

// Run returns image1*(1-mask) + image2*mask.
func (n TestLazyMixImages) Run(*graph.Call) (types.Image, error) {
	first, second := anyNot(n.Mask.Data, 1), anyNot(n.Mask.Data, 0)
	if !second {
		return n.Image1.Get()
	}
	if !first {
		return n.Image2.Get()
	}
	a, err := n.Image1.Get()
	if err != nil {
		return types.Image{}, err
	}
	b, err := n.Image2.Get()
	if err != nil {
		return types.Image{}, err
	}
	if !slices.Equal(a.Shape, b.Shape) || len(a.Shape) != 4 || !slices.Equal(a.Shape[1:3], n.Mask.Shape[1:]) ||
		n.Mask.Shape[0] != 1 && n.Mask.Shape[0] != a.Shape[0] {
		return types.Image{}, fmt.Errorf("need pictures and a mask of one size, have %v, %v and %v", a.Shape, b.Shape, n.Mask.Shape)
	}
	t := types.NewTensor(a.Shape...)
	for i := range t.Data {
		m := n.Mask.Data[i/a.Shape[3]%len(n.Mask.Data)]
		t.Data[i] = a.Data[i]*(1-m) + b.Data[i]*m
	}
	return types.Image{Tensor: t}, nil
}

// TestVariadicAverage is the mean of input1, input2, ... as many as are linked.
type TestVariadicAverage struct {
	Input1 types.Image
}

// Run returns the mean of pictures of one shape.
func (n TestVariadicAverage) Run(c *graph.Call) (types.Image, error) {
	more := map[string]any{}
	for _, in := range c.Undeclared {
		more[in.Name] = in.Value
	}
	sum := n.Input1.Clone()
	count := 1
	for {
		name := "input" + strconv.Itoa(count+1)
		v, ok := more[name]
		if !ok {
			return mapped(types.Image{Tensor: sum}, func(v float32) float32 { return v / float32(count) }), nil
		}
		image, ok := v.(types.Image)
		if !ok || !slices.Equal(image.Shape, sum.Shape) {
			return types.Image{}, fmt.Errorf("%s: need a picture of shape %v", name, sum.Shape)
		}
		count++
		for k, x := range image.Data {
			sum.Data[k] += x
		}
	}
}

// errAlways is the fingerprint that never repeats.
var errAlways = errors.New("changes always")

// TestCustomIsChanged runs again whenever it is told to.
type TestCustomIsChanged struct {
	Image        types.Image
	ShouldChange graph.Any `optional:"true"`
}

// Fingerprint is no number if the node should change.
func (n TestCustomIsChanged) Fingerprint() (string, error) {
	if truth(n.ShouldChange.Value) {
		return "", errAlways
	}
	return "false", nil
}

// Run returns the picture.
func (n TestCustomIsChanged) Run(*graph.Call) (types.Image, error) { return n.Image, nil }

// TestIsChangedWithConstants multiplies a picture.
type TestIsChangedWithConstants struct {
	Image types.Image
	Value float64 `default:"1" min:"0" max:"10"`
}

// Fingerprint is the value; of a picture that is known, its mean multiplied.
func (n TestIsChangedWithConstants) Fingerprint() (string, error) {
	v := n.Value
	if len(n.Image.Data) > 0 {
		sum := 0.0
		for _, x := range n.Image.Data {
			sum += float64(x)
		}
		v *= sum / float64(len(n.Image.Data))
	}
	return strconv.FormatFloat(v, 'g', -1, 64), nil
}

// Run returns image*value.
func (n TestIsChangedWithConstants) Run(*graph.Call) (types.Image, error) {
	return mapped(n.Image, func(v float32) float32 { return v * float32(n.Value) }), nil
}

// check refuses constants that are neither: whole numbers too.
func check(inputs ...any) error {
	for i, v := range inputs {
		switch v.(type) {
		case nil, float64, types.Image:
		default:
			return fmt.Errorf("%s input%d: %T", invalidType, i+1, v)
		}
	}
	return nil
}

// product is input1*input2; of two numbers, a picture.
func product(a, b any) (types.Image, error) {
	x, isNumber := a.(float64)
	y, isNumber2 := b.(float64)
	i, isImage := a.(types.Image)
	j, isImage2 := b.(types.Image)
	switch {
	case isNumber && isNumber2:
		return ones(x * y)
	case isNumber && isImage2:
		return mapped(j, func(v float32) float32 { return float32(x) * v }), nil
	case isImage && isNumber2:
		return mapped(i, func(v float32) float32 { return v * float32(y) }), nil
	case isImage && isImage2 && slices.Equal(i.Shape, j.Shape):
		k := -1
		return mapped(i, func(v float32) float32 { k++; return v * j.Data[k] }), nil
	}
	return types.Image{}, fmt.Errorf("need numbers or pictures of one shape, have %T and %T", a, b)
}

// TestCustomValidation1 judges its constants.
type TestCustomValidation1 struct {
	Input1 graph.Any `types:"IMAGE,FLOAT" checked:"true"`
	Input2 graph.Any `types:"IMAGE,FLOAT" checked:"true"`
}

// Validate refuses what is neither FLOAT nor IMAGE.
func (n TestCustomValidation1) Validate() error { return check(n.Input1.Value, n.Input2.Value) }

// Run returns the product.
func (n TestCustomValidation1) Run(*graph.Call) (types.Image, error) {
	return product(n.Input1.Value, n.Input2.Value)
}

// TestCustomValidation2 judges its constants and the types of its links.
type TestCustomValidation2 TestCustomValidation1

// Validate refuses what is neither FLOAT nor IMAGE.
func (n TestCustomValidation2) Validate() error { return check(n.Input1.Value, n.Input2.Value) }

// ValidateTypes refuses links of other types than FLOAT and IMAGE, unions too.
func (n TestCustomValidation2) ValidateTypes(received map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(received)) {
		if t := received[name]; t != "IMAGE" && t != "FLOAT" {
			return fmt.Errorf("%s %s: %s", invalidType, name, t)
		}
	}
	return nil
}

// Run returns the product.
func (n TestCustomValidation2) Run(*graph.Call) (types.Image, error) {
	return product(n.Input1.Value, n.Input2.Value)
}

// TestCustomValidation3 leaves all judgement to its types.
type TestCustomValidation3 struct {
	Input1 graph.Any `types:"IMAGE,FLOAT"`
	Input2 graph.Any `types:"IMAGE,FLOAT"`
}

// Run returns the product.
func (n TestCustomValidation3) Run(*graph.Call) (types.Image, error) {
	return product(n.Input1.Value, n.Input2.Value)
}

// TestCustomValidation4 takes numbers.
type TestCustomValidation4 struct {
	Input1 float64 `checked:"true"`
	Input2 float64 `checked:"true"`
}

// Validate is there to be called: what is no number has been converted or refused before.
func (n TestCustomValidation4) Validate() error { return nil }

// Run returns a picture of the product.
func (n TestCustomValidation4) Run(*graph.Call) (types.Image, error) {
	return ones(n.Input1 * n.Input2)
}

// TestCustomValidation5 judges input2 alone, and its range itself.
type TestCustomValidation5 struct {
	Input1 float64 `min:"0" max:"1" checked:"true"`
	Input2 float64 `min:"0" max:"1" checked:"true"`
}

// Validate refuses 7.
func (n TestCustomValidation5) Validate() error {
	if n.Input2 == 7 {
		return errors.New("7s are not allowed")
	}
	return nil
}

// Run returns a picture of the product.
func (n TestCustomValidation5) Run(*graph.Call) (types.Image, error) {
	return ones(n.Input1 * n.Input2)
}

// TestOutputNodeWithSocketOutput is an output node whose output can be used.
type TestOutputNodeWithSocketOutput struct {
	Image types.Image
	Value float64 `default:"1" min:"0" max:"10"`
}

// Run returns image*value and shows nothing.
func (n TestOutputNodeWithSocketOutput) Run(*graph.Call) (types.Image, error) {
	return mapped(n.Image, func(v float32) float32 { return v * float32(n.Value) }), nil
}
