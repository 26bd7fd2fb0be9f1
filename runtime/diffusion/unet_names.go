package diffusion

import (
	"fmt"
	"strconv"
	"strings"

	"graphrun/runtime/device"
	"graphrun/runtime/weights"
)

// OriginalUNetNames returns the function that turns the names of the original layout (input_blocks, middle_block,
// output_blocks; families.md 1.3), without prefix, into diffusers'. It returns "" for a name that it does not know.
func OriginalUNetNames(c UNetConfig) func(string) string {
	modules := map[string]string{
		"time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2",
		"label_emb.0.0": "add_embedding.linear_1", "label_emb.0.2": "add_embedding.linear_2",
		"input_blocks.0.0": "conv_in", "out.0": "conv_norm_out", "out.2": "conv_out",
		"middle_block.0": "mid_block.resnets.0", "middle_block.1": "mid_block.attentions.0", "middle_block.2": "mid_block.resnets.1",
	}
	in, out := 1, 0
	for i := range c.BlockOutChannels {
		for j := range c.LayersPerBlock[i] {
			modules[fmt.Sprintf("input_blocks.%d.0", in)] = fmt.Sprintf("down_blocks.%d.resnets.%d", i, j)
			modules[fmt.Sprintf("input_blocks.%d.1", in)] = fmt.Sprintf("down_blocks.%d.attentions.%d", i, j)
			in++
		}
		if i < len(c.BlockOutChannels)-1 {
			modules[fmt.Sprintf("input_blocks.%d.0.op", in)] = fmt.Sprintf("down_blocks.%d.downsamplers.0.conv", i)
			in++
		}
	}
	for i := range c.BlockOutChannels {
		level := len(c.BlockOutChannels) - 1 - i
		for j := range c.LayersPerBlock[level] + 1 {
			modules[fmt.Sprintf("output_blocks.%d.0", out)] = fmt.Sprintf("up_blocks.%d.resnets.%d", i, j)
			up := 1
			if c.UpBlockTypes[i] == crossAttnUp {
				modules[fmt.Sprintf("output_blocks.%d.1", out)] = fmt.Sprintf("up_blocks.%d.attentions.%d", i, j)
				up = 2
			}
			if level > 0 && j == c.LayersPerBlock[level] {
				modules[fmt.Sprintf("output_blocks.%d.%d", out, up)] = fmt.Sprintf("up_blocks.%d.upsamplers.0", i)
			}
			out++
		}
	}
	inside := strings.NewReplacer("in_layers.0.", "norm1.", "in_layers.2.", "conv1.", "emb_layers.1.", "time_emb_proj.",
		"out_layers.0.", "norm2.", "out_layers.3.", "conv2.", "skip_connection.", "conv_shortcut.")
	return func(name string) string {
		parts := strings.Split(name, ".")
		for n := min(4, len(parts)); n > 0; n-- {
			if m, ok := modules[strings.Join(parts[:n], ".")]; ok && n < len(parts) {
				rest := strings.Join(parts[n:], ".")
				if strings.Contains(m, "resnets") {
					rest = inside.Replace(rest)
				}
				return m + "." + rest
			}
		}
		return ""
	}
}

// DetectUNet reads a UNet's config from the shapes of an original-layout checkpoint without prefix: SD1.x has eight
// heads at every level, later families heads of 64 channels, and SDXL sinusoids of 256 for its time ids, which shapes do not
// tell (families.md 1.1 and 11).
func DetectUNet(s *weights.Store) (UNetConfig, error) {
	c := UNetConfig{
		InChannels: s.Dim("input_blocks.0.0.weight", 1), OutChannels: s.Dim("out.2.weight", 0), MidBlockType: midCrossAttn,
		NormNumGroups: 32, NormEps: 1e-5, Act: device.SiLU, FlipSinToCos: true, TimeEmbeddingDim: s.Dim("time_embed.2.weight", 0),
		ConvInKernel: s.Dim("input_blocks.0.0.weight", 2), ConvOutKernel: s.Dim("out.2.weight", 2), DownsamplePadding: 1,
	}
	if c.InChannels == 0 || c.OutChannels == 0 {
		return c, fmt.Errorf("checkpoint: need a UNet with input_blocks.0.0.weight and out.2.weight")
	}
	if c.AdditionInputDim = s.Dim("label_emb.0.0.weight", 1); c.AdditionInputDim > 0 {
		c.AdditionTimeEmbedDim = 256
	}
	layers, depth, attention := 0, 0, false
	level := func(width int) {
		c.BlockOutChannels = append(c.BlockOutChannels, width)
		c.LayersPerBlock = append(c.LayersPerBlock, layers)
		c.TransformerLayers = append(c.TransformerLayers, max(depth, 1))
		down, up := plainDown, plainUp
		if attention {
			down, up = crossAttnDown, crossAttnUp
		}
		c.DownBlockTypes = append(c.DownBlockTypes, down)
		c.UpBlockTypes = append([]string{up}, c.UpBlockTypes...)
		layers, depth, attention = 0, 0, false
	}
	width := 0
	for n := 1; n < 1000; n++ {
		p := "input_blocks." + strconv.Itoa(n)
		if w := s.Dim(p+".0.out_layers.3.weight", 0); w > 0 {
			width = w
			layers++
			depth = transformerLayers(s, p+".1")
			attention = depth > 0
			if t := s.Dim(p+".1.transformer_blocks.0.attn2.to_k.weight", 1); t > 0 {
				c.CrossAttentionDim = t
			}
			if t, ok := s.Lookup(p + ".1.proj_in.weight"); ok {
				c.UseLinearProjection = len(t.Shape) == 2
			}
		} else if s.Dim(p+".0.op.weight", 0) > 0 {
			level(width)
		} else {
			break
		}
	}
	depth = max(depth, transformerLayers(s, "middle_block.1")) // the middle is as deep as the last level would be
	level(width)
	c.OnlyCrossAttention = make([]bool, len(c.BlockOutChannels))
	for _, ch := range c.BlockOutChannels {
		heads := 8
		if c.CrossAttentionDim != 768 && ch%64 == 0 {
			heads = ch / 64
		}
		c.Heads = append(c.Heads, heads)
	}
	if err := c.check(); err != nil {
		return c, fmt.Errorf("checkpoint: unet: %w", err)
	}
	return c, nil
}

// transformerLayers counts the blocks of a spatial transformer.
func transformerLayers(s *weights.Store, name string) (n int) {
	for n < 256 && s.Dim(fmt.Sprintf("%s.transformer_blocks.%d.norm1.weight", name, n), 0) > 0 {
		n++
	}
	return n
}
