package image

import (
	"context"
	"fmt"
	"math"
	"slices"

	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	graph.Register[BatchImagesNode](newer("BatchImagesNode", "Batch Images", "image/batch", "nodes_post_processing",
		"Joins pictures to one batch; all get the size of the first."))
	graph.Register[BatchMasksNode](newer("BatchMasksNode", "Batch Masks", "image/mask", "nodes_post_processing",
		"Joins masks to one batch; all get the size of the first."))
	graph.Register[SplitImageToTileList](newer("SplitImageToTileList", "Split Image into List of Tiles", "image/batch", "nodes_images",
		"Cuts pictures into tiles that overlap, row by row from the top left."))
	m := newer("ImageMergeTileList", "Merge List of Tiles to Image", "image/batch", "nodes_images",
		"Lays tiles that Split Image into List of Tiles has cut together again; where they overlap they fade into each other.")
	graph.Register[ImageMergeTileList](m)
}

// BatchImagesNode joins pictures.
type BatchImagesNode struct {
	Images graph.Autogrow[types.Image] `prefix:"image" item:"image" min:"1" max:"50"`
}

// Run gives RGB pictures an opaque alpha where another has one, and resizes bilinearly, cutting the longer sides.
func (n BatchImagesNode) Run(c *graph.Call) (types.Image, error) {
	list, channels := n.Images.Values(), 0
	for i, img := range list {
		if err := check("images."+n.Images[i].Name, img); err != nil {
			return types.Image{}, err
		}
		channels = max(channels, img.Shape[3])
	}
	for i, img := range list {
		if img.Shape[3] < channels-1 {
			return types.Image{}, &graph.Error{
				Kind: graph.KindCustom, Input: "images." + n.Images[i].Name, Need: fmt.Sprintf("%d or %d channels as others have", channels-1, channels), Have: fmt.Sprint(img.Shape[3]),
			}
		}
		list[i] = picture.Channels(img, channels)
	}
	return joinImages(c, list)
}

// joinImages makes one batch of pictures with equal channels, resized to the first.
func joinImages(ctx context.Context, list []types.Image) (types.Image, error) {
	if len(list) == 0 {
		return types.Image{}, &graph.Error{Kind: graph.KindMissing, Hint: "connect the first slot at least"}
	}
	shape, parts := list[0].Shape, make([]types.Tensor, len(list))
	for i, img := range list {
		if !slices.Equal(img.Shape[1:3], shape[1:3]) {
			var err error
			if img, err = picture.ResizeImage(ctx, img, shape[2], shape[1], picture.Bilinear, picture.CropCenter); err != nil {
				return types.Image{}, err
			}
		}
		parts[i] = img.Tensor
	}
	out, err := picture.Concat(parts...)
	return types.Image{Tensor: out}, err
}

// BatchMasksNode joins masks.
type BatchMasksNode struct {
	Masks graph.Autogrow[types.Mask] `prefix:"mask" item:"mask" min:"1" max:"50"`
}

// Run resizes bilinearly, cutting the longer sides.
func (n BatchMasksNode) Run(c *graph.Call) (types.Mask, error) {
	list := make([]types.Image, len(n.Masks))
	for i, m := range n.Masks {
		var err error
		if list[i], _, err = imageOrMask("masks."+m.Name, m.Value); err != nil {
			return types.Mask{}, err
		}
	}
	out, err := joinImages(c, list)
	if err != nil {
		return types.Mask{}, err
	}
	return picture.PlaneMask(out), nil
}

// SplitImageToTileList cuts tiles.
type SplitImageToTileList struct {
	Image      types.Image
	TileWidth  int `default:"1024" min:"64" max:"16384"`
	TileHeight int `default:"1024" min:"64" max:"16384"`
	Overlap    int `default:"128" min:"0" max:"4096"`
}

// Run cuts the whole batch at once: every tile is a batch.
func (n SplitImageToTileList) Run(*graph.Call) (graph.List[types.Image], error) {
	img := n.Image
	if err := check("image", img); err != nil {
		return nil, err
	}
	var out graph.List[types.Image]
	for _, t := range tiles(img.Shape[2], img.Shape[1], n.TileWidth, n.TileHeight, n.Overlap) {
		out = append(out, picture.Region(img, t.x, t.y, t.w, t.h))
	}
	return out, nil
}

