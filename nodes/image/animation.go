package image

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"graphrun/graph"
	"graphrun/nodes/bridge"
	"graphrun/runtime/hub"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	meta := func(name, title, description string) graph.Meta {
		return graph.Meta{
			Name: name, Title: title, Category: "image", Module: "comfy_extras.nodes_images", NewStyle: true, Output: true, Uses: graph.IO,
			Hidden: []string{"PROMPT", "EXTRA_PNGINFO"}, Description: description,
		}
	}
	graph.Register[SaveAnimatedPNG](meta("SaveAnimatedPNG", "Save Animated PNG",
		"Writes a batch as one animated PNG into the output folder, with the prompt and the workflow inside."))
	graph.Register[SaveAnimatedWEBP](meta("SaveAnimatedWEBP", "Save Animated WEBP",
		"Writes a batch as one animated WebP into the output folder, with the prompt and the workflow inside. "+
			"method changes nothing here."))
}

// SaveAnimatedPNG writes an APNG file.
type SaveAnimatedPNG struct {
	Images         types.Image
	FilenamePrefix string  `default:"ComfyUI" multiline:"false"`
	FPS            float64 `default:"6.0" min:"0.01" max:"1000.0" step:"0.01"`
	CompressLevel  int     `advanced:"true" default:"4" min:"0" max:"9"`
}

// Run shows each picture for 1/FPS seconds, in whole milliseconds.
func (n SaveAnimatedPNG) Run(c *graph.Call) (saved, error) {
	return saveAnimation(c, n.Images, n.FilenamePrefix, ".png", func(w io.Writer, text []picture.Text) error {
		return picture.WriteAPNG(c, w, n.Images, milliseconds(n.FPS), n.CompressLevel, text)
	})
}

type webpMethod string

// Options lists ComfyUI's three.
func (webpMethod) Options() []string { return []string{"default", "fastest", "slowest"} }

// SaveAnimatedWEBP writes an animated WebP file.
type SaveAnimatedWEBP struct {
	Images         types.Image
	FilenamePrefix string  `default:"ComfyUI" multiline:"false"`
	FPS            float64 `default:"6.0" min:"0.01" max:"1000.0" step:"0.01"`
	Lossless       bool    `default:"true"`
	Quality        int     `default:"80" min:"0" max:"100"`
	Method         webpMethod
}

// Run shows each picture for 1/FPS seconds, in whole milliseconds.
func (n SaveAnimatedWEBP) Run(c *graph.Call) (saved, error) {
	quality := n.Quality
	if n.Lossless {
		quality = picture.Lossless
	}
	return saveAnimation(c, n.Images, n.FilenamePrefix, ".webp", func(w io.Writer, text []picture.Text) error {
		return picture.WriteWebP(c, w, n.Images, milliseconds(n.FPS), quality, text)
	})
}

func milliseconds(fps float64) int { return int(min(1000/max(fps, 1e-9), math.MaxInt32)) }

// saveAnimation writes the whole batch as one file.
func saveAnimation(c *graph.Call, img types.Image, prefix, suffix string, write func(io.Writer, []picture.Text) error) (saved, error) {
	if err := check("images", img); err != nil {
		return saved{}, err
	}
	if err := picture.CheckFinite(c, img); err != nil {
		return saved{}, failed("images", err)
	}
	text, err := bridge.Metadata(c)
	if err != nil {
		return saved{}, err
	}
	to, err := bridge.SaveTo(c, hub.Output, prefix, img.Shape[2], img.Shape[1])
	if err != nil {
		return saved{}, err
	}
	shown, err := to.File(strings.ReplaceAll(to.Name, "%batch_num%", "0"), "_"+suffix, func(w io.Writer) error { return write(w, text) })
	if err != nil {
		return saved{}, err
	}
	return saved{Images: img, UI: graph.UI{"images": {shown}, "animated": {true}}}, nil
}

// SaveImageWebsocket sends pictures to the client.
type SaveImageWebsocket struct {
	Images types.Image
}

// Fingerprint differs every time: what was sent once may be wanted again.
func (n SaveImageWebsocket) Fingerprint() (string, error) {
	return fmt.Sprint(time.Now().UnixNano()), nil
}

// Run previews each picture as a PNG of its full size, behind the progress of the one before.
func (n SaveImageWebsocket) Run(c *graph.Call) (graph.UI, error) {
	if err := check("images", n.Images); err != nil {
		return nil, err
	}
	if err := picture.CheckFinite(c, n.Images); err != nil {
		return nil, failed("images", err)
	}
	for i := range n.Images.Shape[0] {
		var file bytes.Buffer
		if err := picture.WritePNG(c, &file, n.Images, i, 1, nil); err != nil {
			return nil, err
		}
		c.Preview("image/png", file.Bytes())
		c.Progress("send", i, n.Images.Shape[0])
	}
	return nil, nil
}
