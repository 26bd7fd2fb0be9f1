package diffusion

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
)

// Block types of UNet2DConditionModel.
const (
	crossAttnDown = "CrossAttnDownBlock2D"
	plainDown     = "DownBlock2D"
	crossAttnUp   = "CrossAttnUpBlock2D"
	plainUp       = "UpBlock2D"
	midCrossAttn  = "UNetMidBlock2DCrossAttn"
	midPlain      = "UNetMidBlock2D"
)

// UNetConfig is what config.json says of a UNet2DConditionModel. Lists have one entry a level, finest first.
type UNetConfig struct {
	InChannels, OutChannels int
	BlockOutChannels        []int
	DownBlockTypes          []string
	UpBlockTypes            []string // coarsest first, as in the file
	MidBlockType            string
	LayersPerBlock          []int
	Heads                   []int // attention heads
	TransformerLayers       []int
	CrossAttentionDim       int
	UseLinearProjection     bool
	NormNumGroups           int
	NormEps                 float64
	FlipSinToCos            bool
	FreqShift               float64
	SampleSize              int
}

// perLevel reads a number that stands for all levels, or a list with one a level.
type perLevel []int

func (p *perLevel) UnmarshalJSON(b []byte) error {
	var one *int
	if json.Unmarshal(b, &one) == nil {
		if one == nil {
			*p = nil
			return nil
		}
		*p = perLevel{*one}
		return nil
	}
	return json.Unmarshal(b, (*[]int)(p))
}

func (p perLevel) spread(n, fallback int) []int {
	out := make([]int, n)
	for i := range out {
		switch {
		case len(p) == 1:
			out[i] = p[0]
		case i < len(p):
			out[i] = p[i]
		default:
			out[i] = fallback
		}
	}
	return out
}

