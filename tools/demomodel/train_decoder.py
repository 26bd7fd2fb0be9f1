"""Sharpen the VAE's decoder alone; the encoder, and so every latent, stays as it is.

    DEMOWORK=... python train_decoder.py SECONDS [BATCH]

Runs after train_unet.py. Inputs are the encoder's latents of every emoji on every background,
and, where generate.py has left them, latents that the UNet itself drew for the same prompts.
"""

import os
import random
import sys
import time

import numpy as np
import torch
from diffusers import AutoencoderKL

from data import BACKGROUNDS, COLORS, P_WHITE, compose, load_rgba, work
from muon import Muon
from train_unet import latents
from train_vae import grads, report, tensor

LR = 1e-3
NOISE = 0.05  # of the latents' standard deviation


def main():
    torch.set_num_threads(2)
    seconds, B = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 8
    vae = AutoencoderKL.from_pretrained(work("out", "vae")).to(memory_format=torch.channels_last)
    X, Z = load_rgba(), latents()
    drawn = torch.load(work("drawn.pt")) if os.path.exists(work("drawn.pt")) else None
    report(vae, X, "vae_before.png")
    vae.train()
    named = [(n, p) for n, p in vae.named_parameters() if n.startswith(("decoder.", "post_quant_conv."))]
    opt = Muon(named, LR, plain=("conv_in", "conv_out", "quant_conv"))
    t0, it, run, order = time.time(), 0, None, []
    while (el := time.time() - t0) < seconds:
        lr = LR * min(1, (it + 1) / 50) * max(0.01, 0.5 * (1 + np.cos(np.pi * el / seconds)))
        if len(order) < B:
            order += random.sample(range(len(X)), len(X))
        pick, order = order[:B], order[B:]
        col = [0 if random.random() < P_WHITE else random.randrange(1, len(COLORS)) for _ in pick]
        x = tensor([compose(X[i], BACKGROUNDS[COLORS[c]]) for i, c in zip(pick, col)])
        z = Z[pick, col]
        if drawn is not None and random.random() < 0.5:
            z = drawn[pick, col]
        z = z + NOISE * random.random() * torch.randn_like(z)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = vae.decode(z / vae.config.scaling_factor).sample
        y = y.float()
        l1 = (y - x).abs().mean()
        edge = sum((a - b).abs().mean() for a, b in zip(grads(y), grads(x)))
        l2 = ((y - x) ** 2).mean()
        loss = l1 + 0.5 * edge + 2 * l2
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(opt.params, 1.0)
        opt.step(lr)
        it += 1
        run = l2.item() if run is None else run * 0.98 + l2.item() * 0.02
        if it % 25 == 0:
            print(it, f"{el:.0f}s psnr {-10 * np.log10(run / 4):.2f} l1 {l1.item():.4f}", flush=True)
    report(vae, X, "vae.png")
    vae.eval().save_pretrained(work("out", "vae"))


if __name__ == "__main__":
    main()
