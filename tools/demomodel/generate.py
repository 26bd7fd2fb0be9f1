"""Let the trained UNet draw every emoji on every background; train_decoder.py reads the latents.

    DEMOWORK=... python generate.py [STEPS] [CFG]
"""

import sys

import torch

from data import COLORS, LATENT, NAMES, article, work
from sample import Pipeline


def main():
    torch.set_num_threads(2)
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    cfg = float(sys.argv[2]) if len(sys.argv) > 2 else 2.5
    pipe = Pipeline(work("out"))
    out = torch.zeros(len(NAMES), len(COLORS), 4, LATENT, LATENT)
    for c, color in enumerate(COLORS):
        for i in range(0, len(NAMES), 54):
            names = NAMES[i:i + 54]
            prompts = [article(n) + ("" if color == "white" else f" on a {color} background") for n in names]
            seeds = [900000 + 1000 * c + i + k for k in range(len(names))]
            out[i:i + 54, c] = pipe.latents(prompts, seeds, steps, cfg)
        print(color, flush=True)
    torch.save(out, work("drawn.pt"))


if __name__ == "__main__":
    main()
