"""Train the UNet and the text encoder together on the latents of every emoji on every background.

    DEMOWORK=... python train_unet.py SECONDS [BATCH]

v-prediction, one cosine over SECONDS of wall-clock time, EMA; a checkpoint every five
minutes, from which a restart goes on. Writes out/{unet,text_encoder,scheduler} and
out/model_index.json, with the EMA weights, at each checkpoint and at the end.
"""

import json
import os
import random
import sys
import time

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from data import BACKGROUNDS, COLORS, LATENT, NAMES, P_WHITE, caption, compose, load_rgba, work
from muon import Muon

TEXT_WIDTH = 128
WIDTHS = (80, 128, 160)
LR = 1e-3
EMA = 0.998


def build_tokenizer():
    return CLIPTokenizer.from_pretrained(work("out", "tokenizer"))


def build_text(tok):
    ids = {"bos_token_id": tok.bos_token_id, "eos_token_id": tok.eos_token_id, "pad_token_id": tok.pad_token_id}
    return CLIPTextModel(CLIPTextConfig(
        vocab_size=len(tok), hidden_size=TEXT_WIDTH, intermediate_size=4 * TEXT_WIDTH, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=77, hidden_act="quick_gelu",
        projection_dim=TEXT_WIDTH, **ids))


def build_unet():
    return UNet2DConditionModel(
        sample_size=LATENT, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=WIDTHS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH, attention_head_dim=4, norm_num_groups=16)


def build_scheduler():
    return DDIMScheduler(
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        clip_sample=False, set_alpha_to_one=False, steps_offset=1, prediction_type="v_prediction")


def tokens(tok, texts):
    return tok(texts, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids


def save(unet, text):
    unet.save_pretrained(work("out", "unet"))
    text.save_pretrained(work("out", "text_encoder"))
    build_scheduler().save_pretrained(work("out", "scheduler"))
    index = {
        "_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.42.1",
        "feature_extractor": [None, None], "image_encoder": [None, None],
        "requires_safety_checker": False, "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"], "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"]}
    with open(work("out", "model_index.json"), "w") as f:
        json.dump(index, f, indent=2)


@torch.no_grad()
def latents():
    """[emoji, background, 4, LATENT, LATENT], scaled as the UNet sees them."""
    vae = AutoencoderKL.from_pretrained(work("out", "vae")).eval()
    M = []
    for a in load_rgba():
        x = np.stack([compose(a, BACKGROUNDS[c]) for c in COLORS])
        x = torch.from_numpy(x).permute(0, 3, 1, 2) * 2 - 1
        M.append(vae.encode(x).latent_dist.mode())
    return torch.stack(M) * vae.config.scaling_factor


class Averages:
    """The parameters' exponential moving average."""

    def __init__(self, params):
        self.params = params
        self.mean = [p.detach().clone() for p in params]

    def update(self, it):
        d = min(EMA, (1 + it) / (10 + it))
        torch._foreach_mul_(self.mean, d)
        torch._foreach_add_(self.mean, [p.detach() for p in self.params], alpha=1 - d)

    def swap(self):
        for p, m in zip(self.params, self.mean):
            t = p.data.clone()
            p.data.copy_(m)
            m.copy_(t)


def main():
    torch.set_num_threads(2)
    seconds, B = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 48
    tok = build_tokenizer()
    text, unet = build_text(tok), build_unet().to(memory_format=torch.channels_last)
    print(*(f"{sum(p.numel() for p in m.parameters()) / 1e6:.2f} M" for m in (unet, text)), flush=True)
    if seconds == 0:  # untrained, for whoever needs the layout early
        return save(unet, text)
    Z = latents()
    print("latents", tuple(Z.shape), "std", Z.std().item(), flush=True)
    ac = build_scheduler().alphas_cumprod
    params = list(unet.parameters()) + list(text.parameters())
    named = [*unet.named_parameters("unet"), *text.named_parameters("text")]
    opt = Muon(named, LR, plain=("conv_in", "conv_out", "embeddings"))
    ema = Averages(params)
    spent, it, ck = 0.0, 0, work("unet.ckpt")
    if os.path.exists(ck):
        s = torch.load(ck)
        unet.load_state_dict(s["unet"]), text.load_state_dict(s["text"]), opt.load_state_dict(s["opt"])
        ema.mean, spent, it = s["ema"], s["spent"], s["it"]
    t0, saved, run, order = time.time() - spent, time.time(), None, []
    while (el := time.time() - t0) < seconds:
        lr = LR * min(1, (it + 1) / 200) * max(0.01, 0.5 * (1 + np.cos(np.pi * el / seconds)))
        if len(order) < B:
            order += random.sample(range(len(NAMES)), len(NAMES))
        pick, order = order[:B], order[B:]
        col = [0 if random.random() < P_WHITE else random.randrange(1, len(COLORS)) for _ in pick]
        ids = tokens(tok, [caption(NAMES[i], COLORS[c]) for i, c in zip(pick, col)])
        z = Z[pick, col]
        t, e = torch.randint(0, 1000, (B,)), torch.randn_like(z)
        s, n = (ac[t] ** 0.5).view(-1, 1, 1, 1), ((1 - ac[t]) ** 0.5).view(-1, 1, 1, 1)
        x = (s * z + n * e).contiguous(memory_format=torch.channels_last)
        y = unet(x, t, text(ids)[0]).sample  # float32: at these sizes bfloat16 autocast takes twice the time
        loss = torch.nn.functional.mse_loss(y, s * e - n * z)
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        opt.step(lr)
        it += 1
        ema.update(it)
        run = loss.item() if run is None else run * 0.99 + loss.item() * 0.01
        if it % 50 == 0:
            print(it, f"{el:.0f}s loss {run:.4f} lr {lr:.2e}", flush=True)
        if time.time() - saved > 300:
            saved = time.time()
            torch.save({"unet": unet.state_dict(), "text": text.state_dict(), "opt": opt.state_dict(),
                        "ema": ema.mean, "spent": saved - t0, "it": it}, ck + ".new")
            os.replace(ck + ".new", ck)
            ema.swap()
            save(unet, text)
            ema.swap()
    ema.swap()
    save(unet, text)
    print("done", it, "steps", flush=True)


if __name__ == "__main__":
    main()
