package image

import (
	"io"
	"math"

	"graphrun/graph"
	"graphrun/runtime/hub"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	m := newer("SaveImageAdvanced", "Save Image (Advanced)", "image", "nodes_images",
		"Writes pictures as PNG of 8 or 16 bits, or as EXR of 32 bit floats, into the output folder, with the prompt and the workflow inside.")
	m.Output, m.Uses, m.Hidden = true, graph.IO, []string{"PROMPT", "EXTRA_PNGINFO"}
	graph.Register[SaveImageAdvanced](m)
	m = newer("ImageCompare", "Compare Images", "image", "nodes_image_compare", "Shows two pictures, or batches of them, one over the other.")
	m.Output, m.Uses, m.Experimental, m.Hidden = true, graph.IO, true, []string{"PROMPT", "EXTRA_PNGINFO"}
	graph.Register[ImageCompare](m)
}

type pngDepth string

// Options lists the bits of a channel.
func (pngDepth) Options() []string { return []string{"8-bit", "16-bit"} }

type pngSpace string

// Options lists the only colour space.
func (pngSpace) Options() []string { return []string{"sRGB"} }

type exrDepth string

// Options lists the only kind of values.
func (exrDepth) Options() []string { return []string{"32-bit float"} }

type exrSpace string

// Options lists what the values can be.
func (exrSpace) Options() []string { return []string{"sRGB", "HDR", "linear"} }

// saveFormat is the kind of file.
type saveFormat struct {
	graph.Choice
	PNG struct {
		BitDepth        pngDepth `default:"8-bit" advanced:"true"`
		InputColorSpace pngSpace `default:"sRGB" advanced:"true"`
	} `key:"png"`
	EXR struct {
		BitDepth        exrDepth `default:"32-bit float" advanced:"true"`
		InputColorSpace exrSpace `default:"sRGB" advanced:"true"`
	} `key:"exr"`
}

// SaveImageAdvanced writes files that are kept.
type SaveImageAdvanced struct {
	Images         types.Image
	FilenamePrefix string `default:"ComfyUI" multiline:"false"`
	Format         saveFormat
}

// Run writes <prefix>_<counter>.png or .exr for every picture of the batch. EXR files hold linear values: sRGB and HDR
// (HLG, Rec. 2020) are decoded, alpha is not.
func (n SaveImageAdvanced) Run(c *graph.Call) (saved, error) {
	img := n.Images
	if err := check("images", img); err != nil {
		return saved{}, err
	}
	bits := 8
	if n.Format.PNG.BitDepth == "16-bit" {
		bits = 16
	}
	write := func(w io.Writer, i int, text []picture.Text) error {
		return picture.WriteDeepPNG(c, w, img, i, bits, 4, text)
	}
	if n.Format.Key == "exr" {
		colours := picture.Rec709
		if n.Format.EXR.InputColorSpace == "HDR" {
			colours = picture.Rec2020
		}
		values := linear(img, n.Format.EXR.InputColorSpace)
		write = func(w io.Writer, i int, text []picture.Text) error {
			return picture.WriteEXR(c, w, values, i, colours, text)
		}
	} else if err := picture.CheckFinite(c, img); err != nil {
		return saved{}, failed("images", err)
	}
	return saveEach(c, img, hub.Output, n.FilenamePrefix, "."+n.Format.Key, write)
}

// linear decodes the colours of pictures, alpha aside.
func linear(img types.Image, space exrSpace) types.Image {
	decode := map[exrSpace]func(float64) float64{"sRGB": fromSRGB, "HDR": fromHLG}[space]
	if decode == nil {
		return img
	}
	out, channels := img.Clone(), img.Shape[3]
	for i, v := range out.Data {
		if channels != 4 || i%4 != 3 {
			out.Data[i] = float32(decode(float64(v)))
		}
	}
	return types.Image{Tensor: out}
}

// fromSRGB is the transfer function of IEC 61966-2-1, towards light.
func fromSRGB(v float64) float64 {
	if v <= 0.04045 {
		return v / 12.92
	}
	return math.Pow((v+0.055)/1.055, 2.4)
}

// fromHLG is the inverse OETF of ITU-R BT.2100's hybrid log-gamma.
func fromHLG(v float64) float64 {
	if v <= 0.5 {
		return v * v / 3
	}
	return (math.Exp((v-0.55991072928)/0.17883277) + 0.28466892) / 12
}

// compareView stands in the editor's schema but carries nothing.
type compareView struct{}

// TypeName is ComfyUI's name of the widget.
func (compareView) TypeName() string { return "IMAGECOMPARE" }

// UnmarshalJSON takes whatever the editor stores.
func (*compareView) UnmarshalJSON([]byte) error { return nil }

// ImageCompare shows two batches.
type ImageCompare struct {
	CompareView compareView `socketless:"true" later:"true"`
	ImageA      *types.Image
	ImageB      *types.Image
}

// Run writes previews into the temporary folder; what is not connected is an empty list.
func (n ImageCompare) Run(c *graph.Call) (graph.UI, error) {
	ui := graph.UI{"a_images": {}, "b_images": {}}
	for _, side := range []struct {
		name string
		img  *types.Image
	}{{"a", n.ImageA}, {"b", n.ImageB}} {
		if side.img == nil {
			continue
		}
		shown, err := preview(c, *side.img, "comfy.compare."+side.name)
		if err != nil {
			return nil, err
		}
		ui[side.name+"_images"] = shown["images"]
	}
	return ui, nil
}

// preview writes pictures into the temporary folder, under a prefix with five random letters.
func preview(c *graph.Call, img types.Image, prefix string) (graph.UI, error) {
	shown, err := save(c, img, hub.Temp, tempPrefix(prefix), 1)
	return shown.UI, err
}
