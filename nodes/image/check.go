package image

import (
	"fmt"

	"graphrun/graph"
	"graphrun/types"
)

// check refuses an empty batch and what is no picture, naming the input.
func check(input string, img types.Image) error {
	if err := img.Check("the picture", 4); err != nil {
		return failed(input, err)
	}
	return nil
}

// failed says which input err is about.
func failed(input string, err error) error {
	return &graph.Error{Kind: graph.KindNodeFailed, Input: input, Err: err}
}

// wrong is the error of a value that the node cannot take.
func wrong(input, need, have string, args ...any) error {
	return &graph.Error{Kind: graph.KindBadValue, Input: input, Need: need, Have: fmt.Sprintf(have, args...)}
}

// size is height and width in pixels; 1 by 1 for what check refuses.
func size(img types.Image) (h, w float64) {
	if len(img.Shape) != 4 {
		return 1, 1
	}
	return float64(img.Shape[1]), float64(img.Shape[2])
}
