package diffusion

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"graphrun/internal/golden"
	"graphrun/runtime/nn"
)

// TestConfigs holds networks whose configs turn what SD1.x's leaves as it is to diffusers: tools/coremodel/unets.py.
func TestConfigs(t *testing.T) {
	for _, name := range []string{"only-cross", "no-middle", "text-time"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("testdata", name)
			want := golden.Tensors(t, filepath.Join(dir, "expected.safetensors"))
			u := openUNet(t, dir)
			p := newFluxPass(t, true)
			x, ctxt := want["sample"], want["context"]
			y := u.Forward(p, p.Upload(x.F32(), true, x.Shape...), want["timestep"].F32(), p.Upload(ctxt.F32(), false, ctxt.Shape...), addition(p, want["text_embeds"], want["time_ids"]))
			out := p.Download(y, true)
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			golden.Close(t, name, out, want["out"].F32(), 2e-5, 0)
		})
	}
}

// What a config may say and this network does not do is refused by key and value, never passed over.
func TestConfigRefusals(t *testing.T) {
	raw, err := os.ReadFile("testdata/text-time/config.json")
	if err != nil {
		t.Fatal(err)
	}
	var base map[string]any
	if err := json.Unmarshal(raw, &base); err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]any{
		"act_fn": "mish", "attention_type": "gated", "encoder_hid_dim_type": "text_proj", "mid_block_scale_factor": 2, "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
		"resnet_time_scale_shift": "scale_shift", "reverse_transformer_layers_per_block": []int{1, 1}, "time_embedding_type": "fourier", "dual_cross_attention": true,
		"class_embed_type": "timestep", "num_class_embeds": 10, "addition_embed_type": "text", "addition_time_embed_dim": nil, "projection_class_embeddings_input_dim": 6, "time_cond_proj_dim": 4, "class_embeddings_concat": true,
		"layers_per_block": []int{1}, "attention_head_dim": []int{1, 3}, "only_cross_attention": []bool{true}, "transformer_layers_per_block": []any{1, []int{1, 2}},
		"cross_attention_dim": []int{4, 8}, "conv_in_kernel": 2, "conv_out_kernel": -1, "downsample_padding": 2, "norm_num_groups": nil, "timestep_post_act": "relu",
		"time_embedding_act_fn": "x", "time_embedding_dim": 0, "in_channels": "4", "block_out_channels": []int{4, 7},
	} {
		config := maps.Clone(base)
		config[key] = value
		raw, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		_, err = ParseUNetConfig(raw)
		var refused *nn.ConfigError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), key) {
			t.Errorf("%s = %v: %v", key, value, err)
		}
	}
}
