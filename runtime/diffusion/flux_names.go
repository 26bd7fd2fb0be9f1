package diffusion

import (
	"strconv"
	"strings"

	"graphrun/runtime/weights"
)

// fluxStems turns modules of the original layout into diffusers' (families.md 5). A module with several names holds their
// rows, one after the other.
var fluxStems = map[string][]string{
	"img_in": {"x_embedder"}, "txt_in": {"context_embedder"},
	"time_in.in_layer": {"time_text_embed.timestep_embedder.linear_1"}, "time_in.out_layer": {"time_text_embed.timestep_embedder.linear_2"},
	"guidance_in.in_layer": {"time_text_embed.guidance_embedder.linear_1"}, "guidance_in.out_layer": {"time_text_embed.guidance_embedder.linear_2"},
	"vector_in.in_layer": {"time_text_embed.text_embedder.linear_1"}, "vector_in.out_layer": {"time_text_embed.text_embedder.linear_2"},
	"final_layer.linear": {"proj_out"}, "final_layer.adaLN_modulation.1": {shiftFirst},

	"double_blocks.img_mod.lin": {"norm1.linear"}, "double_blocks.txt_mod.lin": {"norm1_context.linear"},
	"double_blocks.img_attn.qkv": {"attn.to_q", "attn.to_k", "attn.to_v"}, "double_blocks.txt_attn.qkv": {"attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"},
	"double_blocks.img_attn.proj": {"attn.to_out.0"}, "double_blocks.txt_attn.proj": {"attn.to_add_out"},
	"double_blocks.img_attn.norm.query_norm": {"attn.norm_q"}, "double_blocks.img_attn.norm.key_norm": {"attn.norm_k"},
	"double_blocks.txt_attn.norm.query_norm": {"attn.norm_added_q"}, "double_blocks.txt_attn.norm.key_norm": {"attn.norm_added_k"},
	"double_blocks.img_mlp.0": {"ff.net.0.proj"}, "double_blocks.img_mlp.2": {"ff.net.2"},
	"double_blocks.txt_mlp.0": {"ff_context.net.0.proj"}, "double_blocks.txt_mlp.2": {"ff_context.net.2"},

	"single_blocks.modulation.lin": {"norm.linear"}, "single_blocks.linear1": {"attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"},
	"single_blocks.linear2": {"proj_out"}, "single_blocks.norm.query_norm": {"attn.norm_q"}, "single_blocks.norm.key_norm": {"attn.norm_k"},
}

var fluxBlocks = map[string]string{"double": "transformer_blocks.", "single": "single_transformer_blocks."}

// shiftFirst is the last modulation as the original has it: shift, then scale; diffusers' norm_out.linear has them the
// other way round.
const shiftFirst = "norm_out.shift_scale"

// OriginalFluxNames returns the function that cuts the tensors of the original layout (double_blocks, single_blocks),
// without prefix, into diffusers', for weights.Store.Split.
func OriginalFluxNames(c FluxConfig) func(weights.Tensor) []weights.Part {
	return func(t weights.Tensor) []weights.Part {
		dot := strings.LastIndexByte(t.Name, '.')
		if dot < 0 || len(t.Shape) == 0 {
			return nil
		}
		module, leaf := t.Name[:dot], t.Name[dot+1:]
		block, prefix := "", ""
		if original, rest, ok := strings.Cut(module, "_blocks."); ok {
			number, inside, _ := strings.Cut(rest, ".")
			block, prefix, module = original+"_blocks.", fluxBlocks[original]+number+".", inside
		}
		if leaf == "scale" && strings.HasSuffix(module, "_norm") {
			leaf = "weight"
		}
		names, width := fluxStems[block+module], c.Width()
		var parts []weights.Part
		for i, n := range names {
			rows := width
			if i == len(names)-1 {
				rows = t.Shape[0] - i*width
			}
			parts = append(parts, weights.Part{Name: prefix + n + "." + leaf, Rows: rows})
		}
		return parts
	}
}

// DetectFlux reads the config of an original-layout checkpoint without prefix from its shapes. They tell all but the axes
// of the rotary embedding, which are FLUX.1's.
func DetectFlux(s *weights.Store) (FluxConfig, error) {
	c := FluxConfig{
		PatchSize: 1, InChannels: s.Dim("img_in.weight", 1), OutChannels: s.Dim("final_layer.linear.weight", 0),
		HeadDim:           s.Dim("double_blocks.0.img_attn.norm.key_norm.scale", 0),
		JointAttentionDim: s.Dim("txt_in.weight", 1), PooledProjectionDim: s.Dim("vector_in.in_layer.weight", 1), AxesDims: []int{16, 56, 56},
	}
	if c.HeadDim > 0 {
		c.Heads = s.Dim("img_in.weight", 0) / c.HeadDim
	}
	_, c.GuidanceEmbeds = s.Lookup("guidance_in.in_layer.weight")
	count := func(before, after string) (n int) {
		for s.Dim(before+strconv.Itoa(n)+after, 0) > 0 {
			n++
		}
		return n
	}
	c.NumLayers = count("double_blocks.", ".img_mod.lin.weight")
	c.NumSingleLayers = count("single_blocks.", ".modulation.lin.weight")
	return c, c.check()
}
