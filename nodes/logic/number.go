package logic

import (
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/big"
	"strings"

	"graphrun/graph"
	"graphrun/graph/python"
	"graphrun/nodes/logic/pyexpr"
)

func init() {
	graph.Register[SeedNode](newer("SeedNode", "Seed", "utilities", "nodes_seed", "A number for the seed inputs of other nodes."))
	graph.Register[ComfyNumberConvert](newer("ComfyNumberConvert", "Convert Number", "utilities", "nodes_number_convert",
		"Reads a number, a text or a boolean as a number, with and without its fraction."))
	graph.Register[ComfyMathExpression](newer("ComfyMathExpression", "Math Expression", "utilities", "nodes_math",
		"Computes a formula in Python's notation over the values a to z, which are also the list `values`. "+
			"Functions: sum, min, max, abs, round, pow, sqrt, ceil, floor, log, log2, log10, sin, cos, tan, int, float."))
	graph.Register[PrimitiveBoundingBox](newer("PrimitiveBoundingBox", "Bounding Box", "utilities/primitive", "nodes_images", "A rectangle in pixels."))
	graph.Register[ColorToRGBInt](newer("ColorToRGBInt", "Color Picker", "utilities", "nodes_color",
		"A colour as red*65536 + green*256 + blue, as #RRGGBB, and its opacity from 0 to 1."))
	graph.Register[ResolutionSelector](newer("ResolutionSelector", "Resolution Selector", "utilities", "nodes_resolution",
		"Width and height for a shape and an area; 1 megapixel is 1024 by 1024."))
}

// SeedNode passes its number on.
type SeedNode struct {
	Seed int64 `min:"0" max:"9223372036854775807" control:"fixed"`
}

type seed struct {
	Seed int64 `out:"seed"`
}

// Run gives the seed.
func (n SeedNode) Run(*graph.Call) (seed, error) { return seed(n), nil }

// ComfyNumberConvert reads numbers.
type ComfyNumberConvert struct {
	Value graph.Any `types:"INT,FLOAT,STRING,BOOLEAN" display_name:"value"`
}

type numbers struct {
	Float float64
	Int   graph.Any `out:"INT" types:"INT"`
}

// Run cuts fractions off; a text of plain digits keeps all of them in the integer.
func (n ComfyNumberConvert) Run(*graph.Call) (numbers, error) {
	bad := func(need string) (numbers, error) {
		return numbers{}, &graph.Error{Kind: graph.KindBadValue, Input: "value", Need: need, Have: clip(python.Repr(n.Value.Value))}
	}
	var exact *big.Int
	var f float64
	var err error
	switch x := python.Number(n.Value.Value).(type) {
	case *big.Int:
		exact = x
	case float64:
		f = x
	case string:
		if exact, err = python.Int(x); err != nil {
			if f, err = python.ParseFloat(x); err != nil {
				return bad("a number")
			}
		}
	default:
		return bad("a number, a text or a boolean")
	}
	if exact != nil {
		if f, err = python.ToFloat(exact); err != nil {
			return bad("a number within 1.8e308")
		}
	}
	if exact == nil {
		if exact, err = python.ToInt(f); err != nil {
			return bad("a finite number")
		}
	}
	return numbers{f, graph.Any{Value: python.Native(exact)}}, nil
}

func clip(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "..."
	}
	return s
}

// ComfyMathExpression computes.
type ComfyMathExpression struct {
	Expression string                    `default:"a + b" multiline:"true"`
	Values     graph.Autogrow[graph.Any] `names:"a..z" item:"value" min:"1" types:"FLOAT,INT,BOOLEAN"`
}

type computed struct {
	Float float64
	Int   graph.Any `out:"INT" types:"INT"`
	Bool  bool      `out:"BOOL"`
}

// Run evaluates the expression (package pyexpr) and gives its result three times.
func (n ComfyMathExpression) Run(*graph.Call) (computed, error) {
	names := map[string]any{}
	list := make([]any, len(n.Values))
	for i, v := range n.Values {
		list[i] = v.Value.Value
		names[v.Name] = v.Value.Value
	}
	names["values"] = list
	c, err := compute(n.Expression, names)
	if err != nil {
		return computed{}, &graph.Error{
			Kind: graph.KindNodeFailed, Input: "expression", Err: err, Need: "an expression with a number or a boolean as its result",
			Have: clip(n.Expression), Hint: "names are those of the connected values, and values",
		}
	}
	return c, nil
}

