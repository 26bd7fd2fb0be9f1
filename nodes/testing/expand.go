package testing

import (
	"fmt"

	"graphrun/graph"
	"graphrun/types"
)

func addExpansions(l graph.Library) {
	add[TestDynamicDependencyCycle](l, "TestDynamicDependencyCycle", "Dynamic Dependency Cycle", special)
	add[TestMixedExpansionReturns](l, "TestMixedExpansionReturns", "Mixed Expansion Returns", special)
	add[TestSamplingInExpansion](l, "TestSamplingInExpansion", "Sampling In Expansion", special)
	s := add[TestParallelSleep](l, "TestParallelSleep", "Test Parallel Sleep", timed)
	s.Output, s.Hidden = true, []string{"UNIQUE_ID"}
	add[TestDynamicAsyncGeneration](l, "TestDynamicAsyncGeneration", "Test Dynamic Async Generation", async)
}

// expanded is a picture, or the graph that makes it.
type expanded struct {
	Image types.Image
	Graph *graph.Subgraph
}

// in is an input of a new node.
func in(name string, v any) graph.Input { return graph.Input{Name: name, Value: v} }

// mask and picture add stubs of 512x512.
func mask(g *graph.Subgraph, value float64) (link any) {
	return graph.Link(g.Add("StubMask", "", in("value", value), in("height", int64(512)), in("width", int64(512)), in("batch_size", int64(1))), 0)
}

func picture512(g *graph.Subgraph, content string) (link any) {
	return graph.Link(g.Add("StubImage", "", in("content", content), in("height", int64(512)), in("width", int64(512)), in("batch_size", int64(1))), 0)
}

// TestDynamicDependencyCycle expands to nodes that need each other.
type TestDynamicDependencyCycle struct {
	Input1, Input2 types.Image
}

// Run returns the cycle.
func (n TestDynamicDependencyCycle) Run(c *graph.Call) (expanded, error) {
	g := c.Subgraph()
	m := mask(g, 0.5)
	first := g.Add("TestLazyMixImages", "")
	second := g.Add("TestLazyMixImages", "", in("image1", graph.Link(first, 0)), in("image2", n.Input2), in("mask", m))
	g.Nodes[1].Inputs = []graph.Input{in("image1", n.Input1), in("image2", graph.Link(second, 0)), in("mask", m)}
	g.Results = []any{graph.Link(second, 0)}
	return expanded{Graph: g}, nil
}

// TestMixedExpansionReturns expands or not, by its input.
type TestMixedExpansionReturns struct {
	Input1 float64
}

type expandedPair struct {
	First  types.Image `out:"IMAGE"`
	Second types.Image `out:"IMAGE"`
	Graph  *graph.Subgraph
}

// Run returns a picture of 0.1, 0.2 or 0.3, the last from an expansion, and white.
func (n TestMixedExpansionReturns) Run(c *graph.Call) (expandedPair, error) {
	white, err := ones(1)
	if err != nil {
		return expandedPair{}, err
	}
	if n.Input1 <= 0.2 {
		value := 0.2
		if n.Input1 <= 0.1 {
			value = 0.1
		}
		gray, err := ones(value)
		return expandedPair{First: gray, Second: white}, err
	}
	g := c.Subgraph()
	m, black, light := mask(g, 0.3), picture512(g, "BLACK"), picture512(g, "WHITE")
	mixed := g.Add("TestLazyMixImages", "", in("image1", black), in("image2", light), in("mask", m))
	g.Results = []any{graph.Link(mixed, 0), white}
	return expandedPair{Graph: g}, nil
}

// TestSamplingInExpansion paints.
type TestSamplingInExpansion struct {
	Model          types.Model
	CLIP           types.CLIP
	VAE            types.VAE
	Seed           uint64  `default:"0" min:"0" max:"0xffffffffffffffff"`
	Steps          int     `default:"20" min:"1" max:"100"`
	CFG            float64 `default:"7" min:"0" max:"30"`
	Prompt         string  `multiline:"true"`
	NegativePrompt string  `multiline:"true"`
}

// Run returns the nodes that paint.
func (n TestSamplingInExpansion) Run(c *graph.Call) (expanded, error) {
	g := c.Subgraph()
	positive := g.Add("CLIPTextEncode", "", in("text", n.Prompt), in("clip", n.CLIP))
	negative := g.Add("CLIPTextEncode", "", in("text", n.NegativePrompt), in("clip", n.CLIP))
	latent := g.Add("EmptyLatentImage", "", in("width", int64(512)), in("height", int64(512)), in("batch_size", int64(1)))
	sampled := g.Add("KSampler", "", in("model", n.Model), in("seed", n.Seed), in("steps", n.Steps), in("cfg", n.CFG),
		in("sampler_name", "euler_ancestral"), in("scheduler", "normal"), in("positive", graph.Link(positive, 0)),
		in("negative", graph.Link(negative, 0)), in("latent_image", graph.Link(latent, 0)), in("denoise", 1.0))
	decoded := g.Add("VAEDecode", "", in("samples", graph.Link(sampled, 0)), in("vae", n.VAE))
	g.Results = []any{graph.Link(decoded, 0)}
	return expanded{Graph: g}, nil
}

// TestParallelSleep waits three times at once.
type TestParallelSleep struct {
	Image1, Image2, Image3 types.Image
	Sleep1, Sleep2, Sleep3 float64 `default:"0.5" min:"0" max:"10" step:"0.01"`
}

// Run returns the average of three sleeping nodes.
func (n TestParallelSleep) Run(c *graph.Call) (expanded, error) {
	g := c.Subgraph()
	average(g, []any{n.Image1, n.Image2, n.Image3}, []float64{n.Sleep1, n.Sleep2, n.Sleep3})
	return expanded{Graph: g}, nil
}

// average adds sleeping nodes and the average of what they give, which becomes the result.
func average(g *graph.Subgraph, images []any, seconds []float64) {
	var inputs []graph.Input
	for i, image := range images {
		id := g.Add("TestSleep", "", in("value", image), in("seconds", seconds[i]))
		inputs = append(inputs, in(fmt.Sprintf("input%d", i+1), graph.Link(id, 0)))
	}
	if len(inputs) == 1 {
		g.Results = []any{inputs[0].Value}
		return
	}
	g.Results = []any{graph.Link(g.Add("TestVariadicAverage", "", inputs...), 0)}
}

// TestDynamicAsyncGeneration waits as often as it is told to, at once.
type TestDynamicAsyncGeneration struct {
	Image1, Image2 types.Image
	NumAsyncNodes  int     `default:"3" min:"1" max:"10"`
	SleepDuration  float64 `default:"0.2" min:"0.1" max:"1"`
}

// Run returns the average of sleeping nodes, of the two pictures in turn.
func (n TestDynamicAsyncGeneration) Run(c *graph.Call) (expanded, error) {
	g := c.Subgraph()
	var images []any
	var durations []float64
	for i := range n.NumAsyncNodes {
		images, durations = append(images, []any{n.Image1, n.Image2}[i%2]), append(durations, n.SleepDuration)
	}
	average(g, images, durations)
	return expanded{Graph: g}, nil
}
