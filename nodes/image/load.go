package image

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"graphrun/graph"
	"graphrun/runtime/hub"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	graph.Register[LoadImage](graph.Meta{
		Name: "LoadImage", Uses: graph.IO, Title: "Load Image", Category: "image",
		Description: "Reads a picture from the input folder: PNG, JPEG, GIF, BMP, TIFF or WebP. The mask is 1 where it is transparent. " +
			"`name [output]` and `name [temp]` read from those folders.",
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
func (n LoadImage) Validate(e *graph.Env) error {
	_, err := n.path(e)
	return err
}

// Fingerprint changes with the file's contents.
func (n LoadImage) Fingerprint(e *graph.Env) (string, error) {
	path, err := n.path(e)
	if err != nil {
		return "", err
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Run decodes the file.
func (n LoadImage) Run(c *graph.Call) (loaded, error) {
	path, err := n.path(c.Env)
	if err != nil {
		return loaded{}, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return loaded{}, err
	}
	img, mask, err := picture.Decode(data)
	if err != nil {
		return loaded{}, &graph.Error{Kind: graph.KindNodeFailed, Input: "image", Err: fmt.Errorf("%s: %w", path, err)}
	}
	return loaded{img, mask}, nil
}

func (n LoadImage) path(e *graph.Env) (string, error) {
	f, err := graph.Service[*hub.Folders](e)
	if err != nil {
		return "", err
	}
	path, err := f.Annotated(string(n.Image))
	if err == nil {
		var info os.FileInfo
		if info, err = os.Stat(path); err == nil && !info.Mode().IsRegular() {
			err = errors.New(path + " is a folder, a pipe or a device")
		}
	}
	if err != nil {
		return "", &graph.Error{
			Kind: graph.KindCustom, Input: "image", Err: &invalidFile{string(n.Image), err}, Need: "a picture file in " + f.Input, Have: fmt.Sprintf("%s (%v)", n.Image, err),
			Hint: "put the file there, or name another",
		}
	}
	return path, nil
}

// invalidFile is said in the words that clients of ComfyUI know.
type invalidFile struct {
	name  string
	cause error
}

func (e *invalidFile) Error() string { return "Invalid image file: " + e.name }
func (e *invalidFile) Unwrap() error { return e.cause }
