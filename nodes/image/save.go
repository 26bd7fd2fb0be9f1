package image

import (
	"io"
	"math/rand/v2"
	"strconv"
	"strings"

	"graphrun/graph"
	"graphrun/nodes/bridge"
	"graphrun/runtime/hub"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	graph.Register[SaveImage](graph.Meta{
		Name: "SaveImage", Title: "Save Image", Category: "image", Output: true, Uses: graph.IO, Hidden: []string{"PROMPT", "EXTRA_PNGINFO"},
		Description: "Writes pictures as PNG into the output folder, with the prompt and the workflow inside. " +
			"The prefix may hold folders and %width%, %height%, %year%, %month%, %day%, %hour%, %minute%, %second%, %batch_num%.",
	})
	graph.Register[PreviewImage](graph.Meta{
		Name: "PreviewImage", Title: "Preview Image", Category: "image", Output: true, Uses: graph.IO, Hidden: []string{"PROMPT", "EXTRA_PNGINFO"},
		Description: "Shows pictures without keeping them: they lie in the temporary folder until the next start.",
	})
}

// The schema is of ComfyUI's later version, whose nodes pass on what they save.
func init() {
	graph.Register[MaskPreview](graph.Meta{
		Name: "MaskPreview", Title: "Preview Mask", Category: "image/mask", Module: "comfy_extras.nodes_mask", NewStyle: true,
		Output: true, Uses: graph.IO, Hidden: []string{"PROMPT", "EXTRA_PNGINFO"},
		Description: "Shows masks as gray pictures without keeping them: they lie in the temporary folder until the next start.",
	})
	graph.Register[SaveImageWebsocket](graph.Meta{
		Name: "SaveImageWebsocket", Category: "api/image", Module: "custom_nodes.websocket_image_save", Output: true,
		Description: "Sends pictures as PNG to the client that asked for the run, and keeps nothing.",
	})
}

// saved passes the pictures on and tells the editor where they lie.
type saved struct {
	Images types.Image `out:"images"`
	UI     graph.UI
}

// SaveImage writes PNG files that are kept.
type SaveImage struct {
	Images         types.Image
	FilenamePrefix string `default:"ComfyUI"`
}

// Run writes <prefix>_<counter>_.png for every picture of the batch.
func (n SaveImage) Run(c *graph.Call) (saved, error) {
	return save(c, n.Images, hub.Output, n.FilenamePrefix, 4)
}

// PreviewImage writes PNG files that live until the next start.
type PreviewImage struct {
	Images types.Image
}

// Run writes into the temporary folder, under a name of five random letters.
func (n PreviewImage) Run(c *graph.Call) (saved, error) {
	return save(c, n.Images, hub.Temp, tempPrefix("ComfyUI"), 1)
}

// tempPrefix is a name that no other node has: ComfyUI's, with five random letters.
func tempPrefix(of string) string {
	letters := make([]byte, 5)
	for i := range letters {
		letters[i] = 'a' + byte(rand.IntN(26))
	}
	return of + "_temp_" + string(letters)
}

// MaskPreview shows masks as gray PNG files that live until the next start.
type MaskPreview struct {
	Mask types.Mask
}

// savedMask passes the masks on and tells the editor where their pictures lie.
type savedMask struct {
	Mask types.Mask `out:"mask"`
	UI   graph.UI
}

// Run writes into the temporary folder, as PreviewImage does.
func (n MaskPreview) Run(c *graph.Call) (savedMask, error) {
	if err := n.Mask.Check("the mask", 3); err != nil {
		return savedMask{}, failed("mask", err)
	}
	s, err := save(c, picture.Gray(n.Mask), hub.Temp, tempPrefix("ComfyUI"), 4)
	return savedMask{n.Mask, s.UI}, err
}

// save writes each picture as PNG of 8 bits.
func save(c *graph.Call, img types.Image, kind hub.Kind, prefix string, level int) (saved, error) {
	if err := img.Check("the picture", 4); err != nil {
		return saved{}, err
	}
	if err := picture.CheckFinite(c, img); err != nil {
		return saved{}, failed("images", err)
	}
	return saveEach(c, img, kind, prefix, "_.png", func(w io.Writer, i int, text []picture.Text) error {
		return picture.WritePNG(c, w, img, i, level, text)
	})
}

// saveEach writes a file for each picture.
func saveEach(c *graph.Call, img types.Image, kind hub.Kind, prefix, suffix string, write func(w io.Writer, i int, text []picture.Text) error) (saved, error) {
	text, err := bridge.Metadata(c)
	if err != nil {
		return saved{}, err
	}
	to, err := bridge.SaveTo(c, kind, prefix, img.Shape[2], img.Shape[1])
	if err != nil {
		return saved{}, err
	}
	list := make([]any, img.Shape[0])
	for i := range list {
		if err := c.Err(); err != nil {
			return saved{}, err
		}
		shown, err := to.File(strings.ReplaceAll(to.Name, "%batch_num%", strconv.Itoa(i)), suffix, func(w io.Writer) error { return write(w, i, text) })
		if err != nil {
			return saved{}, err
		}
		list[i] = shown
		c.Progress("save", i+1, len(list))
	}
	return saved{Images: img, UI: graph.UI{"images": list}}, nil
}
