"""Quantize the trained pipeline with sdnq to int8 and save it.

    DEMOWORK=... python quantize.py FOLDER

Rows of Linear and Conv weights become int8 with one float32 scale each; what stays (the
token embedding, norms, biases) is bfloat16.
"""

import collections
import json
import os
import shutil
import struct
import sys

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from sdnq import sdnq_post_load_quant
from sdnq.loader import save_sdnq_model
from transformers import CLIPTextModel

from data import work

HERE = os.path.dirname(os.path.abspath(__file__))
PARTS = {"text_encoder": CLIPTextModel, "unet": UNet2DConditionModel, "vae": AutoencoderKL}


def quantize(model):
    return sdnq_post_load_quant(
        model, weights_dtype="int8", quant_conv=True, add_skip_keys=False,
        minimum_allowed_numel=1024, minimum_allowed_channel_size=8, torch_dtype=torch.bfloat16)


def header(path):
    with open(path, "rb") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        return json.loads(f.read(n))


def bytes_by_dtype(folder):
    total = collections.Counter()
    for part in PARTS:
        for name in os.listdir(os.path.join(folder, part)):
            if name.endswith(".safetensors"):
                for k, v in header(os.path.join(folder, part, name)).items():
                    if k != "__metadata__":
                        a, b = v["data_offsets"]
                        total[v["dtype"]] += b - a
    return total


def main():
    dst = sys.argv[1]
    os.makedirs(dst, exist_ok=True)
    for part, cls in PARTS.items():
        shutil.rmtree(os.path.join(dst, part), ignore_errors=True)
        model = cls.from_pretrained(work("out", part)).to(torch.bfloat16).eval()
        save_sdnq_model(quantize(model), os.path.join(dst, part))
    for part in ("scheduler", "tokenizer"):
        shutil.copytree(work("out", part), os.path.join(dst, part), dirs_exist_ok=True)
    shutil.copy(work("out", "model_index.json"), dst)
    for name in ("README.md", "LICENSE"):
        src = os.path.join(HERE, "card", name)
        if os.path.exists(src):
            shutil.copy(src, dst)
    total = bytes_by_dtype(dst)
    size = sum(os.path.getsize(os.path.join(d, f)) for d, _, fs in os.walk(dst) for f in fs)
    print(dict(total), f"int8 {100 * total['I8'] / sum(total.values()):.1f} % of {sum(total.values())} weight bytes; "
          f"folder {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
