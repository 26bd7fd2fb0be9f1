package image

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"graphrun/graph"
	"graphrun/runtime/hub"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	graph.Register[SaveImage](graph.Meta{
		Name: "SaveImage", Uses: graph.IO, Title: "Save Image", Category: "image", Output: true, Hidden: []string{"PROMPT", "EXTRA_PNGINFO"},
		Description: "Writes pictures as PNG into the output folder, with the prompt and the workflow inside. " +
			"The prefix may hold folders and %width%, %height%, %year%, %month%, %day%, %hour%, %minute%, %second%, %batch_num%.",
	})
	graph.Register[PreviewImage](graph.Meta{
		Name: "PreviewImage", Uses: graph.IO, Title: "Preview Image", Category: "image", Output: true, Hidden: []string{"PROMPT", "EXTRA_PNGINFO"},
		Description: "Shows pictures without keeping them: they lie in the temporary folder until the next start.",
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
	letters := make([]byte, 5)
	for i := range letters {
		letters[i] = 'a' + byte(rand.IntN(26))
	}
	return save(c, n.Images, hub.Temp, "ComfyUI_temp_"+string(letters), 1)
}

// save writes each picture beside its place and renames it there, so that an interrupted run leaves no half of one.
func save(c *graph.Call, img types.Image, kind hub.Kind, prefix string, level int) (saved, error) {
	if err := img.Check("the picture", 4); err != nil {
		return saved{}, err
	}
	if err := picture.CheckFinite(c, img); err != nil {
		return saved{}, &graph.Error{Kind: graph.KindNodeFailed, Input: "images", Err: err}
	}
	f, err := graph.Service[*hub.Folders](c.Env)
	if err != nil {
		return saved{}, err
	}
	text, err := metadata(c)
	if err != nil {
		return saved{}, err
	}
	place, err := f.SavePath(kind, prefix, img.Shape[2], img.Shape[1])
	if err != nil {
		return saved{}, &graph.Error{Kind: graph.KindNodeFailed, Input: "filename_prefix", Err: err}
	}
	list := make([]any, img.Shape[0])
	for i := range list {
		if err := c.Err(); err != nil {
			return saved{}, err
		}
		name := fmt.Sprintf("%s_%05d_.png", strings.ReplaceAll(place.Name, "%batch_num%", strconv.Itoa(i)), place.Counter+i)
		err := place.Write(name, func(w io.Writer) error { return picture.WritePNG(c, w, img, i, level, text) })
		if err != nil {
			return saved{}, err
		}
		list[i] = map[string]any{"filename": name, "subfolder": place.Subfolder, "type": string(kind)}
		c.Progress("save", i+1, len(list))
	}
	return saved{Images: img, UI: graph.UI{"images": list}}, nil
}

// metadata is the prompt and what the client sent beside it, as text chunks.
func metadata(c *graph.Call) ([]picture.Text, error) {
	var text []picture.Text
	add := func(key string, doc []byte) error {
		value, err := picture.PythonJSON(doc)
		if err != nil {
			return fmt.Errorf("extra_pnginfo %s: %w", key, err)
		}
		text = append(text, picture.Text{Key: key, Value: string(value)})
		return nil
	}
	if c.Prompt != nil {
		doc, err := json.Marshal(c.Prompt)
		if err != nil {
			return nil, err
		}
		if err := add("prompt", doc); err != nil {
			return nil, err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.ExtraPNGInfo)) {
		if err := add(key, c.ExtraPNGInfo[key]); err != nil {
			return nil, err
		}
	}
	return text, nil
}
