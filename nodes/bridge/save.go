package bridge

import (
	"fmt"
	"io"

	"graphrun/graph"
	"graphrun/runtime/hub"
)

// Saving is where a node saves its files.
type Saving struct {
	Name string // their base name; may still hold %batch_num%

	place hub.Place
	kind  hub.Kind
}

// SaveTo finds the place for the input filename_prefix in a folder. width and height are those of the first picture.
func SaveTo(c *graph.Call, kind hub.Kind, prefix string, width, height int) (*Saving, error) {
	f, err := graph.Service[*hub.Folders](c.Env)
	if err != nil {
		return nil, err
	}
	place, err := f.SavePath(kind, prefix, width, height)
	if err != nil {
		return nil, &graph.Error{Kind: graph.KindNodeFailed, Input: "filename_prefix", Err: err}
	}
	return &Saving{place.Name, place, kind}, nil
}

// File writes <name>_<number><suffix> with the next free number, beside its place and renamed there, so that an interrupted
// run leaves no half of one. The result tells the editor where it lies.
func (s *Saving) File(name, suffix string, write func(io.Writer) error) (map[string]any, error) {
	file, err := s.place.Save(func(n int) string { return fmt.Sprintf("%s_%05d%s", name, n, suffix) }, write)
	if err != nil {
		return nil, err
	}
	return map[string]any{"filename": file, "subfolder": s.place.Subfolder, "type": string(s.kind)}, nil
}
