package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"math"
	"slices"

	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	graph.Register[DrawBBoxes](newer("DrawBBoxes", "Draw BBoxes", "image/detection", "nodes_rtdetr",
		"Draws bounding boxes with their labels and scores, on pictures or on a black canvas."))
	m := newer("CreateBoundingBoxes", "Create Bounding Boxes", "utilities", "nodes_bounding_boxes",
		"Boxes that are drawn in the editor, or taken from a link, as boxes in pixels and as elements for layout prompts.")
	m.Output, m.Experimental, m.Uses, m.Hidden = true, true, graph.IO, []string{"PROMPT", "EXTRA_PNGINFO"}
	graph.Register[CreateBoundingBoxes](m)
}

// box is a rectangle in pixels, as JSON objects on links and in prompts are.
type box struct {
	X        float64        `json:"x"`
	Y        float64        `json:"y"`
	Width    float64        `json:"width"`
	Height   float64        `json:"height"`
	Label    any            `json:"label,omitempty"`
	Score    *float64       `json:"score,omitempty"`
	Metadata map[string]any `json:"metadata,omitempty"`
}

// TypeName is ComfyUI's name of the link type.
func (box) TypeName() string { return "BOUNDING_BOX" }

// UnmarshalJSON takes a box, or the first of a list.
func (b *box) UnmarshalJSON(text []byte) error {
	lists, err := readBoxes(text)
	if err == nil && (len(lists) == 0 || len(lists[0]) == 0) {
		err = fmt.Errorf("no bounding box")
	}
	if err == nil {
		*b = lists[0][0]
	}
	return err
}

// boxLists are boxes by picture.
type boxLists [][]box

// TypeName is ComfyUI's name of the link type.
func (boxLists) TypeName() string { return "BOUNDING_BOX" }

// UnmarshalJSON takes a box, a list of boxes, or a list for each picture.
func (l *boxLists) UnmarshalJSON(text []byte) (err error) {
	*l, err = readBoxes(text)
	return err
}

