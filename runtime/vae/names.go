package vae

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"graphrun/runtime/weights"
)

// expressions are compiled at first use: start-up stays in milliseconds.
var levelName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(encoder\.down|decoder\.up)\.(\d+)\.(block\.(\d+)|downsample|upsample)\.`)
})

// OriginalNames turns a name of the original layout, without prefix, into diffusers' (families.md 2). levels is the
// number of resolutions: the original counts the decoder's from the output.
func OriginalNames(levels int) func(string) string {
	inside := strings.NewReplacer("mid.block_1.", "mid_block.resnets.0.", "mid.block_2.", "mid_block.resnets.1.",
		"mid.attn_1.norm.", "mid_block.attentions.0.group_norm.", "mid.attn_1.q.", "mid_block.attentions.0.to_q.",
		"mid.attn_1.k.", "mid_block.attentions.0.to_k.", "mid.attn_1.v.", "mid_block.attentions.0.to_v.",
		"mid.attn_1.proj_out.", "mid_block.attentions.0.to_out.0.", "norm_out.", "conv_norm_out.", "nin_shortcut.", "conv_shortcut.")
	return func(name string) string {
		m := levelName().FindStringSubmatch(name)
		if m == nil {
			return inside.Replace(name)
		}
		i, err := strconv.Atoi(m[2])
		if err != nil {
			return name
		}
		side, rest := "encoder.down_blocks", name[len(m[0]):]
		if m[1] == "decoder.up" {
			side, i = "decoder.up_blocks", levels-1-i
		}
		switch {
		case m[4] != "":
			return fmt.Sprintf("%s.%d.resnets.%s.%s", side, i, m[4], inside.Replace(rest))
		case m[3] == "downsample":
			return fmt.Sprintf("%s.%d.downsamplers.0.%s", side, i, rest)
		default:
			return fmt.Sprintf("%s.%d.upsamplers.0.%s", side, i, rest)
		}
	}
}

// Detect reads an autoencoder's config from the shapes of an original-layout checkpoint without prefix. The scale is
// the SD1.x and SD2.x one, which shapes do not tell.
func Detect(s *weights.Store) (Config, error) {
	c := Config{
		InChannels: s.Dim("encoder.conv_in.weight", 1), OutChannels: s.Dim("decoder.conv_out.weight", 0), LatentChannels: s.Dim("decoder.conv_in.weight", 1),
		NormNumGroups: 32, ScalingFactor: 0.18215,
		QuantConv: s.Dim("quant_conv.weight", 0) > 0, PostQuantConv: s.Dim("post_quant_conv.weight", 0) > 0, MidAttention: s.Dim("decoder.mid.attn_1.norm.weight", 0) > 0,
	}
	for i := 0; i < 8; i++ {
		w := s.Dim(fmt.Sprintf("encoder.down.%d.block.0.conv2.weight", i), 0)
		if w == 0 {
			break
		}
		c.BlockOutChannels = append(c.BlockOutChannels, w)
	}
	for s.Dim(fmt.Sprintf("encoder.down.0.block.%d.conv1.weight", c.LayersPerBlock), 0) > 0 && c.LayersPerBlock < 64 {
		c.LayersPerBlock++
	}
	if len(c.BlockOutChannels) == 0 {
		return c, fmt.Errorf("checkpoint: need an autoencoder with encoder.down.0.block.0.conv2.weight: this file carries no VAE of a known kind")
	}
	return c, c.check()
}
