package diffusion

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"graphrun/runtime/device"
	"graphrun/runtime/nn"
)

// Block types of UNet2DConditionModel.
const (
	crossAttnDown = "CrossAttnDownBlock2D"
	plainDown     = "DownBlock2D"
	crossAttnUp   = "CrossAttnUpBlock2D"
	plainUp       = "UpBlock2D"
	midCrossAttn  = "UNetMidBlock2DCrossAttn"
	midPlain      = "UNetMidBlock2D"
	midNone       = "" // null in the file: no middle block
)

// textTime is the added condition of SDXL.
const textTime = "text_time"

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
	OnlyCrossAttention      []bool // the first attention of a transformer block looks at the text too
	UseLinearProjection     bool
	NormNumGroups           int
	NormEps                 float64
	Act                     device.Activation // of the residual blocks and the time embedding

	ConvInKernel, ConvOutKernel int // odd
	DownsamplePadding           int // 1, or 0 for one pixel at the right and the bottom only
	CenterInputSample           bool

	FlipSinToCos     bool
	FreqShift        float64
	TimeEmbeddingDim int
	// Activations of the time embedding besides its own, nil for none: at its end, and once for all residual blocks.
	TimePostAct, TimeAct *device.Activation

	// Of the added condition of SDXL ("text_time"), 0 for a network without: the widths of the sinusoid of one time id, and
	// of the pooled text and all sinusoids together.
	AdditionTimeEmbedDim, AdditionInputDim int
}

// perLevel reads a value that stands for all levels, or a list with one a level.
type perLevel[T any] struct {
	one  *T
	list []T
}

func (p *perLevel[T]) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, &p.one) == nil {
		return nil
	}
	return json.Unmarshal(b, &p.list)
}

func (p perLevel[T]) given() bool { return p.one != nil || p.list != nil }

// spread returns one value for each of n levels.
func (p perLevel[T]) spread(key string, n int, fallback T) ([]T, error) {
	if p.list != nil {
		if len(p.list) != n {
			return nil, &nn.ConfigError{Key: key, Value: p.list, Need: fmt.Sprintf("one value, or a list of %d as block_out_channels", n)}
		}
		return p.list, nil
	}
	if p.one != nil {
		fallback = *p.one
	}
	return slices.Repeat([]T{fallback}, n), nil
}

// unetFile is config.json.
type unetFile struct {
	InChannels         *int           `json:"in_channels"`
	OutChannels        *int           `json:"out_channels"`
	BlockOutChannels   []int          `json:"block_out_channels"`
	DownBlockTypes     []string       `json:"down_block_types"`
	UpBlockTypes       []string       `json:"up_block_types"`
	MidBlockType       *string        `json:"mid_block_type"`
	LayersPerBlock     perLevel[int]  `json:"layers_per_block"`
	AttentionHeadDim   perLevel[int]  `json:"attention_head_dim"`
	NumAttentionHeads  perLevel[int]  `json:"num_attention_heads"`
	TransformerLayers  perLevel[int]  `json:"transformer_layers_per_block"`
	CrossAttentionDim  perLevel[int]  `json:"cross_attention_dim"`
	OnlyCrossAttention perLevel[bool] `json:"only_cross_attention"`
	UseLinear          bool           `json:"use_linear_projection"`
	NormNumGroups      *int           `json:"norm_num_groups"`
	NormEps            *float64       `json:"norm_eps"`
	ActFn              *string        `json:"act_fn"`
	ConvInKernel       *int           `json:"conv_in_kernel"`
	ConvOutKernel      *int           `json:"conv_out_kernel"`
	DownsamplePadding  *int           `json:"downsample_padding"`
	CenterInputSample  bool           `json:"center_input_sample"`
	FlipSinToCos       *bool          `json:"flip_sin_to_cos"`
	FreqShift          float64        `json:"freq_shift"`
	TimeEmbeddingDim   *int           `json:"time_embedding_dim"`
	TimestepPostAct    *string        `json:"timestep_post_act"`
	TimeEmbeddingAct   *string        `json:"time_embedding_act_fn"`
	AdditionEmbedType  *string        `json:"addition_embed_type"`
	AdditionTimeDim    int            `json:"addition_time_embed_dim"`
	ProjectionInputDim int            `json:"projection_class_embeddings_input_dim"`
}

// ParseUNetConfig reads config.json. A value that this network cannot follow is a *nn.ConfigError naming key and value.
func ParseUNetConfig(data []byte) (UNetConfig, error) {
	var all map[string]any
	if err := json.Unmarshal(data, &all); err != nil {
		return UNetConfig{}, fmt.Errorf("unet config: %w", err)
	}
	if class, _ := all["_class_name"].(string); class != "" && class != "UNet2DConditionModel" {
		return UNetConfig{}, fmt.Errorf("unet config: class: need UNet2DConditionModel, have %q", class)
	}
	var f unetFile
	err := refuseUNetExtras(all)
	if err == nil {
		err = nn.ParseConfig(data, &f)
	}
	var c UNetConfig
	if err == nil {
		c, err = f.config(all)
	}
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return UNetConfig{}, fmt.Errorf("unet config: %w", err)
	}
	return c, nil
}

