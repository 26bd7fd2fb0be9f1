package image

import (
	"encoding/json"
	"fmt"

	"graphrun/graph"
	"graphrun/graph/python"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	graph.Register[PreviewAny](graph.Meta{
		Name: "PreviewAny", Title: "Preview as Text", Category: "utilities", Module: "comfy_extras.nodes_preview_any", Output: true,
		Description: "Shows any value as text.",
	})
}

// PreviewAny shows a value as text.
type PreviewAny struct {
	Source graph.Any
}

type shownText struct {
	Text string `out:"STRING"`
	UI   graph.UI
}

// Run shows text as it is, True, False, None and numbers as ComfyUI's host prints them, pictures and the like by their shape,
// other values as JSON.
func (n PreviewAny) Run(*graph.Call) (shownText, error) {
	s := shown(n.Source.Value)
	return shownText{s, graph.UI{"text": {s}}}, nil
}

func shown(v any) string {
	switch v := v.(type) {
	case nil, string, bool, int, int64, uint64, float64:
		return python.Str(v)
	case types.Image:
		return fmt.Sprintf("IMAGE %v", v.Shape)
	case types.Mask:
		return fmt.Sprintf("MASK %v", v.Shape)
	case types.Latent:
		return fmt.Sprintf("LATENT %v", v.Samples.Shape)
	}
	if t, ok := v.(interface{ TypeName() string }); ok {
		return t.TypeName()
	}
	doc, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if text, err := picture.PythonJSON(doc); err == nil {
		return string(text)
	}
	return string(doc)
}
