package diffusion

import (
	"encoding/json"
	"fmt"
	"math"
)

// FluxConfig is what config.json says of a FluxTransformer2DModel.
type FluxConfig struct {
	InChannels, OutChannels int // of a token, before the patch size
	PatchSize               int // a token of the result has PatchSize²·OutChannels values
	NumLayers               int // double blocks
	NumSingleLayers         int
	HeadDim, Heads          int
	JointAttentionDim       int // width of the text encoder's tokens
	PooledProjectionDim     int
	GuidanceEmbeds          bool
	AxesDims                []int // of a head's channels, those that turn by each coordinate of a token
}

// ConfigError is a value of config.json that a network cannot have.
type ConfigError struct {
	Class, Key string
	Value      any
	Need       string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("%s config: %s = %v, need %s (take config.json from the same download as the weights)", e.Class, e.Key, e.Value, e.Need)
}

// Explain takes the error apart.
func (e *ConfigError) Explain() (what, need, have, hint string) {
	return e.Class + " config: " + e.Key, e.Need, fmt.Sprint(e.Value), "take config.json from the same download as the weights"
}

const fluxClass = "FluxTransformer2DModel"

// ParseFluxConfig reads config.json. What the file leaves out is as in FLUX.1-schnell, the class's default.
func ParseFluxConfig(data []byte) (FluxConfig, error) {
	c := FluxConfig{
		PatchSize: 1, InChannels: 64, NumLayers: 19, NumSingleLayers: 38, HeadDim: 128, Heads: 24,
		JointAttentionDim: 4096, PooledProjectionDim: 768, AxesDims: []int{16, 56, 56},
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(data, &keys); err != nil {
		return c, fmt.Errorf("%s config: %w", fluxClass, err)
	}
	class := fluxClass
	for _, f := range []struct {
		key  string
		to   any
		need string
	}{
		{"_class_name", &class, "a name"},
		{"patch_size", &c.PatchSize, "a whole number"},
		{"in_channels", &c.InChannels, "a whole number"},
		{"out_channels", &c.OutChannels, "a whole number or null"},
		{"num_layers", &c.NumLayers, "a whole number"},
		{"num_single_layers", &c.NumSingleLayers, "a whole number"},
		{"attention_head_dim", &c.HeadDim, "a whole number"},
		{"num_attention_heads", &c.Heads, "a whole number"},
		{"joint_attention_dim", &c.JointAttentionDim, "a whole number"},
		{"pooled_projection_dim", &c.PooledProjectionDim, "a whole number"},
		{"guidance_embeds", &c.GuidanceEmbeds, "true or false"},
		{"axes_dims_rope", &c.AxesDims, "a list of whole numbers"},
	} {
		raw, ok := keys[f.key]
		if !ok || string(raw) == "null" {
			continue
		}
		if err := json.Unmarshal(raw, f.to); err != nil {
			return c, &ConfigError{fluxClass, f.key, string(raw), f.need}
		}
	}
	if class != fluxClass {
		return c, &ConfigError{fluxClass, "_class_name", class, fluxClass}
	}
	if raw, ok := keys["out_channels"]; !ok || string(raw) == "null" {
		c.OutChannels = c.InChannels
	}
	return c, c.check()
}

// Width is the number of channels of a token inside the network.
func (c FluxConfig) Width() int { return c.Heads * c.HeadDim }

func (c FluxConfig) check() error {
	for _, v := range []struct {
		key            string
		value, lo, top int
	}{
		{"patch_size", c.PatchSize, 1, 64},
		{"in_channels", c.InChannels, 1, 1 << 16},
		{"out_channels", c.OutChannels, 1, 1 << 16},
		{"num_layers", c.NumLayers, 0, 1 << 10},
		{"num_single_layers", c.NumSingleLayers, 0, 1 << 10},
		{"attention_head_dim", c.HeadDim, 2, 1 << 12},
		{"num_attention_heads", c.Heads, 1, 1 << 10},
		{"joint_attention_dim", c.JointAttentionDim, 1, 1 << 20},
		{"pooled_projection_dim", c.PooledProjectionDim, 1, 1 << 20},
	} {
		if v.value < v.lo || v.value > v.top {
			return &ConfigError{fluxClass, v.key, v.value, fmt.Sprintf("%d to %d", v.lo, v.top)}
		}
	}
	if c.Width() > 1<<16 {
		return &ConfigError{fluxClass, "num_attention_heads", c.Heads, fmt.Sprintf("a width of %d or less with heads of %d", 1<<16, c.HeadDim)}
	}
	sum := 0
	for _, d := range c.AxesDims {
		if d < 2 || d%2 != 0 || d > c.HeadDim {
			return &ConfigError{fluxClass, "axes_dims_rope", c.AxesDims, "even sizes"}
		}
		sum += d
	}
	if sum != c.HeadDim {
		return &ConfigError{fluxClass, "axes_dims_rope", c.AxesDims, fmt.Sprintf("sizes that add up to attention_head_dim, %d", c.HeadDim)}
	}
	return nil
}

// RotaryTable appends to dst a row of 2·HeadDim values for each token: the cosine of each pair of a head's channels twice,
// then its sine, first negative. A token has one coordinate an axis: ids is [tokens, axes], text 0, 0, 0 and the picture
// 0, row, column. The angle of pair i of an axis of d channels is id·10000^(-2i/d), in float64 (families.md 5).
func (c FluxConfig) RotaryTable(dst, ids []float32) ([]float32, error) {
	axes := len(c.AxesDims)
	if len(ids)%axes != 0 {
		return nil, fmt.Errorf("flux: need %d coordinates a token, have %d values", axes, len(ids))
	}
	for ; len(ids) > 0; ids = ids[axes:] {
		at := len(dst)
		dst = append(dst, make([]float32, 2*c.HeadDim)...)
		cos, sin := dst[at:at+c.HeadDim], dst[at+c.HeadDim:]
		for a, d := range c.AxesDims {
			for i := 0; i < d; i += 2 {
				s, k := math.Sincos(float64(ids[a]) * math.Pow(10000, -float64(i)/float64(d)))
				cos[i], cos[i+1], sin[i], sin[i+1] = float32(k), float32(k), -float32(s), float32(s)
			}
			cos, sin = cos[d:], sin[d:]
		}
	}
	return dst, nil
}
