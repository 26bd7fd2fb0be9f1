"""Writes runtime/diffusion/testdata: UNets of a few thousand random weights whose configs turn what SD1.x's leaves as it
is, and what diffusers computes with them in float32.

    pip install torch diffusers safetensors
    python unets.py

Run by hand, never by users or CI. Made with torch 2.15, diffusers 0.42.
"""
import os

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file

OUT = os.path.join(os.path.dirname(__file__), "../../runtime/diffusion/testdata")

CROSS, PLAIN = ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D"), ("DownBlock2D", "UpBlock2D")
COMMON = dict(sample_size=(5, 7), block_out_channels=(4, 8), norm_num_groups=2, cross_attention_dim=4, layers_per_block=[1, 2], attention_head_dim=[1, 4])
CONFIGS = {
    # the middle keeps its self attention
    "only-cross": dict(down_block_types=(CROSS[0], CROSS[0]), up_block_types=(PLAIN[1], CROSS[1]), only_cross_attention=[True, False], cross_attention_dim=[4, 4],
                       center_input_sample=True, conv_in_kernel=1, in_channels=5, flip_sin_to_cos=False, freq_shift=1),
    "no-middle": dict(down_block_types=(PLAIN[0], CROSS[0]), up_block_types=(CROSS[1], PLAIN[1]), mid_block_type=None, act_fn="gelu", downsample_padding=0, conv_in_kernel=5,
                      conv_out_kernel=1, time_embedding_dim=10, timestep_post_act="silu", time_embedding_act_fn="gelu", use_linear_projection=True, upcast_attention=True,
                      out_channels=6),
    # SDXL's kind; the added condition's own activation stays silu
    "text-time": dict(down_block_types=(PLAIN[0], CROSS[0]), up_block_types=(CROSS[1], PLAIN[1]), transformer_layers_per_block=[1, 2], use_linear_projection=True,
                      addition_embed_type="text_time", addition_time_embed_dim=6, projection_class_embeddings_input_dim=3 + 5 * 6, act_fn="gelu", time_embedding_act_fn="silu",
                      freq_shift=1, flip_sin_to_cos=False),
}


def main():
    for seed, (name, config) in enumerate(CONFIGS.items()):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(**{**COMMON, **config}).eval()
        with torch.no_grad():
            for key, p in unet.named_parameters():
                if p.dim() == 1:
                    p.copy_(torch.randn_like(p) * 0.2 + (1.0 if "norm" in key and key.endswith("weight") else 0.0))
                else:
                    p.copy_(torch.randn_like(p) / p[0].numel() ** 0.5)
        unet.half().save_pretrained(f"{OUT}/{name}")
        unet.float()
        x, context, t = torch.randn(2, unet.config.in_channels, 5, 7), torch.randn(2, 3, 4), torch.tensor([981.0, 20.5])
        added = {}
        if unet.config.addition_embed_type:
            added = {"text_embeds": torch.randn(2, 3), "time_ids": torch.tensor([[1024.0, 768, 0, 16, 1024], [64, 48, 8, 0, 56.5]])}
        with torch.no_grad():
            y = unet(x, t, context, added_cond_kwargs=added).sample
        save_file({"sample": x, "context": context, "timestep": t, "out": y.contiguous(), **added}, f"{OUT}/{name}/expected.safetensors")


main()