// ParseUNetConfig reads config.json. A part of the class that this network does not have is an error naming key and value.
func ParseUNetConfig(data []byte) (UNetConfig, error) {
	var f struct {
		ClassName           string   `json:"_class_name"`
		InChannels          *int     `json:"in_channels"`
		OutChannels         *int     `json:"out_channels"`
		BlockOutChannels    []int    `json:"block_out_channels"`
		DownBlockTypes      []string `json:"down_block_types"`
		UpBlockTypes        []string `json:"up_block_types"`
		MidBlockType        *string  `json:"mid_block_type"`
		LayersPerBlock      perLevel `json:"layers_per_block"`
		AttentionHeadDim    perLevel `json:"attention_head_dim"`
		NumAttentionHeads   perLevel `json:"num_attention_heads"`
		TransformerLayers   perLevel `json:"transformer_layers_per_block"`
		CrossAttentionDim   *int     `json:"cross_attention_dim"`
		UseLinearProjection bool     `json:"use_linear_projection"`
		NormNumGroups       *int     `json:"norm_num_groups"`
		NormEps             *float64 `json:"norm_eps"`
		FlipSinToCos        *bool    `json:"flip_sin_to_cos"`
		FreqShift           float64  `json:"freq_shift"`
		SampleSize          int      `json:"sample_size"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return UNetConfig{}, fmt.Errorf("unet config: %w", err)
	}
	if f.ClassName != "" && f.ClassName != "UNet2DConditionModel" {
		return UNetConfig{}, fmt.Errorf("unet config: class: need UNet2DConditionModel, have %q", f.ClassName)
	}
	if err := refuseUNetExtras(data); err != nil {
		return UNetConfig{}, err
	}
	or := func(p *int, d int) int {
		if p == nil {
			return d
		}
		return *p
	}
	n := len(f.BlockOutChannels)
	c := UNetConfig{
		InChannels: or(f.InChannels, 4), OutChannels: or(f.OutChannels, 4), BlockOutChannels: f.BlockOutChannels,
		DownBlockTypes: f.DownBlockTypes, UpBlockTypes: f.UpBlockTypes, MidBlockType: midCrossAttn,
		LayersPerBlock: f.LayersPerBlock.spread(n, 2), TransformerLayers: f.TransformerLayers.spread(n, 1),
		CrossAttentionDim: or(f.CrossAttentionDim, 1280), UseLinearProjection: f.UseLinearProjection,
		NormNumGroups: or(f.NormNumGroups, 32), NormEps: 1e-5, FlipSinToCos: f.FlipSinToCos == nil || *f.FlipSinToCos,
		FreqShift: f.FreqShift, SampleSize: f.SampleSize,
	}
	if f.MidBlockType != nil {
		c.MidBlockType = *f.MidBlockType
	}
	if f.NormEps != nil {
		c.NormEps = *f.NormEps
	}
	// attention_head_dim is the number of heads in every published config, a misnomer that stayed; num_attention_heads wins.
	heads := f.NumAttentionHeads
	if heads == nil {
		heads = f.AttentionHeadDim
	}
	c.Heads = heads.spread(n, 8)
	return c, c.check()
}

// refuseUNetExtras finds parts of the class that no SD1.x or SD2.x checkpoint has and that would change the result.
func refuseUNetExtras(data []byte) error {
	var all map[string]any
	if err := json.Unmarshal(data, &all); err != nil {
		return fmt.Errorf("unet config: %w", err)
	}
	for _, key := range []string{
		"addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim_type", "time_cond_proj_dim", "timestep_post_act",
		"time_embedding_act_fn", "cross_attention_norm", "reverse_transformer_layers_per_block", "mid_block_only_cross_attention", "time_embedding_dim",
	} {
		if v := all[key]; v != nil && v != false {
			return fmt.Errorf("unet config: %s = %v is not supported yet: this network is SD1.x's and SD2.x's", key, v)
		}
	}
	for key, want := range map[string]any{
		"act_fn": "silu", "center_input_sample": false, "dual_cross_attention": false, "only_cross_attention": false, "resnet_time_scale_shift": "default",
		"time_embedding_type": "positional", "conv_in_kernel": 3.0, "conv_out_kernel": 3.0, "downsample_padding": 1.0, "mid_block_scale_factor": 1.0,
		"resnet_out_scale_factor": 1.0, "class_embeddings_concat": false, "resnet_skip_time_act": false, "attention_type": "default",
	} {
		if v, ok := all[key]; ok && v != nil && v != want {
			return fmt.Errorf("unet config: %s = %v is not supported, need %v", key, v, want)
		}
	}
	return nil
}

func (c UNetConfig) check() error {
	n := len(c.BlockOutChannels)
	if n == 0 || n > 16 || len(c.DownBlockTypes) != n || len(c.UpBlockTypes) != n {
		return fmt.Errorf("unet config: need 1 to 16 levels with a down and an up block each, have block_out_channels %v, down_block_types %v, up_block_types %v",
			c.BlockOutChannels, c.DownBlockTypes, c.UpBlockTypes)
	}
	for i, ch := range c.BlockOutChannels {
		if ch <= 0 || ch > 1<<16 || c.NormNumGroups <= 0 || ch%c.NormNumGroups != 0 || c.Heads[i] <= 0 || ch%c.Heads[i] != 0 {
			return fmt.Errorf("unet config: level %d: need channels that are a multiple of %d groups and %d heads, have %d", i, c.NormNumGroups, c.Heads[i], ch)
		}
		if c.LayersPerBlock[i] <= 0 || c.LayersPerBlock[i] > 64 || c.TransformerLayers[i] < 0 || c.TransformerLayers[i] > 256 {
			return fmt.Errorf("unet config: level %d: %d layers of %d transformer blocks are out of range", i, c.LayersPerBlock[i], c.TransformerLayers[i])
		}
		if t := c.DownBlockTypes[i]; t != crossAttnDown && t != plainDown {
			return fmt.Errorf("unet config: down_block_types[%d] = %q, have %s and %s", i, t, crossAttnDown, plainDown)
		}
		if t := c.UpBlockTypes[i]; t != crossAttnUp && t != plainUp {
			return fmt.Errorf("unet config: up_block_types[%d] = %q, have %s and %s", i, t, crossAttnUp, plainUp)
		}
	}
	if c.MidBlockType != midCrossAttn && c.MidBlockType != midPlain {
		return fmt.Errorf("unet config: mid_block_type = %q, have %s and %s", c.MidBlockType, midCrossAttn, midPlain)
	}
	for _, v := range []int{c.InChannels, c.OutChannels, c.CrossAttentionDim} {
		if v <= 0 || v > 1<<16 {
			return fmt.Errorf("unet config: channels in %d, out %d and cross_attention_dim %d must be 1 to 65536", c.InChannels, c.OutChannels, c.CrossAttentionDim)
		}
	}
	return nil
}

// TimestepEmbedding is the sinusoid of families.md: [len(t), dim], cosines first when flip is set,
// frequencies exp(-ln(10000)·i/(dim/2-shift)).
func TimestepEmbedding(t []float32, dim int, flip bool, shift float64) []float32 {
	out := make([]float32, len(t)*dim)
	half := dim / 2
	for b, step := range t {
		row := out[b*dim : (b+1)*dim]
		for i := range half {
			// float32 on purpose: the networks were trained with angles rounded so.
			f := float32(math.Exp(float64(float32(-math.Log(10000)*float64(i)) / float32(float64(half)-shift))))
			angle := float64(step * f)
			sin, cos := float32(math.Sin(angle)), float32(math.Cos(angle))
			if flip {
				sin, cos = cos, sin
			}
			row[i], row[half+i] = sin, cos
		}
	}
	return out
}

func trimDot(s string) string { return strings.TrimSuffix(s, ".") }
