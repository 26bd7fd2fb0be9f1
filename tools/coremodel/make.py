"""Writes runtime/loader/testdata/core: a whole SD1.x model of a few thousand random weights in the diffusers layout, and
what diffusers and transformers compute with it in float32, so that a lone clone holds the family to them.

    pip install torch diffusers transformers safetensors
    python make.py MERGES.txt        # CLIP's merges list; the first 80 merges are kept

Run by hand, never by users or CI. Made with torch 2.15, diffusers 0.42, transformers 5.23.
"""
import json
import os
import sys

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

OUT = os.path.join(os.path.dirname(__file__), "../../runtime/loader/testdata/core")


def tokenizer(merges_file, n=80):
    """CLIP's byte alphabet, its variants that end a word, and the first n merges."""
    merges = open(merges_file, encoding="utf8").read().split("\n")[1:n + 1]
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = [chr(b) for b in visible] + [chr(256 + i) for i in range(256 - len(visible))]
    words = alphabet + [c + "</w>" for c in alphabet] + ["".join(m.split()) for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    os.makedirs(f"{OUT}/tokenizer", exist_ok=True)
    json.dump({w: i for i, w in enumerate(words)}, open(f"{OUT}/tokenizer/vocab.json", "w"), ensure_ascii=False)
    open(f"{OUT}/tokenizer/merges.txt", "w", encoding="utf8").write("#version: 0.2\n" + "\n".join(merges) + "\n")
    return len(words)


def randomize(model):
    """Weights at which no value vanishes: norms near 1, biases not 0."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                p.copy_(torch.randn_like(p) * 0.2 + (1.0 if "norm" in name and name.endswith("weight") else 0.0))
            else:
                p.copy_(torch.randn_like(p) / p[0].numel() ** 0.5)
    return model.half().float().eval()  # values that float16 files hold exactly


def main():
    torch.manual_seed(1)
    vocab = tokenizer(sys.argv[1])
    text = randomize(CLIPTextModel(CLIPTextConfig(vocab_size=vocab, hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
                                                  hidden_act="quick_gelu", bos_token_id=vocab - 2, eos_token_id=vocab - 1, pad_token_id=vocab - 1, projection_dim=8)))
    unet = randomize(UNet2DConditionModel(sample_size=8, layers_per_block=1, block_out_channels=(8, 12), norm_num_groups=4, cross_attention_dim=8, attention_head_dim=2,
                                          down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D")))
    vae = randomize(AutoencoderKL(block_out_channels=(4, 8), norm_num_groups=4, down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2))
    for part, model in {"text_encoder": text, "unet": unet, "vae": vae}.items():
        model.half().save_pretrained(f"{OUT}/{part}")
        model.float()
    DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction").save_pretrained(f"{OUT}/scheduler")
    json.dump({"_class_name": "StableDiffusionPipeline"}, open(f"{OUT}/model_index.json", "w"))

    ids = torch.full((1, 77), vocab - 1)
    ids[0, 0], ids[0, 1:9] = vocab - 2, torch.randint(0, vocab - 2, (8,))
    x, image, latent = torch.randn(2, 4, 7, 10), torch.rand(1, 3, 10, 12), torch.randn(1, 4, 5, 3)
    with torch.no_grad():
        states = text(ids, output_hidden_states=True)
        context = states.last_hidden_state.repeat(2, 1, 1)
        out = {
            "ids": ids, "text": states.last_hidden_state, "sample": x, "unet": unet(x, torch.tensor([981.0, 20.5]), context).sample,
            "image": image, "mean": vae.encode(image * 2 - 1).latent_dist.mean, "latent": latent, "decoded": vae.decode(latent).sample,
        }
    save_file({k: v.contiguous().clone() for k, v in out.items()}, f"{OUT}/expected.safetensors")


main()
