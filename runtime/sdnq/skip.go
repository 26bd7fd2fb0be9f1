package sdnq

import (
	"slices"
	"strings"
)

// commonSkips are left unquantized in models of a class that has no list of its own (3.4).
var commonSkips = strings.Fields(`.time_embed .context_embedder .condition_embedder .x_embedder .t_embedder .y_embedder .proj_in .emb_in
	.txt_in .img_in .vid_in .proj_out .norm_out .emb_out .txt_out .img_out .vid_out .final_layer multi_modal_projector time_text_embed
	patch_embedding patch_embed patch_emb lm_head wte`)

// classSkips are left unquantized in models of the class (3.4), instead of the common ones.
var classSkips = map[string]string{
	"FluxTransformer2DModel":           "single_transformer_blocks.0.norm.linear.weight time_text_embed time_embed context_embedder x_embedder .proj_out norm_out",
	"LongCatImageTransformer2DModel":   "single_transformer_blocks.0.norm.linear.weight time_text_embed time_embed context_embedder x_embedder .proj_out norm_out",
	"Flux2Transformer2DModel":          "double_stream_modulation_img double_stream_modulation_txt single_stream_modulation time_guidance_embed context_embedder x_embedder .proj_out norm_out",
	"ChromaTransformer2DModel":         "distilled_guidance_layer time_text_embed context_embedder x_embedder .proj_out norm_out",
	"QwenImageTransformer2DModel":      "transformer_blocks.0.img_mod.1.weight time_text_embed txt_in img_in proj_out norm_out",
	"WanTransformer3DModel":            "scale_shift_table patch_embedding condition_embedder proj_out norm_out",
	"ChronoEditTransformer3DModel":     "scale_shift_table patch_embedding condition_embedder proj_out norm_out",
	"LongCatVideoTransformer3DModel":   "blocks.0.adaLN_modulation.1.weight x_embedder t_embedder y_embedder final_layer",
	"LTX2VideoTransformer3DModel":      "audio_time_embed time_embed audio_caption_projection caption_projection proj_in audio_proj_in proj_out audio_proj_out av_cross_attn_audio_scale_shift av_cross_attn_audio_v2a_gate av_cross_attn_video_a2v_gate av_cross_attn_video_scale_shift",
	"Lumina2Transformer2DModel":        "layers.0.norm1.linear.weight time_caption_embed x_embedder norm_out",
	"ZImageTransformer2DModel":         "layers.0.adaLN_modulation.0.weight t_embedder cap_embedder siglip_embedder all_x_embedder all_final_layer",
	"Ideogram4Transformer2DModel":      "layers.0.adaln_modulation.weight input_proj llm_cond_proj llm_cond_norm final_layer t_embedding adaln_proj embed_image_indicator",
	"CosmosTransformer3DModel":         "transformer_blocks.0.norm* patch_embed time_embed norm_out proj_out crossattn_proj",
	"GlmImageTransformer2DModel":       "transformer_blocks.0.norm1.linear.weight image_projector glyph_projector prior_projector time_condition_embed norm_out proj_out",
	"GlmImageForConditionalGeneration": "lm_head patch_embed embeddings embed_tokens vqmodel",
	"HunyuanImage3ForCausalMM":         "lm_head patch_embed time_embed time_embed_2 final_layer wte ln_f timestep_emb vae vision_aligner head post_layernorm embeddings",
	"Emu3ForCausalLM":                  "lm_head vq_model tokenizer",
	"Gemma3nForCausalLM":               "lm_head correction_coefs prediction_coefs embedding_projection",
	"Gemma3nForConditionalGeneration":  "lm_head correction_coefs prediction_coefs embedding_projection",
	"Gemma4ForConditionalGeneration":   "lm_head embed_audio embed_vision patch_embedder embed_tokens subsample_conv_projection output_proj",
	"MoondreamModel":                   "lm_head region wte post_ln proj_mlp patch_emb pos_emb",
	"HfMoondream":                      "lm_head region wte post_ln proj_mlp patch_emb pos_emb",
	"NaDiT":                            ".emb_in .txt_in .vid_in .emb_scale .vid_out .vid_out_norm .vid_out_ada",
	"NaDiTUpscaler":                    ".emb_in .txt_in .vid_in .emb_scale .vid_out .vid_out_norm .vid_out_ada",
	"HiDreamO1Qwen3VLTransformer":      "lm_head embed_tokens x_embedder t_embedder1 final_layer2 patch_embed pos_embed",
}

// extraSkips are what classes without a list of their own add to the common ones: diffusers' "skip layerwise casting"
// patterns (3.4), and transformers' modules kept in float32 and tied weights.
var extraSkips = map[string]string{
	"UNet2DConditionModel":  "norm",
	"SD3Transformer2DModel": "pos_embed norm",
	"T5EncoderModel":        "wo shared.weight encoder.embed_tokens.weight",
	"UMT5EncoderModel":      "wo shared.weight encoder.embed_tokens.weight",
}

// skips are the patterns that add_skip_keys adds for a model's class.
func skips(class string) []string {
	if own, ok := classSkips[class]; ok {
		return strings.Fields(own)
	}
	return slices.Concat(commonSkips, strings.Fields(extraSkips[class]))
}

// KindOf guesses what layer a weight of that name and shape belongs to: torch's files hold names and shapes alone. Tables of
// tokens and positions are known by their customary names. Transposed convolutions cannot be told from others; no supported
// family has one.
func KindOf(name string, shape []int) Kind {
	if len(shape) > 2 {
		return Conv
	}
	module := strings.TrimSuffix(name, ".weight")
	last := module[strings.LastIndexByte(module, '.')+1:]
	switch {
	case strings.HasSuffix(last, "embedding"), strings.HasSuffix(last, "embeddings"), strings.HasPrefix(last, "embed_"),
		slices.Contains([]string{"shared", "wte", "wpe", "relative_attention_bias"}, last):
		return Embedding
	}
	return Linear
}
