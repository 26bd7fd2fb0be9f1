package latent

import (
	"fmt"
	"math"

	"graphrun/graph"
	"graphrun/types"
)

func init() {
	register := func(name, what string) graph.Meta {
		return graph.Meta{Name: name, Category: "latent/advanced/operations", Module: "comfy_extras.nodes_latent", NewStyle: true, Experimental: true, Description: what}
	}
	graph.Register[LatentApplyOperation](register("LatentApplyOperation", "Applies an operation to latents."))
	graph.Register[LatentOperationTonemapReinhard](register("LatentOperationTonemapReinhard",
		"An operation that draws in cells of a large magnitude, as Reinhard's tone mapping does bright pixels."))
	graph.Register[LatentOperationSharpen](register("LatentOperationSharpen", "An operation that sharpens latents."))
}

// Operation changes a latent's samples; it returns new ones.
type Operation struct {
	Apply func(types.Tensor) (types.Tensor, error)
}

// TypeName is ComfyUI's name of the link type.
func (Operation) TypeName() string { return "LATENT_OPERATION" }

// LatentApplyOperation applies an operation.
type LatentApplyOperation struct {
	Samples   types.Latent
	Operation Operation
}

// Run changes the samples; mask and batch index pass.
func (n LatentApplyOperation) Run(*graph.Call) (out types.Latent, err error) {
	n.Samples.Samples, err = n.Operation.Apply(n.Samples.Samples)
	return n.Samples, err
}

// LatentOperationTonemapReinhard compresses magnitudes.
type LatentOperationTonemapReinhard struct {
	Multiplier float64 `default:"1" min:"0" max:"100" step:"0.01"`
}

// Run returns the operation: the magnitude m of a cell over its channels becomes m/(m/top + 1) with top = multiplier·(mean
// + 5 deviations) of the picture's magnitudes; its direction stays.
func (n LatentOperationTonemapReinhard) Run(*graph.Call) (Operation, error) {
	return Operation{func(t types.Tensor) (types.Tensor, error) {
		if _, _, err := plane("samples", t); err != nil {
			return types.Tensor{}, err
		}
		out := t.Clone()
		for b := range t.Shape[0] {
			item := out.Item(b)
			norms := magnitudes(item, 1e-10)
			var mean, variance float64
			for _, m := range norms {
				mean += float64(m)
			}
			mean /= float64(len(norms))
			for _, m := range norms {
				variance += (float64(m) - mean) * (float64(m) - mean)
			}
			variance /= float64(len(norms) - 1) // of a single cell NaN, as torch's
			top := float32((math.Sqrt(variance)*5 + mean) * n.Multiplier)
			for i := range item.Data {
				m := norms[i%len(norms)]
				scaled := m / top
				item.Data[i] = item.Data[i] / m * (scaled / (scaled + 1) * top)
			}
		}
		return out, nil
	}}, nil
}

// magnitudes are the lengths over the channels of each cell of one picture [channels, ...], plus eps.
func magnitudes(t types.Tensor, eps float64) []float32 {
	cells := types.Elements(t.Shape[1:])
	sums := make([]float64, cells)
	for i, v := range t.Data {
		sums[i%cells] += float64(v) * float64(v)
	}
	norms := make([]float32, cells)
	for i, s := range sums {
		norms[i] = float32(math.Sqrt(s)) + float32(eps)
	}
	return norms
}

// LatentOperationSharpen sharpens.
type LatentOperationSharpen struct {
	SharpenRadius int     `default:"9" min:"1" max:"31" step:"1"`
	Sigma         float64 `default:"1" min:"0.1" max:"10" step:"0.1"`
	Alpha         float64 `default:"0.1" min:"0" max:"5" step:"0.01"`
}

// Run returns the operation: the directions of the cells, of length 1 over the channels, are sharpened by a Gaussian
// whose sigma is relative to the radius, and get their lengths back. Borders are mirrored.
func (n LatentOperationSharpen) Run(*graph.Call) (Operation, error) {
	return Operation{func(t types.Tensor) (types.Tensor, error) {
		h, w, err := plane("samples", t)
		if err == nil && min(h, w) <= n.SharpenRadius {
			err = &graph.Error{
				Kind: graph.KindCustom, Input: "samples", Need: fmt.Sprintf("sides of more than sharpen_radius = %d cells", n.SharpenRadius),
				Have: fmt.Sprintf("%d by %d", w, h), Hint: "choose a smaller radius",
			}
		}
		if err != nil {
			return types.Tensor{}, err
		}
		kernel := n.kernel()
		out := t.Clone()
		for b := range t.Shape[0] {
			item := out.Item(b)
			norms := magnitudes(item, 1e-6)
			for i := range item.Data {
				item.Data[i] /= norms[i%len(norms)]
			}
			for at := 0; at < len(item.Data); at += h * w {
				copy(item.Data[at:], convolve(item.Data[at:][:h*w], h, w, kernel, n.SharpenRadius))
			}
			for i := range item.Data {
				item.Data[i] *= norms[i%len(norms)]
			}
		}
		return out, nil
	}}, nil
}

// kernel is the Gaussian times -10·alpha, with what is missing to 1 in its centre.
func (n LatentOperationSharpen) kernel() []float64 {
	size := 2*n.SharpenRadius + 1
	k := make([]float64, size*size)
	var sum float64
	for i := range k {
		x, y := float64(i%size-n.SharpenRadius)/float64(n.SharpenRadius), float64(i/size-n.SharpenRadius)/float64(n.SharpenRadius)
		k[i] = math.Exp(-(x*x + y*y) / (2 * n.Sigma * n.Sigma))
		sum += k[i]
	}
	for i := range k {
		k[i] *= -10 * n.Alpha / sum
	}
	k[len(k)/2] += 1 + 10*n.Alpha
	return k
}

// convolve applies a square kernel of 2·radius+1 to a plane whose borders are mirrored without the line on them.
func convolve(src []float32, h, w int, kernel []float64, radius int) []float32 {
	out := make([]float32, len(src))
	for y := range h {
		for x := range w {
			var sum float64
			for ky := -radius; ky <= radius; ky++ {
				row := src[mirror(y+ky, h)*w:]
				for kx := -radius; kx <= radius; kx++ {
					sum += kernel[(ky+radius)*(2*radius+1)+kx+radius] * float64(row[mirror(x+kx, w)])
				}
			}
			out[y*w+x] = float32(sum)
		}
	}
	return out
}

func mirror(i, n int) int {
	if i < 0 {
		return -i
	}
	if i >= n {
		return 2*(n-1) - i
	}
	return i
}