func readBoxes(text []byte) (out [][]box, err error) {
	type plain box // without UnmarshalJSON
	text = bytes.TrimSpace(text)
	if len(text) > 0 && text[0] == '{' {
		var one plain
		err := json.Unmarshal(text, &one)
		return [][]box{{box(one)}}, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	nested := len(list) > 0 && bytes.HasPrefix(bytes.TrimSpace(list[0]), []byte("["))
	if !nested {
		out = [][]box{{}}
	}
	for _, item := range list {
		if nested {
			var frame []plain
			if err := json.Unmarshal(item, &frame); err != nil {
				return nil, err
			}
			boxes := make([]box, len(frame))
			for i, p := range frame {
				boxes[i] = box(p)
			}
			out = append(out, boxes)
			continue
		}
		var one plain
		if err := json.Unmarshal(item, &one); err != nil {
			return nil, err
		}
		out[0] = append(out[0], box(one))
	}
	return out, nil
}

// DrawBBoxes draws boxes.
type DrawBBoxes struct {
	Bboxes boxLists `default:"{\"x\":0,\"y\":0,\"width\":512,\"height\":512}" socketless:"true" forceinput:"true"`
	Image  *types.Image
}

type drawn struct {
	Image types.Image `out:"out_image"`
}

// Run draws one list on every picture, or each on its own; without pictures, on a canvas that the boxes fit on.
func (n DrawBBoxes) Run(c *graph.Call) (drawn, error) {
	if n.Image == nil {
		w, h := 64., 64.
		for _, list := range n.Bboxes {
			for _, b := range list {
				w, h = max(w, b.X+b.Width), max(h, b.Y+b.Height)
			}
		}
		if w*h*3*float64(max(len(n.Bboxes), 1)) > picture.MaxValues {
			return drawn{}, &graph.Error{Kind: graph.KindTooBig, Input: "bboxes", Need: "boxes on a canvas of at most 8 GiB", Have: fmt.Sprintf("%g by %g pixels", w, h)}
		}
		n.Image = &types.Image{Tensor: types.NewTensor(max(len(n.Bboxes), 1), int(math.Ceil(h)), int(math.Ceil(w)), 3)}
	}
	img := *n.Image
	if err := check("image", img); err != nil {
		return drawn{}, err
	}
	out := types.Image{Tensor: img.Clone()}
	for i := range out.Shape[0] {
		var list []box
		if len(n.Bboxes) == 1 {
			list = n.Bboxes[0]
		} else if i < len(n.Bboxes) {
			list = n.Bboxes[i]
		}
		canvas := canvas{out.Item(i).Data, out.Shape[2], out.Shape[1], out.Shape[3]}
		for k, b := range list {
			text := ""
			if b.Label != nil {
				text = fmt.Sprint(b.Label)
			}
			if b.Score != nil {
				text += fmt.Sprintf(" %.2f", *b.Score)
			}
			canvas.box(b, 3, text, palette[k%len(palette)])
		}
	}
	return drawn{out}, c.Err()
}

var palette = [][3]float32{{1, 0.2, 0.2}, {0.2, 1, 0.2}, {0.3, 0.5, 1}, {1, 1, 0.2}, {1, 0.3, 1}, {0.2, 1, 1}, {1, 0.6, 0.2}}

// canvas is one picture to draw on.
type canvas struct {
	data           []float32
	w, h, channels int
}

func (c canvas) set(x, y int, colour [3]float32) {
	if x < 0 || y < 0 || x >= c.w || y >= c.h {
		return
	}
	for k := range c.channels {
		v := float32(1) // alpha
		if k < 3 {
			v = colour[k]
		}
		c.data[(y*c.w+x)*c.channels+k] = v
	}
}

// box draws the outline, inwards, and a tag above it, or in it at the upper border.
func (c canvas) box(b box, line int, tag string, colour [3]float32) {
	limit := func(v float64, most int) int { return int(min(max(v, -1), float64(most))) }
	left, top, right, bottom := limit(b.X, c.w), limit(b.Y, c.h), limit(b.X+b.Width, c.w), limit(b.Y+b.Height, c.h)
	for y := top; y < bottom; y++ {
		for x := left; x < right; x++ {
			if x >= left+line && x < right-line && y >= top+line && y < bottom-line {
				x = right - line - 1 // the inside stays
				continue
			}
			c.set(x, y, colour)
		}
	}
	if tag == "" {
		return
	}
	face := basicfont.Face7x13
	height := face.Height
	if top -= height; top < 0 {
		top = max(0, top+height)
	}
	runes := []rune(tag)
	for y := range height {
		for x := range face.Advance*len(runes) + 4 {
			c.set(left+x, top+y, colour)
		}
	}
	for i, r := range runes {
		at := image.Pt(left+2+i*face.Advance, top+face.Ascent)
		area, mask, origin, _, ok := face.Glyph(fixed.P(at.X, at.Y), r)
		if !ok {
			continue
		}
		for y := area.Min.Y; y < area.Max.Y; y++ {
			for x := area.Min.X; x < area.Max.X; x++ {
				if _, _, _, a := mask.At(origin.X+x-area.Min.X, origin.Y+y-area.Min.Y).RGBA(); a > 0x7fff {
					c.set(x, y, [3]float32{})
				}
			}
		}
	}
}

// editorBoxes are the boxes that the editor stores.
type editorBoxes []box

// TypeName is ComfyUI's name of the widget.
func (editorBoxes) TypeName() string { return "BOUNDING_BOXES" }

// CreateBoundingBoxes is a set of boxes.
type CreateBoundingBoxes struct {
	Width        int         `default:"1024" min:"64" max:"16384" step:"16"`
	Height       int         `default:"1024" min:"64" max:"16384" step:"16"`
	EditorState  editorBoxes `default:"[]" socketless:"false"`
	Background   *types.Image
	Bboxes       *graph.Any  `types:"BOUNDING_BOX,ARRAY,STRING"`
	LastIncoming editorBoxes `default:"[]" socketless:"true" optional:"true"`
}

// elements describe boxes for layout prompts.
type elements []map[string]any

// TypeName is ComfyUI's name of the link type.
func (elements) TypeName() string { return "ARRAY" }

type created struct {
	Preview  types.Image `out:"preview"`
	Bboxes   boxLists    `out:"bboxes"`
	Elements elements    `out:"elements"`
	UI       graph.UI
}

// Run takes the boxes of the link if they are others than the editor last saw, else the editor's.
func (n CreateBoundingBoxes) Run(c *graph.Call) (created, error) {
	list := []box(n.EditorState)
	if n.Bboxes != nil && n.Bboxes.Value != nil {
		incoming, err := n.incoming()
		if err != nil {
			return created{}, &graph.Error{Kind: graph.KindBadValue, Input: "bboxes", Err: err, Need: "boxes, elements, or JSON of them"}
		}
		if !equalJSON(incoming, n.LastIncoming) {
			list = incoming
		}
	}
	out := created{Bboxes: boxLists{list}, Elements: elements{}}
	for _, b := range list {
		out.Elements = append(out.Elements, n.element(b))
	}
	var err error
	if out.Preview, err = n.draw(c, list); err != nil {
		return created{}, err
	}
	out.UI, err = preview(c, out.Preview, "ComfyUI")
	return out, err
}

func equalJSON(a, b any) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

// incoming reads the link: boxes, elements with a bbox on the grid, or a text with the JSON of either.
func (n CreateBoundingBoxes) incoming() ([]box, error) {
	text, ok := n.Bboxes.Value.(string)
	if !ok {
		raw, err := json.Marshal(n.Bboxes.Value)
		if err != nil {
			return nil, err
		}
		text = string(raw)
	}
	var list []layoutElement
	if json.Unmarshal([]byte(text), &list) == nil && slices.ContainsFunc(list, func(e layoutElement) bool { return len(e.Bbox) == 4 }) {
		var out []box
		for _, e := range list {
			if len(e.Bbox) != 4 {
				continue
			}
			w, h := float64(n.Width)/grid, float64(n.Height)/grid
			out = append(out, box{
				X: e.Bbox[1] * w, Y: e.Bbox[0] * h, Width: (e.Bbox[3] - e.Bbox[1]) * w, Height: (e.Bbox[2] - e.Bbox[0]) * h,
				Metadata: map[string]any{"type": e.Type, "text": e.Text, "desc": e.Desc, "palette": e.Palette},
			})
		}
		return out, nil
	}
	lists, err := readBoxes([]byte(text))
	if err != nil || len(lists) == 0 {
		return nil, err
	}
	return lists[0], nil
}

// layoutElement is a box as an element has it: top, left, bottom and right on the grid.
type layoutElement struct {
	Type, Text, Desc string
	Bbox             []float64
	Palette          []any `json:"color_palette"`
}

// grid is the size of either side in the coordinates of elements.
const grid = 1000

// element is a box on the grid, with what its metadata says.
func (n CreateBoundingBoxes) element(b box) map[string]any {
	on := func(v float64, side int) int { return int(min(max(math.RoundToEven(v/float64(side)*grid), 0), grid)) }
	text := func(key string) string { s, _ := b.Metadata[key].(string); return s }
	out := map[string]any{
		"type": "obj", "bbox": []any{on(b.Y, n.Height), on(b.X, n.Width), on(b.Y+b.Height, n.Height), on(b.X+b.Width, n.Width)},
	}
	if text("type") == "text" {
		out["type"], out["text"] = "text", text("text")
	}
	out["desc"] = text("desc")
	if colours, ok := b.Metadata["palette"].([]any); ok && len(colours) > 0 {
		out["color_palette"] = colours[:min(len(colours), 5)]
	}
	return out
}

// draw shows the boxes with their numbers over the darkened background, at most 1024 pixels each way.
func (n CreateBoundingBoxes) draw(c *graph.Call, list []box) (types.Image, error) {
	by := min(1, 1024/float64(max(n.Width, n.Height)))
	w, h := max(1, int(float64(n.Width)*by)), max(1, int(float64(n.Height)*by))
	out := types.Image{Tensor: types.NewTensor(1, h, w, 3)}
	if n.Background != nil {
		img := *n.Background
		if err := check("background", img); err != nil {
			return types.Image{}, err
		}
		if img.Shape[3] < 3 {
			img = gray(img)
		}
		first := picture.RGB(types.Image{Tensor: img.Slice(0, 1)})
		var err error
		if out, err = picture.ResizeImage(c, first, w, h, picture.Bilinear, picture.CropDisabled); err != nil {
			return types.Image{}, err
		}
		for i := range out.Data {
			out.Data[i] *= 0.25
		}
	}
	canvas := canvas{out.Data, w, h, 3}
	for i, b := range list {
		canvas.box(box{X: b.X * by, Y: b.Y * by, Width: b.Width * by, Height: b.Height * by}, 2, fmt.Sprintf("%02d", i+1), palette[i%len(palette)])
	}
	return out, nil
}
