"""Train the AutoencoderKL on the emoji over random plain backgrounds.

    DEMOWORK=... python train_vae.py SECONDS [BATCH]

One cosine over SECONDS of wall-clock time; a checkpoint every five minutes, from which a
restart goes on.
"""

import os
import random
import sys
import time

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image

from data import BACKGROUNDS, COLORS, LATENT, P_WHITE, SIZE, compose, load_rgba, work
from muon import Muon

WIDTHS = (16, 32, 64, 128)
KL = 1e-3
LR = 2e-3


def build():
    n = len(WIDTHS)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * n, up_block_types=("UpDecoderBlock2D",) * n,
        block_out_channels=WIDTHS, layers_per_block=1, latent_channels=4, norm_num_groups=8,
        sample_size=SIZE, scaling_factor=1.0)


def random_color():
    r = random.random()
    if r < 0.35:
        return (255, 255, 255)
    if r < 0.97:
        return BACKGROUNDS[random.choice(COLORS)]
    return tuple(random.uniform(0, 255) for _ in range(3))


def tensor(pictures):
    x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) * 2 - 1
    return x.contiguous(memory_format=torch.channels_last)


def grads(y):
    return y[..., 1:] - y[..., :-1], y[..., 1:, :] - y[..., :-1, :]


@torch.no_grad()
def report(vae, X, name):
    """PSNR over every emoji on every background, the latent's std, and a sheet to look at."""
    vae.eval()
    err, zs, shown = [], [], []
    for c in COLORS:
        for i in range(0, len(X), 36):
            x = tensor([compose(a, BACKGROUNDS[c]) for a in X[i:i + 36]])
            with torch.autocast("cpu", dtype=torch.bfloat16):
                d = vae.encode(x).latent_dist
                y = vae.decode(d.mode()).sample
            y = y.float().clamp(-1, 1)
            err.append((((y - x) / 2) ** 2).mean((1, 2, 3)))
            zs.append(d.mode().float())
            if i == 0 and c in ("white", "blue"):
                shown.append(torch.cat([x[:24], y[:24]]))
    vae.train()
    z, mse = torch.cat(zs), torch.cat(err)
    g = ((torch.cat(shown) + 1) * 127.5).byte().permute(0, 2, 3, 1).numpy()
    g = g.reshape(-1, 12, SIZE, SIZE, 3).transpose(0, 2, 1, 3, 4).reshape(-1, 12 * SIZE, 3)
    Image.fromarray(g).save(work(name))
    psnr = -10 * torch.log10(mse)
    print(f"psnr mean {psnr.mean():.2f} (of mean error {-10 * torch.log10(mse.mean()):.2f}) worst {psnr.min():.2f}; "
          f"latent std {z.std():.3f} mean {z.mean((0, 2, 3)).tolist()}", flush=True)
    return z.std().item()


def main():
    torch.set_num_threads(2)
    seconds, B = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 16
    X = load_rgba()
    vae = build().to(memory_format=torch.channels_last)
    print(f"{sum(p.numel() for p in vae.parameters()) / 1e6:.2f} M parameters", flush=True)
    opt = Muon(vae.named_parameters(), LR, plain=("conv_in", "conv_out", "quant_conv"))
    spent, it, ck = 0.0, 0, work("vae.ckpt")
    if os.path.exists(ck):
        s = torch.load(ck)
        vae.load_state_dict(s["vae"]), opt.load_state_dict(s["opt"])
        spent, it = s["spent"], s["it"]
    t0, saved, run = time.time() - spent, time.time(), None
    order = []
    while (el := time.time() - t0) < seconds:
        lr = LR * min(1, (it + 1) / 100) * max(0.01, 0.5 * (1 + np.cos(np.pi * el / seconds)))
        if len(order) < B:
            order += random.sample(range(len(X)), len(X))
        pick, order = order[:B], order[B:]
        x = tensor([compose(X[i], random_color()) for i in pick])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            d = vae.encode(x).latent_dist
            y = vae.decode(d.sample()).sample
        y = y.float()
        l1 = (y - x).abs().mean()
        edge = sum((a - b).abs().mean() for a, b in zip(grads(y), grads(x)))
        l2 = ((y - x) ** 2).mean()
        kl = d.kl().mean() / (4 * LATENT * LATENT)
        loss = l1 + 0.5 * edge + 2 * l2 + KL * kl
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        opt.step(lr)
        it += 1
        run = l2.item() if run is None else run * 0.98 + l2.item() * 0.02
        if it % 25 == 0:
            print(it, f"{el:.0f}s psnr {-10 * np.log10(run / 4):.2f} l1 {l1.item():.4f} kl {kl.item():.2f}", flush=True)
        if time.time() - saved > 300:
            saved = time.time()
            torch.save({"vae": vae.state_dict(), "opt": opt.state_dict(), "spent": saved - t0, "it": it}, ck)
    std = report(vae, X, "vae.png")
    vae.register_to_config(scaling_factor=1 / std)
    vae.eval().save_pretrained(work("out", "vae"))


if __name__ == "__main__":
    main()