func (f *unetFile) config(all map[string]any) (c UNetConfig, err error) {
	n := len(f.BlockOutChannels)
	c = UNetConfig{
		InChannels: or(f.InChannels, 4), OutChannels: or(f.OutChannels, 4), BlockOutChannels: f.BlockOutChannels,
		DownBlockTypes: f.DownBlockTypes, UpBlockTypes: f.UpBlockTypes, MidBlockType: midCrossAttn, UseLinearProjection: f.UseLinear,
		NormNumGroups: or(f.NormNumGroups, 32), NormEps: or(f.NormEps, 1e-5),
		ConvInKernel: or(f.ConvInKernel, 3), ConvOutKernel: or(f.ConvOutKernel, 3), DownsamplePadding: or(f.DownsamplePadding, 1), CenterInputSample: f.CenterInputSample,
		FlipSinToCos: or(f.FlipSinToCos, true), FreqShift: f.FreqShift,
	}
	if _, given := all["mid_block_type"]; given {
		c.MidBlockType = or(f.MidBlockType, midNone)
	}
	if n > 0 {
		c.TimeEmbeddingDim = or(f.TimeEmbeddingDim, 4*c.BlockOutChannels[0])
	}
	if c.LayersPerBlock, err = f.LayersPerBlock.spread("layers_per_block", n, 2); err != nil {
		return c, err
	}
	if c.TransformerLayers, err = f.TransformerLayers.spread("transformer_layers_per_block", n, 1); err != nil {
		return c, err
	}
	if c.OnlyCrossAttention, err = f.OnlyCrossAttention.spread("only_cross_attention", n, false); err != nil {
		return c, err
	}
	// attention_head_dim is the number of heads in every published config, a misnomer that stayed; num_attention_heads wins.
	heads, key := f.NumAttentionHeads, "num_attention_heads"
	if !heads.given() {
		heads, key = f.AttentionHeadDim, "attention_head_dim"
	}
	if c.Heads, err = heads.spread(key, n, 8); err != nil {
		return c, err
	}
	widths, err := f.CrossAttentionDim.spread("cross_attention_dim", n, 1280)
	if err != nil {
		return c, err
	}
	for _, w := range widths {
		if c.CrossAttentionDim = w; w != widths[0] {
			return c, &nn.ConfigError{Key: "cross_attention_dim", Value: widths, Need: "one width: every level sees the same text"}
		}
	}
	if err := f.addition(&c); err != nil {
		return c, err
	}
	return c, f.activations(&c)
}

func (f *unetFile) addition(c *UNetConfig) error {
	if f.AdditionEmbedType == nil {
		return nil
	}
	if *f.AdditionEmbedType != textTime {
		return &nn.ConfigError{Key: "addition_embed_type", Value: *f.AdditionEmbedType, Need: "null, or " + textTime + " as in SDXL"}
	}
	if d := f.AdditionTimeDim; d < 1 || d > 1<<16 {
		return &nn.ConfigError{Key: "addition_time_embed_dim", Value: d, Need: "1 to 65536"}
	}
	if d := f.ProjectionInputDim; d <= f.AdditionTimeDim || d > 1<<20 {
		return &nn.ConfigError{Key: "projection_class_embeddings_input_dim", Value: d, Need: fmt.Sprintf("room for a pooled text beside sinusoids of %d, up to 1048576", f.AdditionTimeDim)}
	}
	c.AdditionTimeEmbedDim, c.AdditionInputDim = f.AdditionTimeDim, f.ProjectionInputDim
	return nil
}

// RefuseAddition refuses a network that needs an added condition, for callers that have none to give.
func (c UNetConfig) RefuseAddition() error {
	if c.AdditionInputDim == 0 {
		return nil
	}
	return &nn.ConfigError{Key: "addition_embed_type", Value: textTime, Need: "null, as in SD1.x and SD2.x"}
}

func (f *unetFile) activations(c *UNetConfig) (err error) {
	if c.Act, err = nn.ParseActivation("act_fn", or(f.ActFn, "silu")); err != nil {
		return err
	}
	for _, a := range []struct {
		key  string
		name *string
		dst  **device.Activation
	}{{"timestep_post_act", f.TimestepPostAct, &c.TimePostAct}, {"time_embedding_act_fn", f.TimeEmbeddingAct, &c.TimeAct}} {
		if a.name != nil {
			act, err := nn.ParseActivation(a.key, *a.name)
			if err != nil {
				return err
			}
			*a.dst = &act
		}
	}
	return nil
}

func or[T any](p *T, d T) T {
	if p == nil {
		return d
	}
	return *p
}