type tile struct{ x, y, w, h int }

// tiles covers width by height with tiles, row by row.
func tiles(width, height, tileWidth, tileHeight, overlap int) (list []tile) {
	columns := tileStarts(width, tileWidth, overlap)
	for _, y := range tileStarts(height, tileHeight, overlap) {
		for _, x := range columns {
			list = append(list, tile{x, y, min(tileWidth, width), min(tileHeight, height)})
		}
	}
	return list
}

// tileStarts is where the tiles of an axis begin: a quarter of a tile apart at least; the last one ends at the border.
func tileStarts(size, tile, overlap int) (list []int) {
	stride := max(1, int(math.RoundToEven(max(float64(tile)/4, float64(tile-overlap)))))
	for at := 0; at+tile < size; at += stride {
		list = append(list, at)
	}
	return append(list, max(0, size-tile))
}

// ImageMergeTileList lays tiles together.
type ImageMergeTileList struct {
	ImageList   graph.List[types.Image]
	FinalWidth  int `default:"1024" min:"64" max:"32768"`
	FinalHeight int `default:"1024" min:"64" max:"32768"`
	Overlap     int `default:"128" min:"0" max:"4096"`
}

// Run weighs each tile by a half sine along both sides, so that its border counts least, and takes the mean. Tiles have the
// size of the first; those that are missing leave black.
func (n ImageMergeTileList) Run(c *graph.Call) (types.Image, error) {
	if len(n.ImageList) == 0 {
		return types.Image{}, &graph.Error{Kind: graph.KindCustom, Input: "image_list", Need: "tiles", Have: "an empty list"}
	}
	first := n.ImageList[0]
	if err := check("image_list", first); err != nil {
		return types.Image{}, err
	}
	batch, tileH, tileW, channels := first.Shape[0], first.Shape[1], first.Shape[2], first.Shape[3]
	if float64(batch*channels)*float64(n.FinalWidth)*float64(n.FinalHeight) > picture.MaxValues {
		return types.Image{}, &graph.Error{Kind: graph.KindTooBig, Input: "final_width", Need: "a picture of at most 8 GiB", Have: fmt.Sprintf("%d by %d", n.FinalWidth, n.FinalHeight)}
	}
	out := types.NewTensor(batch, n.FinalHeight, n.FinalWidth, channels)
	total := make([]float32, n.FinalHeight*n.FinalWidth)
	rows, columns := tileWeights(tileH, n.Overlap), tileWeights(tileW, n.Overlap)
	for i, t := range tiles(n.FinalWidth, n.FinalHeight, tileW, tileH, n.Overlap) {
		if err := c.Err(); err != nil {
			return types.Image{}, err
		}
		if i >= len(n.ImageList) {
			break
		}
		img := n.ImageList[i]
		if !slices.Equal(img.Shape, first.Shape) {
			return types.Image{}, &graph.Error{Kind: graph.KindCustom, Input: "image_list", Need: fmt.Sprintf("tiles of shape %v as the first", first.Shape), Have: fmt.Sprint(img.Shape)}
		}
		for y := range t.h {
			for x := range t.w {
				w := max(rows[y]*columns[x], 1e-5)
				at := (t.y+y)*n.FinalWidth + t.x + x
				total[at] += w
				for b := range batch {
					src := img.Data[((b*tileH+y)*tileW+x)*channels:][:channels]
					dst := out.Data[(b*n.FinalHeight*n.FinalWidth+at)*channels:]
					for k, v := range src {
						dst[k] += w * v
					}
				}
			}
		}
	}
	for i := range out.Data {
		if w := total[i/channels%len(total)]; w > 0 {
			out.Data[i] /= w
		}
	}
	return types.Image{Tensor: out}, nil
}

// tileWeights rise and fall over n pixels; tiles that do not overlap have none.
func tileWeights(n, overlap int) []float32 {
	w := make([]float32, n)
	for i := range w {
		w[i] = 1
		if overlap > 0 {
			w[i] = float32(math.Sin(math.Pi * float64(i) / float64(max(n-1, 1))))
		}
	}
	return w
}
