package image

import (
	"fmt"
	"os"

	"graphrun/graph"
	"graphrun/nodes/bridge"
	"graphrun/runtime/hub"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	graph.Register[LoadImage](graph.Meta{
		Name: "LoadImage", Title: "Load Image", Category: "image", Uses: graph.IO,
		Description: "Reads a picture from the input folder: PNG, JPEG, GIF, BMP, TIFF or WebP. The mask is 1 where it is transparent. " +
			"`name [output]` and `name [temp]` read from those folders.",
	})
	graph.Register[LoadImageOutput](graph.Meta{
		Name: "LoadImageOutput", Title: "Load Image (from Outputs)", Category: "image", Experimental: true, Uses: graph.IO,
		Description: "Reads a picture that was saved: `name [output]`. The editor offers the newest.",
	})
	graph.Register[LoadImageMask](graph.Meta{
		Name: "LoadImageMask", Title: "Load Image (as Mask)", Category: "mask", Uses: graph.IO,
		Description: "Reads one channel of a picture from the input folder as a mask. Alpha is turned around: the mask is 1 where it is transparent.",
	})
}

// inputFile is a picture's name, possibly in a subfolder, possibly with its folder's kind behind it: "a/b.png [output]".
type inputFile string

// Options lists the pictures that lie directly in the input folder.
func (inputFile) Options(e *graph.Env) []string {
	f, err := graph.Service[*hub.Folders](e)
	if err != nil {
		return nil
	}
	return f.Pictures()
}

// LoadImage reads a picture and its mask.
type LoadImage struct {
	Image inputFile `image_upload:"true" checked:"true"`
}

// loaded is what a picture file holds.
type loaded struct {
	Image types.Image
	Mask  types.Mask
}

// Validate accepts any file that exists, listed or not.
func (n LoadImage) Validate(e *graph.Env) error { return n.Image.validate(e) }

// Fingerprint changes with the file's contents.
func (n LoadImage) Fingerprint(e *graph.Env) (string, error) { return n.Image.fingerprint(e) }

// Run decodes the file.
func (n LoadImage) Run(c *graph.Call) (out loaded, err error) {
	err = n.Image.read(c.Env, func(data []byte) error {
		out.Image, out.Mask, err = picture.Decode(data)
		return err
	})
	return out, err
}

// outputFile is the name of a file that was saved. The page asks a route for the list.
type outputFile string

// Options is empty: see the type.
func (outputFile) Options(*graph.Env) []string { return nil }

// LoadImageOutput reads a picture that was saved.
type LoadImageOutput struct {
	Image outputFile `image_upload:"true" image_folder:"output" remote:"/internal/files/output" checked:"true"`
}

// Validate accepts any file that exists.
func (n LoadImageOutput) Validate(e *graph.Env) error { return inputFile(n.Image).validate(e) }

// Fingerprint changes with the file's contents.
func (n LoadImageOutput) Fingerprint(e *graph.Env) (string, error) {
	return inputFile(n.Image).fingerprint(e)
}

// Run does what LoadImage does.
func (n LoadImageOutput) Run(c *graph.Call) (loaded, error) {
	return LoadImage{inputFile(n.Image)}.Run(c)
}

type maskChannel string

// Options lists the channels in ComfyUI's order.
func (maskChannel) Options() []string { return []string{"alpha", "red", "green", "blue"} }

// LoadImageMask reads one channel of a picture.
type LoadImageMask struct {
	Image   inputFile `image_upload:"true" checked:"true"`
	Channel maskChannel
}

// Validate accepts any file that exists, listed or not.
func (n LoadImageMask) Validate(e *graph.Env) error { return n.Image.validate(e) }

// Fingerprint changes with the file's contents.
func (n LoadImageMask) Fingerprint(e *graph.Env) (string, error) { return n.Image.fingerprint(e) }

// Run decodes the first frame of the file.
func (n LoadImageMask) Run(c *graph.Call) (mask types.Mask, err error) {
	err = n.Image.read(c.Env, func(data []byte) error {
		mask, err = picture.DecodeChannel(data, string(n.Channel))
		return err
	})
	return mask, err
}

func (n inputFile) validate(e *graph.Env) error {
	_, err := n.path(e)
	return err
}

func (n inputFile) fingerprint(e *graph.Env) (string, error) {
	path, err := n.path(e)
	if err != nil {
		return "", err
	}
	return bridge.FileSum(path)
}

// read gives the file's contents to decode.
func (n inputFile) read(e *graph.Env, decode func([]byte) error) error {
	path, err := n.path(e)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := decode(data); err != nil {
		return failed("image", fmt.Errorf("%s: %w", path, err))
	}
	return nil
}

func (n inputFile) path(e *graph.Env) (string, error) {
	return bridge.InputFile(e, "image", "image", string(n))
}