// refuseUNetExtras finds parts of the class that no checkpoint of SD1.x, SD2.x or SDXL has and that would change the result. What
// only blocks of other types look at (resnet_out_scale_factor, resnet_skip_time_act, cross_attention_norm,
// mid_block_only_cross_attention) changes nothing here.
func refuseUNetExtras(all map[string]any) error {
	for _, key := range []string{"class_embed_type", "num_class_embeds", "encoder_hid_dim_type", "time_cond_proj_dim", "reverse_transformer_layers_per_block"} {
		if v := all[key]; v != nil {
			return &nn.ConfigError{Key: key, Value: v, Need: "null, as in SD1.x, SD2.x and SDXL"}
		}
	}
	for key, want := range map[string]any{
		"dual_cross_attention": false, "resnet_time_scale_shift": "default", "time_embedding_type": "positional", "mid_block_scale_factor": 1.0,
		"class_embeddings_concat": false, "attention_type": "default",
	} {
		if v, ok := all[key]; ok && v != nil && v != want {
			return &nn.ConfigError{Key: key, Value: v, Need: fmt.Sprint(want)}
		}
	}
	if v, given := all["norm_num_groups"]; given && v == nil {
		return &nn.ConfigError{Key: "norm_num_groups", Need: "a number"}
	}
	return nil
}

func (c UNetConfig) check() error {
	n := len(c.BlockOutChannels)
	if n == 0 || n > 16 || len(c.DownBlockTypes) != n || len(c.UpBlockTypes) != n {
		return fmt.Errorf("need 1 to 16 levels with a down and an up block each, have block_out_channels %v, down_block_types %v, up_block_types %v",
			c.BlockOutChannels, c.DownBlockTypes, c.UpBlockTypes)
	}
	for i, ch := range c.BlockOutChannels {
		if ch <= 0 || ch > 1<<16 || c.NormNumGroups <= 0 || ch%c.NormNumGroups != 0 {
			return &nn.ConfigError{Key: "block_out_channels", Value: c.BlockOutChannels, Need: fmt.Sprintf("multiples of %d groups up to 65536", c.NormNumGroups)}
		}
		attends := c.DownBlockTypes[i] == crossAttnDown || c.UpBlockTypes[n-1-i] == crossAttnUp || i == n-1 && c.MidBlockType == midCrossAttn
		if attends && (c.Heads[i] <= 0 || ch%c.Heads[i] != 0) {
			return &nn.ConfigError{Key: "attention_head_dim", Value: c.Heads, Need: fmt.Sprintf("heads that divide the channels %v", c.BlockOutChannels)}
		}
		if c.LayersPerBlock[i] <= 0 || c.LayersPerBlock[i] > 64 {
			return &nn.ConfigError{Key: "layers_per_block", Value: c.LayersPerBlock, Need: "1 to 64"}
		}
		if c.TransformerLayers[i] < 0 || c.TransformerLayers[i] > 256 {
			return &nn.ConfigError{Key: "transformer_layers_per_block", Value: c.TransformerLayers, Need: "0 to 256"}
		}
		if t := c.DownBlockTypes[i]; t != crossAttnDown && t != plainDown {
			return &nn.ConfigError{Key: fmt.Sprintf("down_block_types[%d]", i), Value: t, Need: crossAttnDown + " or " + plainDown}
		}
		if t := c.UpBlockTypes[i]; t != crossAttnUp && t != plainUp {
			return &nn.ConfigError{Key: fmt.Sprintf("up_block_types[%d]", i), Value: t, Need: crossAttnUp + " or " + plainUp}
		}
	}
	if t := c.MidBlockType; t != midCrossAttn && t != midPlain && t != midNone {
		return &nn.ConfigError{Key: "mid_block_type", Value: t, Need: midCrossAttn + ", " + midPlain + " or null"}
	}
	for _, r := range []struct {
		key           string
		value, lo, hi int
	}{
		{"in_channels", c.InChannels, 1, 1 << 16},
		{"out_channels", c.OutChannels, 1, 1 << 16},
		{"cross_attention_dim", c.CrossAttentionDim, 1, 1 << 16},
		{"conv_in_kernel", c.ConvInKernel, 1, 31},
		{"conv_out_kernel", c.ConvOutKernel, 1, 31},
		{"downsample_padding", c.DownsamplePadding, 0, 1},
		{"time_embedding_dim", c.TimeEmbeddingDim, 1, 1 << 20},
	} {
		if r.value < r.lo || r.value > r.hi {
			return &nn.ConfigError{Key: r.key, Value: r.value, Need: fmt.Sprintf("%d to %d", r.lo, r.hi)}
		}
		if strings.HasSuffix(r.key, "kernel") && r.value%2 == 0 {
			return &nn.ConfigError{Key: r.key, Value: r.value, Need: "an odd number, which keeps the size"}
		}
	}
	return nil
}

func trimDot(s string) string { return strings.TrimSuffix(s, ".") }
