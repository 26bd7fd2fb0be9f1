"""Draw pictures with the pipeline in a folder (quantized or not) and measure retrieval.

    DEMOWORK=... python sample.py FOLDER test [STEPS] [CFG]     the 40 test prompts
    DEMOWORK=... python sample.py FOLDER SEED "a prompt" ...    your own

Both write sheet.png in the work folder. Retrieval: the picture, area-averaged to 32x32, is
compared with every emoji on the prompt's background; the nearest must be the prompted one.
"""

import os
import sys

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from PIL import Image
from sdnq.loader import load_sdnq_model
from transformers import CLIPTextModel, CLIPTokenizer

from data import BACKGROUNDS, LATENT, NAMES, SIZE, compose, load_rgba, test_prompts, work


class Pipeline:
    def __init__(self, folder):
        def part(name, cls):
            p = os.path.join(folder, name)
            if os.path.exists(os.path.join(p, "quantization_config.json")):
                return load_sdnq_model(p, model_cls=cls, dtype=torch.float32).float().eval()
            return cls.from_pretrained(p).eval()

        self.tok = CLIPTokenizer.from_pretrained(os.path.join(folder, "tokenizer"))
        self.text = part("text_encoder", CLIPTextModel)
        self.unet = part("unet", UNet2DConditionModel)
        self.vae = part("vae", AutoencoderKL)
        self.scheduler = DDIMScheduler.from_pretrained(os.path.join(folder, "scheduler"))

    @torch.no_grad()
    def encode(self, prompts):
        ids = self.tok(prompts, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        return self.text(ids)[0]

    @torch.no_grad()
    def latents(self, prompts, seeds, steps=20, cfg=4.0):
        """cfg: a number, or one per prompt."""
        z = torch.stack([torch.randn(4, LATENT, LATENT, generator=torch.Generator().manual_seed(s)) for s in seeds])
        h = torch.cat([self.encode([""] * len(prompts)), self.encode(prompts)])
        self.scheduler.set_timesteps(steps)
        for t in self.scheduler.timesteps:
            u, c = self.unet(torch.cat([z, z]), t, h).sample.chunk(2)
            z = self.scheduler.step(u + cfg * (c - u), t, z).prev_sample
        return z

    @torch.no_grad()
    def decode(self, z):
        x = self.vae.decode(z / self.vae.config.scaling_factor).sample
        return ((x.clamp(-1, 1) + 1) / 2).permute(0, 2, 3, 1).numpy()

    def __call__(self, *a, **k):
        return self.decode(self.latents(*a, **k))


def small(x, side=32):
    n = x.shape[-2] // side
    return x.reshape(-1, side, n, side, n, 3).mean((2, 4))


def retrieval(pictures, cases):
    """How many pictures are nearest to their own emoji, and what the others are nearest to."""
    rgba, right, wrong = load_rgba(), 0, []
    refs = {b: small(compose(rgba, c)) for b, c in BACKGROUNDS.items()}
    for x, c in zip(small(pictures), cases):
        near = NAMES[((refs[c["background"]] - x) ** 2).mean((1, 2, 3)).argmin()]
        right += near == c["emoji"]
        if near != c["emoji"]:
            wrong.append(f'{c["prompt"]} -> {near}')
    return right, wrong


def sheet(pictures, name, columns=10):
    x = (pictures * 255).round().clip(0, 255).astype(np.uint8)
    x = np.concatenate([x, np.zeros((-len(x) % columns, SIZE, SIZE, 3), np.uint8)])
    g = x.reshape(-1, columns, SIZE, SIZE, 3).transpose(0, 2, 1, 3, 4).reshape(-1, columns * SIZE, 3)
    Image.fromarray(g).save(work(name))


def main():
    torch.set_num_threads(2)
    pipe, mode = Pipeline(sys.argv[1]), sys.argv[2]
    if mode != "test":
        prompts = sys.argv[3:]
        return sheet(pipe(prompts, [int(mode)] * len(prompts)), "sheet.png", min(10, len(prompts)))
    steps = int(sys.argv[3]) if len(sys.argv) > 3 else 20
    cfg = float(sys.argv[4]) if len(sys.argv) > 4 else 4.0
    cases = test_prompts()
    x = pipe([c["prompt"] for c in cases], [c["seed"] for c in cases], steps=steps, cfg=cfg)
    right, wrong = retrieval(x, cases)
    want = np.stack([compose(load_rgba()[NAMES.index(c["emoji"])], BACKGROUNDS[c["background"]]) for c in cases])
    mse = ((small(x) - small(want)) ** 2).mean((1, 2, 3))
    print(f"retrieval {right} of {len(cases)}; distance to the wanted picture (32x32 RMS) "
          f"median {np.median(mse) ** 0.5:.4f} worst {mse.max() ** 0.5:.4f}")
    print(*wrong, sep="\n")
    sheet(x, "sheet.png")


if __name__ == "__main__":
    main()
