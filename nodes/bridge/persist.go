package bridge

import (
	"graphrun/graph"
	"graphrun/types"
)

func init() { // what a cache on disk may keep
	graph.Persist[types.Image]()
	graph.Persist[types.Mask]()
	graph.Persist[types.Latent]()
	graph.Persist[types.Conditioning]()
}