func compute(expression string, names map[string]any) (c computed, err error) {
	if strings.TrimSpace(expression) == "" {
		return c, &python.Error{Class: "ValueError", Text: "the expression is empty"}
	}
	v, err := pyexpr.Eval(expression, names)
	if err != nil {
		return c, err
	}
	switch x := python.Number(v).(type) {
	case *big.Int:
		if c.Float, err = python.ToFloat(x); err != nil {
			return c, &python.Error{Class: "ValueError", Text: "the result is too large for a float"}
		}
		c.Int.Value, c.Bool = python.Native(x), x.Sign() != 0
	case float64:
		n, err := python.ToInt(x)
		if err != nil {
			return c, &python.Error{Class: "ValueError", Text: "the result is not finite"}
		}
		c.Float, c.Int.Value, c.Bool = x, python.Native(n), x != 0
	default:
		return c, &python.Error{Class: "ValueError", Text: "the result is no number but of type " + python.Type(v)}
	}
	return c, nil
}

// boundingBox is a rectangle in pixels.
type boundingBox struct {
	X      int `json:"x"`
	Y      int `json:"y"`
	Width  int `json:"width"`
	Height int `json:"height"`
}

// TypeName is ComfyUI's name of the link type.
func (boundingBox) TypeName() string { return "BOUNDING_BOX" }

// Pairs goes through its parts.
func (b boundingBox) Pairs() iter.Seq2[string, any] {
	return python.Dict{{Key: "x", Value: b.X}, {Key: "y", Value: b.Y}, {Key: "width", Value: b.Width}, {Key: "height", Value: b.Height}}.Pairs()
}

// PrimitiveBoundingBox makes a rectangle.
type PrimitiveBoundingBox struct {
	X      int `default:"0" min:"0" max:"16384"`
	Y      int `default:"0" min:"0" max:"16384"`
	Width  int `default:"512" min:"1" max:"16384"`
	Height int `default:"512" min:"1" max:"16384"`
}

// Run gives it.
func (n PrimitiveBoundingBox) Run(*graph.Call) (boundingBox, error) {
	return boundingBox(n), nil
}

// color is "#RRGGBB", or "#RRGGBBAA".
type color string

// TypeName is ComfyUI's name of the link type.
func (color) TypeName() string { return "COLOR" }

// ColorToRGBInt takes a colour apart.
type ColorToRGBInt struct {
	Color color `default:"#ffffff" socketless:"true"`
}

type rgb struct {
	Int   int     `out:"rgb_int"`
	Hex   color   `out:"hex"`
	Alpha float64 `out:"alpha"`
}

// Run reads the colour; without AA it is opaque.
func (n ColorToRGBInt) Run(*graph.Call) (rgb, error) {
	text, ok := strings.CutPrefix(string(n.Color), "#")
	b, err := hex.DecodeString(text)
	if !ok || err != nil || len(b) != 3 && len(b) != 4 {
		return rgb{}, &graph.Error{Kind: graph.KindBadValue, Input: "color", Need: "#RRGGBB or #RRGGBBAA", Have: clip(string(n.Color))}
	}
	out := rgb{int(b[0])<<16 | int(b[1])<<8 | int(b[2]), n.Color[:7], 1}
	if len(b) == 4 {
		out.Alpha = float64(b[3]) / 255
	}
	return out, nil
}

// aspectRatio names a shape; the numbers before the bracket are width and height.
type aspectRatio string

// Options lists ComfyUI's shapes.
func (aspectRatio) Options() []string {
	return []string{
		"1:1 (Square)", "2:3 (Portrait Photo)", "3:2 (Photo)", "3:4 (Portrait Standard)", "4:3 (Standard)",
		"9:16 (Portrait Widescreen)", "16:9 (Widescreen)", "21:9 (Ultrawide)",
	}
}

// ResolutionSelector finds a size.
type ResolutionSelector struct {
	AspectRatio aspectRatio `default:"1:1 (Square)"`
	Megapixels  float64     `default:"1" min:"0.1" max:"16" step:"0.1"`
	Multiple    int         `default:"8" min:"8" max:"128" step:"4" advanced:"true"`
}

type resolution struct {
	Width  int `out:"width"`
	Height int `out:"height"`
}

// Run rounds both sides to the multiple.
func (n ResolutionSelector) Run(*graph.Call) (resolution, error) {
	var w, h float64
	if _, err := fmt.Sscanf(string(n.AspectRatio), "%g:%g", &w, &h); err != nil || w <= 0 || h <= 0 || n.Multiple <= 0 {
		return resolution{}, errors.New("need a shape such as 16:9 and a multiple above 0")
	}
	s := math.Sqrt(n.Megapixels * 1024 * 1024 / (w * h))
	side := func(r float64) int { return int(math.RoundToEven(r*s/float64(n.Multiple))) * n.Multiple }
	return resolution{side(w), side(h)}, nil
}
