package latent

import (
	"fmt"

	"graphrun/graph"
	"graphrun/runtime/picture"
	"graphrun/types"
)

func init() {
	graph.Register[EmptyLatentImage](graph.Meta{
		Name: "EmptyLatentImage", Title: "Empty Latent Image", Category: "latent",
		Description: "An empty latent to start from: batch_size pictures of width by height pixels.",
	})
	graph.Register[EmptySD3LatentImage](graph.Meta{
		Name: "EmptySD3LatentImage", Category: "latent/sd3", Module: "comfy_extras.nodes_sd3", NewStyle: true,
		Description: "An empty latent of 16 channels for SD3, Flux and their like: batch_size pictures of width by height pixels.",
	})
	graph.Register[EmptyHunyuanImageLatent](graph.Meta{
		Name: "EmptyHunyuanImageLatent", Category: "latent", Module: "comfy_extras.nodes_hunyuan",
		Description: "An empty latent of 64 channels and a 32nd of the size for HunyuanImage 2.1: batch_size pictures of width by height pixels.",
	})
}

// empty is a latent of zeros, unless its batch is too large to allocate.
func empty(batch int, shape ...int) (types.Latent, error) {
	if one := types.Elements(shape); one > 0 && batch > picture.MaxValues/one {
		return types.Latent{}, &graph.Error{
			Kind: graph.KindTooBig, Input: "batch_size",
			Need: fmt.Sprintf("at most %d at this size (8 GiB)", picture.MaxValues/one), Have: fmt.Sprint(batch), Hint: "choose a smaller batch or picture",
		}
	}
	return types.Latent{Samples: types.NewTensor(append([]int{batch}, shape...)...)}, nil
}

// EmptyLatentImage makes latents of zeros, four channels, an eighth of the picture's size.
type EmptyLatentImage struct {
	Width     int `default:"512" min:"16" max:"16384" step:"8"`
	Height    int `default:"512" min:"16" max:"16384" step:"8"`
	BatchSize int `default:"1" min:"1" max:"4096"`
}

// Run returns zeros [batch_size, 4, height/8, width/8].
func (n EmptyLatentImage) Run(*graph.Call) (types.Latent, error) {
	return empty(n.BatchSize, 4, n.Height/8, n.Width/8)
}

// EmptySD3LatentImage makes latents of zeros, 16 channels, an eighth of the picture's size.
type EmptySD3LatentImage struct {
	Width     int `default:"1024" min:"16" max:"16384" step:"16"`
	Height    int `default:"1024" min:"16" max:"16384" step:"16"`
	BatchSize int `default:"1" min:"1" max:"4096"`
}

// Run returns zeros [batch_size, 16, height/8, width/8].
func (n EmptySD3LatentImage) Run(*graph.Call) (types.Latent, error) {
	return empty(n.BatchSize, 16, n.Height/8, n.Width/8)
}

// EmptyHunyuanImageLatent makes latents of zeros, 64 channels, a 32nd of the picture's size.
type EmptyHunyuanImageLatent struct {
	Width     int `default:"2048" min:"64" max:"16384" step:"32"`
	Height    int `default:"2048" min:"64" max:"16384" step:"32"`
	BatchSize int `default:"1" min:"1" max:"4096"`
}

// Run returns zeros [batch_size, 64, height/32, width/32].
func (n EmptyHunyuanImageLatent) Run(*graph.Call) (types.Latent, error) {
	return empty(n.BatchSize, 64, n.Height/32, n.Width/32)
}
